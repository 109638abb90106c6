"""Downloads over connections that are cut, from servers of every kind."""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.asset_request import FileOnRequest, FileRequest
from c2d_api.computeenvironment import Address
from c2d_api.computejob import File
from c2d_pods.content import PermanentError, Source, TransferError, TransientError
from c2d_pods.patience import Patience
from c2d_pods.transfer import Downloads
from pods import Site

QUICK = Patience(attempts=3, first_pause=0.001, connect=5, stall=5, stride=1000)
BODY = bytes(range(256)) * 200
NEW = BODY[::-1]
ETAG = {"ETag": '"v1"'}
DATE = {"Last-Modified": "Wed, 01 Oct 2025 10:00:00 GMT"}


class Cutting:
    """A server of one file, which cuts each answer where it is told to.

    It waits until the loader has taken what was sent: how far it came is then no chance.
    """

    def __init__(self, site: Site, *cuts: int | None, version: dict[str, str] = ETAG) -> None:
        self.site, self.cuts, self.version, self.body = site, list(cuts), version, BODY
        self.knows_ranges = self.judges = True
        self.most: int | None = None
        self.changes: Callable[[], None] = lambda: None
        self.arrived = 0
        self._more = asyncio.Event()
        site.answers["/f"] = self.answer

    def count(self, count: int) -> None:
        self.arrived += count
        self._more.set()

    @property
    def asked(self) -> list[tuple[str | None, str | None]]:
        """Ranges and their conditions, request by request."""
        return [(h.get("Range"), h.get("If-Range")) for _, _, h in self.site.requests]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        start = self._start(request)
        if start >= len(self.body):
            return web.Response(status=416, headers=self.version)
        end = min(len(self.body), start + self.most) if start and self.most else len(self.body)
        response = web.StreamResponse(status=206 if start else 200, headers=self.version)
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(self.body)}"
        response.content_length = end - start
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        await response.write(self.body[start:end][:cut])
        if cut is not None:
            while self.arrived < start + cut:
                await self._more.wait()
                self._more.clear()
            self.changes()
            assert request.transport
            request.transport.close()
        return response

    def _start(self, request: web.Request) -> int:
        wanted = request.headers.get("Range")
        if not self.knows_ranges or wanted is None:
            return 0
        if self.judges and request.headers["If-Range"] not in self.version.values():
            return 0
        return int(wanted.removeprefix("bytes=").removesuffix("-"))


async def fetched(
    server: Cutting, folder: Path, source: Source | None = None, patience: Patience = QUICK
) -> bytes:
    async def renew(_: FileOnRequest) -> FileRequest:
        return FileRequest(server.site.url("/f"))

    async with Downloads([server.site.address], patience, renew) as downloads:
        path = folder / "file"
        with path.open("wb", buffering=0) as target:
            await downloads.fetch(source or File(url=server.site.url("/f")), target, server.count)
    content = path.read_bytes()
    assert server.arrived == len(content)
    return content


@pytest.mark.parametrize("version", [ETAG, DATE, ETAG | DATE])
async def test_a_cut_download_goes_on_where_it_was(
    site: Site, tmp_path: Path, version: dict[str, str]
) -> None:
    server = Cutting(site, 10_000, 20_000, 5_000, version=version)
    digest = hashlib.sha256(BODY).hexdigest()
    assert await fetched(server, tmp_path, File(url=site.url("/f"), sha256=digest)) == BODY
    condition = next(iter(version.values()))
    assert server.asked == [
        (None, None),
        ("bytes=10000-", condition),
        ("bytes=30000-", condition),
        ("bytes=35000-", condition),
    ]


async def test_a_file_arrives_over_a_connection_cut_ever_again(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, *[1500] * 30)
    assert await fetched(server, tmp_path) == BODY
    assert len(site.requests) == 31


async def test_attempts_without_progress_have_an_end(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 1500, *[10] * 30)
    with pytest.raises(TransientError, match="before the file's end"):
        await fetched(server, tmp_path)
    assert len(site.requests) == QUICK.attempts


async def test_a_server_without_ranges_is_asked_for_the_whole_a_limited_number_of_times(
    site: Site, tmp_path: Path
) -> None:
    server = Cutting(site, 1500, 1500)
    server.knows_ranges = False
    assert await fetched(server, tmp_path) == BODY
    (tmp_path / "other").mkdir()
    server = Cutting(site, *[1500] * 30)
    server.knows_ranges = False
    site.requests.clear()
    server.count(0)
    with pytest.raises(TransientError):
        await fetched(server, tmp_path / "other")
    assert len(site.requests) == QUICK.attempts


@pytest.mark.parametrize("version", [{}, {"ETag": 'W/"v1"'}])
async def test_what_cannot_be_told_apart_is_fetched_as_a_whole(
    site: Site, tmp_path: Path, version: dict[str, str]
) -> None:
    server = Cutting(site, 10_000, version=version)
    assert await fetched(server, tmp_path) == BODY
    assert server.asked == [(None, None)] * 2


@pytest.mark.parametrize("judges", [True, False])
async def test_two_versions_are_never_mixed(site: Site, tmp_path: Path, *, judges: bool) -> None:
    server = Cutting(site, 10_000)
    server.judges = judges

    def change() -> None:
        server.body, server.version = NEW, {"ETag": '"v2"'}

    server.changes = change
    assert await fetched(server, tmp_path) == NEW
    whole = (None, None)
    assert server.asked == [whole, ("bytes=10000-", '"v1"'), *([] if judges else [whole])]


async def test_a_file_that_became_shorter_is_fetched_as_a_whole(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 10_000)
    server.judges = False

    def change() -> None:
        server.body = b"short"

    server.changes = change
    assert await fetched(server, tmp_path) == b"short"


async def test_a_rest_in_several_parts_arrives(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 10_000)
    server.most = 20_000
    assert await fetched(server, tmp_path) == BODY
    assert [asked for asked, _ in server.asked] == [
        None, "bytes=10000-", "bytes=30000-", "bytes=50000-",
    ]  # fmt: skip


async def test_a_rest_that_does_not_fit_is_not_believed_again(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 10_000, None, 20_000)

    def change_unnoticed() -> None:
        server.body = NEW

    server.changes = change_unnoticed
    file = File(url=site.url("/f"), sha256=hashlib.sha256(NEW).hexdigest())
    assert await fetched(server, tmp_path, file, Patience(4, 0.001, stall=5)) == NEW
    assert [asked for asked, _ in server.asked] == [None, "bytes=10000-", None, None]


@pytest.mark.parametrize("once", [True, False])
async def test_only_a_plain_request_is_continued(site: Site, tmp_path: Path, *, once: bool) -> None:
    server = Cutting(site, 10_000)
    source: Source = FileOnRequest("dataset", 0, 0) if once else FileRequest(site.url("/f"), "POST")
    assert await fetched(server, tmp_path, source) == BODY
    assert server.asked == [(None, None)] * 2


async def test_what_is_kept_outlasts_a_busy_server(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 10_000)

    async def busy_once(request: web.Request) -> web.StreamResponse:
        if len(site.requests) == 2:
            return web.Response(status=503, headers={"Retry-After": "0"})
        return await server.answer(request)

    site.answers["/f"] = busy_once
    assert await fetched(server, tmp_path) == BODY
    assert [asked for asked, _ in server.asked] == [None, "bytes=10000-", "bytes=10000-"]


async def test_a_server_that_refuses_ranges_is_asked_for_the_whole(
    site: Site, tmp_path: Path
) -> None:
    server = Cutting(site, 10_000)

    async def forbids_ranges(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            return web.Response(status=403)
        return await server.answer(request)

    site.answers["/f"] = forbids_ranges
    assert await fetched(server, tmp_path) == BODY
    assert [asked for asked, _ in server.asked] == [None, "bytes=10000-", None]


async def test_a_limit_counts_all_parts(site: Site, tmp_path: Path) -> None:
    server = Cutting(site, 10_000)

    def grow() -> None:
        server.body = BODY + b"more"

    server.changes = grow
    file = File(url=site.url("/f"), max_bytes=len(BODY))
    with pytest.raises(PermanentError, match="longer than its limit"):
        await fetched(server, tmp_path, file)


@asynccontextmanager
async def speaking(text: bytes, released: asyncio.Event) -> AsyncIterator[int]:
    """Answer each request with these bytes, rules of HTTP or not, and wait."""

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        await writer.drain()
        await released.wait()
        writer.close()

    server = await asyncio.start_server(converse, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        released.set()
        server.close()
        await server.wait_closed()


async def failure(
    port: int, folder: Path, patience: Patience, clock: Callable[[], float] = time.monotonic
) -> TransferError:
    file = File(url=f"http://127.0.0.1:{port}/f")
    async with Downloads([Address("127.0.0.1/32", port)], patience, clock=clock) as downloads:
        with (
            (folder / "file").open("wb", buffering=0) as target,
            pytest.raises(TransferError) as caught,
        ):
            await downloads.fetch(file, target, lambda _: None)
    return caught.value


ONCE = Patience(attempts=1, stall=5)


async def test_a_server_that_sends_less_than_it_said(tmp_path: Path) -> None:
    released = asyncio.Event()
    released.set()
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n12345", released) as port:
        error = await failure(port, tmp_path, ONCE)
    assert (type(error), str(error)) == (
        TransientError, "the server stopped before the file's end",
    )  # fmt: skip


async def test_a_server_that_sends_more_than_it_said(tmp_path: Path) -> None:
    released = asyncio.Event()
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123456789", released) as port:
        error = await failure(port, tmp_path, ONCE)
    assert (type(error), str(error)) == (
        TransientError, "the server's answer is not valid, or longer than it said",
    )  # fmt: skip


async def test_a_server_that_drips_is_given_up(tmp_path: Path) -> None:
    minutes = iter(range(0, 6000, 60))
    async with speaking(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n1", asyncio.Event()) as port:
        error = await failure(port, tmp_path, ONCE, lambda: next(minutes))
    assert (type(error), str(error)) == (TransientError, "the server sends too slowly")


async def test_an_answer_must_begin_in_time(tmp_path: Path) -> None:
    patience = Patience(attempts=1, stall=600, answer=0.05)
    async with (
        asyncio.timeout(10),
        speaking(b"HTTP/1.1 200 OK\r\nX-Dripping: ", asyncio.Event()) as port,
    ):
        error = await failure(port, tmp_path, patience)
    assert (type(error), str(error)) == (TransientError, "the server did not answer in time")

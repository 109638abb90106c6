"""Results over HTTP: for the owner and the viewers, whole or in ranges, cut where they break."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from aiohttp import ClientPayloadError
from aiohttp.test_utils import TestClient, TestServer

from c2d_provider.ports import UnavailableError
from c2d_provider.wire.exchange import Limits, attachment
from c2d_provider.wire.ranges import has_changed, is_known, parse_range
from chain_facts import CONSUMER, STRANGER, STRANGER_KEY
from provider_fakes import CONSUMER_KEY, World, market, signed, start_body

RESULT = "/v2/api/services/computeResult"
CONTENT = bytes(range(256)) * 40
Client = TestClient[Any, Any]


class Finished:
    """A job whose results are there, and a client that asks for them."""

    def __init__(self, world: World, client: Client, name: str) -> None:
        self.world, self.client, self.name = world, client, name
        self.nonce = 1

    def asked(
        self, index: int = 0, who: str = CONSUMER, key: bytes = CONSUMER_KEY
    ) -> dict[str, str]:
        self.nonce += 1
        text = f"{who}{self.name}{index}{self.nonce}"
        return {
            "consumerAddress": who,
            "jobId": self.name,
            "index": str(index),
            "nonce": str(self.nonce),
            "signature": signed(text, key),
        }

    async def ask(
        self, asked: dict[str, str] | None = None, **headers: str
    ) -> tuple[int, bytes, Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        asked = self.asked() if asked is None else asked
        async with self.client.get(RESULT, params=asked, headers=sent) as response:
            return response.status, await response.read(), response.headers


@pytest.fixture
async def job() -> AsyncIterator[Finished]:
    world = market()
    async with TestClient(TestServer(world.app(limits=Limits(stall_seconds=0.5)))) as client:
        async with client.post("/v2/api/services/compute", json=start_body(world)) as response:
            assert response.status == 200
        (made,) = world.cluster.jobs_.values()
        world.results.contents[made.uid] = [
            ("out/data.bin", CONTENT),
            ("empty", b""),
            ('../../<b>é\n".html', b"<script>"),
        ]
        yield Finished(world, client, made.name)


async def test_a_result_comes_whole_with_its_digest(job: Finished) -> None:
    status, body, headers = await job.ask()
    assert (status, body) == (200, CONTENT)
    assert headers["Content-Length"] == str(len(CONTENT))
    assert headers["ETag"] == f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Disposition"].startswith('attachment; filename="data.bin"')


async def test_an_empty_file_is_there_and_empty(job: Finished) -> None:
    status, body, headers = await job.ask(job.asked(1))
    assert (status, body, headers["Content-Length"]) == (200, b"", "0")


async def test_what_an_algorithm_wrote_is_never_a_page(job: Finished) -> None:
    status, _, headers = await job.ask(job.asked(2))
    assert status == 200
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"].startswith("attachment; ")


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=100-199", 100, 200),
        ("bytes=10000-", 10000, 10240),
        ("bytes=-100", 10140, 10240),
        ("bytes=-99999", 0, 10240),
        ("bytes=10239-99999", 10239, 10240),
        ("Bytes=1-2", 1, 3),
    ],
)
async def test_a_range_is_answered_with_its_place(
    job: Finished, asked: str, start: int, end: int
) -> None:
    status, body, headers = await job.ask(Range=asked)
    assert (status, body) == (206, CONTENT[start:end])
    assert headers["Content-Range"] == f"bytes {start}-{end - 1}/10240"
    assert headers["Content-Length"] == str(end - start)


@pytest.mark.parametrize("asked", ["bytes=1-2,5-6", "bytes=5-1", "bytes=-0", "lines=1-2", "x"])
async def test_what_is_no_single_range_is_answered_whole(job: Finished, asked: str) -> None:
    assert (await job.ask(Range=asked))[:2] == (200, CONTENT)


async def test_a_range_behind_the_end_is_refused(job: Finished) -> None:
    status, _, headers = await job.ask(Range="bytes=10240-")
    assert (status, headers["Content-Range"]) == (416, "bytes */10240")


async def test_a_range_of_another_version_is_answered_whole(job: Finished) -> None:
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    same = await job.ask(Range="bytes=1-2", If_Range=etag)
    assert (same[0], same[1]) == (206, CONTENT[1:3])
    assert (await job.ask(Range="bytes=1-2", If_Range='"other"'))[:2] == (200, CONTENT)


async def test_a_client_that_has_it_gets_nothing(job: Finished) -> None:
    etag = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
    assert (await job.ask(If_None_Match=f'"x", {etag}'))[:2] == (304, b"")


async def test_a_download_is_resumed_with_the_same_request(job: Finished) -> None:
    asked = job.asked()
    assert (await job.ask(asked))[0] == 200
    status, body, _ = await job.ask(asked, Range="bytes=5000-")
    assert (status, body) == (206, CONTENT[5000:])


async def test_a_request_seen_on_the_way_brings_no_other_file(job: Finished) -> None:
    """Index 1 with nonce 23 has the text of index 12 with nonce 3."""
    job.nonce = 22
    asked = job.asked(1)
    assert (await job.ask(asked))[0] == 200
    twisted = {**asked, "index": "12", "nonce": "3"}
    status, body, _ = await job.ask(twisted)
    assert status == 400
    assert b"the signature was used before" in body


async def test_a_stranger_gets_nothing_and_a_viewer_does(job: Finished) -> None:
    status, body, _ = await job.ask(job.asked(0, STRANGER, STRANGER_KEY))
    assert (status, body) == (404, b'{"error":"there is no such job"}')
    assert STRANGER not in str(job.world.cluster.shards)
    made = job.world.cluster.jobs_[job.name]
    viewed = replace(made, spec=replace(made.spec, additional_viewers=(STRANGER.lower(),)))
    job.world.cluster.jobs_[job.name] = viewed
    assert (await job.ask(job.asked(0, STRANGER, STRANGER_KEY)))[:2] == (200, CONTENT)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"index": "3"}, 400),  # not signed
        ({"jobId": "0" * 32}, 400),
        ({"signature": "0x" + "00" * 65}, 400),
        ({"index": "-1"}, 400),
        ({"index": ""}, 400),
    ],
)
async def test_what_was_not_signed_is_refused(
    job: Finished, change: dict[str, str], status: int
) -> None:
    assert (await job.ask({**job.asked(), **change}))[0] == status


async def test_a_file_that_is_not_there_is_not_found(job: Finished) -> None:
    assert (await job.ask(job.asked(7)))[0] == 404


async def test_results_that_have_expired_are_not_found_and_it_says_so(job: Finished) -> None:
    job.world.results.expired.add(job.world.cluster.jobs_[job.name].uid)
    status, body, _ = await job.ask()
    assert (status, body) == (404, b'{"error":"the results have expired"}')


async def test_a_store_that_breaks_off_is_not_taken_for_the_end(job: Finished) -> None:
    async def half(content: bytes) -> AsyncIterator[bytes]:
        yield content[:100]
        raise UnavailableError("the store is gone")

    job.world.results.pieces = half
    with pytest.raises(ClientPayloadError):
        await job.ask()


async def test_a_store_that_says_nothing_any_more_is_given_up(job: Finished) -> None:
    closed = []

    async def silent(content: bytes) -> AsyncIterator[bytes]:
        try:
            yield content[:100]
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    job.world.results.pieces = silent
    with pytest.raises(ClientPayloadError):
        await job.ask()
    assert closed == [True]


async def test_a_download_may_take_longer_than_an_answer_as_long_as_it_flows() -> None:
    async def slow(content: bytes) -> AsyncIterator[bytes]:
        for place in range(0, len(content), 1024):
            await asyncio.sleep(0.02)  # the store's pace, not a wait of the test's
            yield content[place : place + 1024]

    world = market()
    app = world.app(limits=Limits(answer_seconds=0.15, stall_seconds=0.1))
    async with TestClient(TestServer(app)) as client:
        async with client.post("/v2/api/services/compute", json=start_body(world)) as response:
            assert response.status == 200
        (made,) = world.cluster.jobs_.values()
        world.results.contents[made.uid] = [("slow", CONTENT)]
        world.results.pieces = slow
        found = Finished(world, client, made.name)
        assert (await found.ask())[:2] == (200, CONTENT)


@pytest.mark.parametrize(
    ("name", "plain", "full"),
    [
        ("data.csv", "data.csv", "data.csv"),
        ("a/b/data.csv", "data.csv", "data.csv"),
        ('é"\r\nX: y', "____X__y", 'é"\r\nX: y'),
        ("..", "..", ".."),
        ("folder/", "folder", "folder"),
        ("", "file", "file"),
        ("\ud800", "_", "?"),
    ],
)
def test_a_name_cannot_leave_its_header(name: str, plain: str, full: str) -> None:
    header = attachment(name)
    assert f'filename="{plain}"' in header
    encoded = header.rpartition("''")[2]
    assert encoded.isascii()
    assert "\n" not in header
    assert unquote(encoded) == full


def test_a_long_name_is_cut() -> None:
    assert len(attachment("é" * 5000)) < 1000


@pytest.mark.parametrize(
    ("text", "span"),
    [
        (None, None),
        ("", None),
        ("bytes=0-", (0, None)),
        ("bytes=5-9", (5, 9)),
        ("bytes=-5", (-5, None)),
        ("bytes=9-5", None),
        ("bytes=-", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_a_range_is_read(text: str | None, span: Any) -> None:
    assert parse_range(text) == span


def test_entity_tags_are_compared() -> None:
    assert not has_changed(None, '"a"')
    assert not has_changed('"a"', '"a"')
    assert has_changed('W/"a"', '"a"')
    assert is_known('W/"a"', '"a"')
    assert is_known("*", '"a"')
    assert not is_known(None, '"a"')

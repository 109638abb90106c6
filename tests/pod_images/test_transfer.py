"""Downloads from real servers: guarded, repeated, exact, and silent about URLs."""

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.computeenvironment import Address
from c2d_api.computejob import File
from c2d_pods.content import PermanentError, TransferError, TransientError, write
from c2d_pods.patience import Patience
from c2d_pods.transfer import Downloads
from c2d_pods.urls import checked_url, redirect_target
from pods import Site

QUICK = Patience(attempts=3, first_pause=0.001, connect=5, stall=0.3)


async def fetched(
    file: File, folder: Path, allowed: Iterable[Address], patience: Patience = QUICK
) -> bytes:
    """Download one file, checking that its bytes were counted once."""
    counted: list[int] = []
    path = folder / "file"
    async with Downloads(allowed, patience) as downloads:
        with path.open("wb", buffering=0) as target:
            await downloads.fetch(file, target, counted.append)
    content = path.read_bytes()
    assert sum(counted) == len(content)
    return content


async def failure(
    file: File, folder: Path, allowed: Iterable[Address], patience: Patience = QUICK
) -> TransferError:
    with pytest.raises(TransferError) as caught:
        await fetched(file, folder, allowed, patience)
    assert "secret" not in str(caught.value)
    assert "127.0.0" not in str(caught.value)
    assert "http" not in str(caught.value).replace("http or https", "")
    return caught.value


async def test_a_file_arrives_as_it_is(site: Site, tmp_path: Path) -> None:
    body = bytes(range(256)) * 8192
    file = File(url=site.serve("/f", body), sha256=hashlib.sha256(body).hexdigest())
    assert await fetched(file, tmp_path, [site.address]) == body
    method, path, headers = site.requests[0]
    assert (method, path) == ("GET", "/f")
    assert headers["Accept-Encoding"] == "identity"


async def test_an_encoded_body_is_kept_as_it_was_sent(site: Site, tmp_path: Path) -> None:
    async def zipped(_: web.Request) -> web.Response:
        return web.Response(body=b"\x1f\x8b as sent", headers={"Content-Encoding": "gzip"})

    site.answers["/f"] = zipped
    assert await fetched(File(url=site.url("/f")), tmp_path, [site.address]) == b"\x1f\x8b as sent"


async def test_a_signed_url_is_sent_as_it_is(site: Site, tmp_path: Path) -> None:
    site.serve("/a~b", b"x")
    await fetched(File(url=site.url("/a%7Eb?sig=a%2Fb%2bc&d=e%20f+g")), tmp_path, [site.address])
    assert site.requests[0][1] == "/a%7Eb?sig=a%2Fb%2bc&d=e%20f+g"


async def test_method_and_headers_are_the_jobs(site: Site, tmp_path: Path) -> None:
    file = File(url=site.serve("/f", b"x"), method="POST", headers=(("X-Key", "v"),))
    await fetched(file, tmp_path, [site.address])
    assert site.requests[0][0] == "POST"
    assert site.requests[0][2]["X-Key"] == "v"


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.1", "0", "2130706433", "[::1]"])
async def test_an_address_that_is_not_listed_is_never_asked(
    site: Site, tmp_path: Path, host: str
) -> None:
    site.serve("/f", b"x")
    error = await failure(File(url=site.url("/f?secret", host)), tmp_path, [])
    assert isinstance(error, PermanentError)
    assert site.requests == []


async def test_the_list_opens_one_port_only(site: Site, tmp_path: Path) -> None:
    file = File(url=site.serve("/f", b"x"))
    error = await failure(file, tmp_path, [Address("127.0.0.1/32", site.port + 1)])
    assert "private or reserved" in str(error)
    assert await fetched(file, tmp_path, [Address("127.0.0.1/32", site.port)]) == b"x"


@pytest.mark.parametrize("host", ["127.0.0.2", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]"])
async def test_a_redirect_to_an_address_that_is_not_listed_is_refused(
    site: Site, tmp_path: Path, host: str
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": site.url("/inner?secret", host)})

    site.answers["/f"] = elsewhere
    allowed = [Address("127.0.0.1/32", site.port)]
    error = await failure(File(url=site.url("/f")), tmp_path, allowed)
    assert isinstance(error, PermanentError)
    assert [path for _, path, _ in site.requests] == ["/f"]


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"),
     (308, "POST", "POST"), (302, "GET", "GET")],
)  # fmt: skip
async def test_a_redirect_is_followed(
    site: Site, tmp_path: Path, status: int, method: str, then: str
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Location": "g?a=%2F"})

    site.answers["/a/f"] = elsewhere
    site.serve("/a/g", b"there")
    file = File(url=site.url("/a/f"), method=method, headers=(("X-Key", "v"),))
    assert await fetched(file, tmp_path, [site.address]) == b"there"
    assert site.requests[1][:2] == (then, "/a/g?a=%2F")
    assert site.requests[1][2]["X-Key"] == "v"


async def test_headers_are_not_told_to_another_host(site: Site, tmp_path: Path) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        location = site.url("/g", "127.0.0.2")
        return web.Response(status=307, headers={"Location": location, "Set-Cookie": "a=b"})

    site.answers["/f"] = elsewhere
    site.serve("/g", b"there")
    file = File(url=site.url("/f"), headers=(("Authorization", "secret"),))
    assert await fetched(file, tmp_path, [site.address]) == b"there"
    assert "Authorization" in site.requests[0][2]
    assert "Authorization" not in site.requests[1][2]
    assert "Cookie" not in site.requests[1][2]


async def test_redirects_have_an_end(site: Site, tmp_path: Path) -> None:
    async def again(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "/f"})

    site.answers["/f"] = again
    error = await failure(File(url=site.url("/f")), tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert len(site.requests) == QUICK.redirects + 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 304])
async def test_an_answer_that_will_not_change_is_asked_for_once(
    site: Site, tmp_path: Path, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    site.answers["/f"] = answer
    error = await failure(File(url=site.url("/f")), tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert str(error) == f"the server answered {status}"
    assert len(site.requests) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_busy_server_is_asked_again(site: Site, tmp_path: Path, status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=200 if len(site.requests) == 3 else status, body=b"at last")

    site.answers["/f"] = answer
    assert await fetched(File(url=site.url("/f")), tmp_path, [site.address]) == b"at last"


async def test_a_server_that_stays_busy_is_given_up_for_now(site: Site, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=503)

    site.answers["/f"] = answer
    error = await failure(File(url=site.url("/f")), tmp_path, [site.address])
    assert isinstance(error, TransientError)
    assert len(site.requests) == QUICK.attempts


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_cut_short_is_fetched_again(
    site: Site, tmp_path: Path, *, chunked: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        first = len(site.requests) == 1
        if not chunked:
            response.content_length = 300_000 if first else 50_000
        await response.prepare(request)
        await response.write(b"a" * (100_000 if first else 50_000))
        if first and request.transport:
            request.transport.close()
        return response

    site.answers["/f"] = answer
    content = await fetched(File(url=site.url("/f")), tmp_path, [site.address])
    assert content == b"a" * 50_000
    assert len(site.requests) == 2


async def test_a_silent_server_is_given_up(site: Site, tmp_path: Path) -> None:
    released = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10
        await response.prepare(request)
        await response.write(b"12345")
        await released.wait()
        return response

    site.answers["/f"] = silent
    error = await failure(File(url=site.url("/f")), tmp_path, [site.address])
    released.set()
    assert isinstance(error, TransientError)
    assert "in time" in str(error)
    assert len(site.requests) == QUICK.attempts


async def test_nobody_listening_is_transient(tmp_path: Path, unused_tcp_port: int) -> None:
    file = File(url=f"http://127.0.0.1:{unused_tcp_port}/secret")
    error = await failure(file, tmp_path, [Address("127.0.0.1/32", unused_tcp_port)])
    assert isinstance(error, TransientError)


async def test_a_name_that_does_not_resolve_is_transient(tmp_path: Path) -> None:
    error = await failure(File(url="http://secret.invalid/"), tmp_path, [])
    assert isinstance(error, TransientError)


@pytest.mark.parametrize("announced", [True, False])
async def test_a_file_longer_than_its_limit_is_refused(
    site: Site, tmp_path: Path, *, announced: bool
) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        if announced:
            response.content_length = 11
        await response.prepare(request)
        await response.write(b"12345678901")
        return response

    site.answers["/f"] = answer
    error = await failure(File(url=site.url("/f"), max_bytes=10), tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert "limit of 10 bytes" in str(error)
    exact = File(url=site.url("/f"), max_bytes=11)
    assert await fetched(exact, tmp_path, [site.address]) == b"12345678901"


async def test_a_file_with_another_digest_is_refused(site: Site, tmp_path: Path) -> None:
    file = File(url=site.serve("/f", b"x"), sha256="0" * 64)
    error = await failure(file, tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert "sha256" in str(error)
    assert len(site.requests) == 1


async def test_a_file_the_volume_has_no_room_for_is_refused_at_once(
    site: Site, tmp_path: Path
) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 2**60
        await response.prepare(request)
        return response

    site.answers["/f"] = endless
    error = await failure(File(url=site.url("/f")), tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert "more disk" in str(error)


def test_a_full_volume_is_no_matter_of_trying_again() -> None:
    with (
        Path("/dev/full").open("r+b", buffering=0) as target,
        pytest.raises(PermanentError, match="volume is full"),
    ):
        write(target, b"x")


@pytest.mark.parametrize(
    "header",
    ["Host", "content-length", "Transfer-Encoding", "Range", "If-Range", "Accept-Encoding"],
)
async def test_headers_that_steer_the_connection_are_refused(
    site: Site, tmp_path: Path, header: str
) -> None:
    file = File(url=site.serve("/f", b"x"), headers=((header, "1"),))
    error = await failure(file, tmp_path, [site.address])
    assert isinstance(error, PermanentError)
    assert header in str(error)
    assert site.requests == []


async def test_proxies_and_credentials_of_the_machine_are_not_used(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert await fetched(File(url=site.serve("/f", b"x")), tmp_path, [site.address]) == b"x"
    assert "Authorization" not in site.requests[0][2]


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "file:///etc/passwd", "gopher://a", "//a/b", "a", "", "http://", "http:///x",
     "http://user@a/", "http://u:p@a/", "http://a/\x00", "http://a b/", "http://a:99999/",
     "http://a:0/", "http://[::1/", "HTTP://a/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(PermanentError):
        checked_url(url)


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "http://u:p@b/", "//[::1", "ftp:x"])
def test_a_redirect_leads_to_plain_urls_only(location: str) -> None:
    with pytest.raises(PermanentError):
        redirect_target(checked_url("http://a/b"), location)

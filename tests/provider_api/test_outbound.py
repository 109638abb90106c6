"""Requests to strangers' servers: real servers on loopback that are hostile in one way each."""

import asyncio
import socket
import tracemalloc
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from c2d_api.computeenvironment import Address
from c2d_provider.outbound import Answer, Limits, Outbound, checked_url, file_name, redirect_target
from c2d_provider.ports import ResolvedRequest, UnavailableError
from c2d_provider.refusals import Reason, Refused
from pods import Site

QUICK = Limits(connect=5, answer=2, stall=0.3)
SECRET = "s3cr3t"  # noqa: S105 - to be looked for


class Names(AbstractResolver):
    """Tells one address after another for whatever name it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        address = self.addresses.pop(0)
        kind = socket.AF_INET6 if ":" in address else socket.AF_INET
        return [ResolveResult(
            hostname=host, host=address, port=port, family=kind, proto=0, flags=0
        )]  # fmt: skip

    async def close(self) -> None:
        pass


def get(url: str, *headers: tuple[str, str], method: str = "GET") -> ResolvedRequest:
    return ResolvedRequest(url, method, headers, b"body" if method == "POST" else b"")


async def fetched(
    request: ResolvedRequest,
    allowed: Iterable[Address],
    resolver: AbstractResolver | None = None,
    **options: Any,
) -> tuple[Answer, bytes]:
    async with Outbound(allowed, QUICK, resolver) as outbound:
        answer = await outbound.send(request, **options)
        async with aclosing(answer.chunks) as chunks:
            return answer, b"".join([chunk async for chunk in chunks])


async def refusal(request: ResolvedRequest, allowed: Iterable[Address], **options: Any) -> str:
    with pytest.raises(Refused) as caught:
        await fetched(request, allowed, **options)
    assert caught.value.refusal.reason == Reason.FILE_UNAVAILABLE
    return told_nothing(caught.value)


async def unavailable(request: ResolvedRequest, allowed: Iterable[Address]) -> str:
    with pytest.raises(UnavailableError) as caught:
        await fetched(request, allowed)
    return told_nothing(caught.value)


def told_nothing(error: BaseException) -> str:
    said = f"{error} {error.__cause__}"
    assert SECRET not in said
    assert "127.0.0" not in said
    assert "http" not in said
    return str(error)


def answering(site: Site, path: str, **of: Any) -> str:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(**of)

    site.answers[path] = answer
    return site.url(path)


async def test_a_file_arrives_as_it_is(site: Site) -> None:
    body = bytes(range(256)) * 8192
    answer, content = await fetched(get(site.serve("/f", body)), [site.address])
    assert content == body
    assert (answer.status, answer.length) == (200, len(body))
    method, _, headers = site.requests[0]
    assert (method, headers["Accept-Encoding"]) == ("GET", "identity")


async def test_an_encoded_body_is_kept_as_it_was_sent(site: Site) -> None:
    """As the loader keeps it: a checksum of one is a checksum of the other."""
    body = b"\x1f\x8b" + bytes(100)
    url = answering(site, "/f", body=body, headers={"Content-Encoding": "gzip"})
    answer, content = await fetched(get(url), [site.address])
    assert content == body
    assert dict(answer.headers)["Content-Encoding"] == "gzip"


# Where a request goes


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "localhost", "127.1", "0", "2130706433", "[::1]", "[::ffff:127.0.0.1]",
     "[::ffff:7f00:1]", "169.254.169.254", "10.0.0.1", "[fd00::1]", "100.64.0.1"],
)  # fmt: skip
async def test_an_address_that_is_not_listed_is_never_asked(site: Site, host: str) -> None:
    site.serve("/f", b"x")
    await refusal(get(site.url(f"/f?{SECRET}", host)), [])
    assert site.requests == []


async def test_the_list_opens_one_port_only(site: Site) -> None:
    url = site.serve("/f", b"x")
    await refusal(get(url), [Address("127.0.0.1/32", site.port + 1)])
    _, content = await fetched(get(url), [Address("127.0.0.1/32", site.port)])
    assert content == b"x"


@pytest.mark.parametrize("host", ["127.0.0.2", "169.254.169.254", "[::1]", "[::ffff:127.0.0.2]"])
async def test_a_redirect_to_an_address_that_is_not_listed_is_refused(
    site: Site, host: str
) -> None:
    location = site.url(f"/inner?{SECRET}", host)
    url = answering(site, "/f", status=302, headers={"Location": location})
    await refusal(get(url), [Address("127.0.0.1/32", site.port)])
    assert [path for _, path, _ in site.requests] == ["/f"]


@pytest.mark.parametrize("addresses", [["127.0.0.2"], ["::ffff:127.0.0.2"], ["::1"]])
async def test_a_name_is_judged_by_where_it_leads(site: Site, addresses: list[str]) -> None:
    site.serve("/f", b"x")
    names = Names(*addresses)
    allowed = [Address("127.0.0.1/32", site.port)]
    await refusal(get(site.url("/f", "data.example")), allowed, resolver=names)
    assert names.asked == ["data.example"]
    assert site.requests == []


async def test_a_name_that_changes_its_address_is_resolved_once(site: Site) -> None:
    """Checked at one address and connected to at another is how a guard is led by the nose."""
    site.serve("/f", b"x")
    names = Names("127.0.0.1", "127.0.0.2", "127.0.0.2")
    allowed = [Address("127.0.0.1/32", site.port)]
    url = get(site.url("/f", "data.example"))
    _, content = await fetched(url, allowed, names)
    assert content == b"x"
    assert names.addresses == ["127.0.0.2", "127.0.0.2"]
    await refusal(url, allowed, resolver=names)
    assert len(site.requests) == 1


async def test_a_redirect_resolves_its_name_anew(site: Site) -> None:
    site.serve("/g", b"x")
    location = site.url("/g", "inner.example")
    answering(site, "/f", status=302, headers={"Location": location, "Connection": "close"})
    names = Names("127.0.0.1", "127.0.0.2")
    allowed = [Address("127.0.0.1/32", site.port)]
    await refusal(get(site.url("/f", "data.example")), allowed, resolver=names)
    assert names.asked == ["data.example", "inner.example"]


async def test_the_admins_server_may_have_any_address(site: Site) -> None:
    _, content = await fetched(get(site.serve("/f", b"x")), [], is_trusted=True)
    assert content == b"x"


async def test_the_admins_server_redirects_to_itself_and_to_nobody_private(site: Site) -> None:
    site.serve("/inner", b"x")
    near = answering(site, "/near", status=302, headers={"Location": "/inner"})
    far = site.url("/inner", "127.0.0.2")
    url = answering(site, "/far", status=302, headers={"Location": far})
    _, content = await fetched(get(near), [], is_trusted=True)
    assert content == b"x"
    await refusal(get(url), [], is_trusted=True)


# Redirects


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [(301, "POST", "GET"), (302, "POST", "GET"), (303, "POST", "GET"), (307, "POST", "POST"),
     (308, "POST", "POST"), (302, "GET", "GET"), (303, "HEAD", "HEAD")],
)  # fmt: skip
async def test_a_redirect_is_followed(site: Site, status: int, method: str, then: str) -> None:
    bodies: list[bytes] = []

    async def there(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=b"there")

    site.answers["/a/g"] = there
    url = answering(site, "/a/f", status=status, headers={"Location": "g?a=%2F"})
    await fetched(get(url, ("X-Key", "v"), method=method), [site.address])
    assert site.requests[1][:2] == (then, "/a/g?a=%2F")
    assert site.requests[1][2]["X-Key"] == "v"
    assert bodies == [b"body" if then == "POST" else b""]


async def test_headers_are_not_told_to_another_host(site: Site) -> None:
    site.serve("/g", b"x")
    headers = {"Location": site.url("/g", "127.0.0.2"), "Set-Cookie": "a=b"}
    url = answering(site, "/f", status=307, headers=headers)
    request = get(url, ("Authorization", SECRET), ("Range", "bytes=0-0"))
    await fetched(request, [site.address])
    assert "Authorization" in site.requests[0][2]
    sent = site.requests[1][2]
    assert ("Authorization" in sent, "Cookie" in sent, sent["Range"]) == (False, False, "bytes=0-0")


async def test_redirects_have_an_end(site: Site) -> None:
    url = answering(site, "/f", status=302, headers={"Location": "/f"})
    assert "too often" in await refusal(get(url), [site.address])
    assert len(site.requests) == QUICK.redirects + 1


@pytest.mark.parametrize("location", ["", "file:///etc/passwd", "http://u:p@b/", "//[::1", "ftp:x"])
def test_a_redirect_leads_to_plain_urls_only(location: str) -> None:
    with pytest.raises(Refused):
        redirect_target(checked_url("http://a/b"), location)


@pytest.mark.parametrize(
    "url",
    ["ftp://a/b", "file:///etc/passwd", "//a/b", "a", "", "http://", "http:///x", "http://user@a/",
     "http://u:p@a/", "http://a/\x00", "http://a b/", "http://a:99999/", "http://a:0/",
     "http://[::1/", "HTTP://a/\r\nX: y"],
)  # fmt: skip
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    with pytest.raises(Refused):
        checked_url(url)


# Servers that misbehave


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 304])
async def test_an_answer_that_will_not_change_is_a_refusal(site: Site, status: int) -> None:
    url = answering(site, "/f", status=status)
    assert await refusal(get(url), [site.address]) == (
        f"FileUnavailable: the file's server answered {status}"
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
async def test_a_busy_server_is_unavailable(site: Site, status: int) -> None:
    url = answering(site, "/f", status=status, text=SECRET)
    assert str(status) in await unavailable(get(url), [site.address])


async def test_a_server_that_says_nothing_is_given_up(site: Site) -> None:
    released = asyncio.Event()

    async def silent(_: web.Request) -> web.Response:
        await released.wait()
        return web.Response()

    site.answers["/f"] = silent
    assert "in time" in await unavailable(get(site.url("/f")), [site.address])
    released.set()


async def test_a_server_that_trickles_its_headers_is_given_up() -> None:
    """Each byte comes in time, and all of them never."""
    ended = asyncio.Event()

    async def trickle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        while not writer.is_closing():
            writer.write(b"x")
            try:
                await asyncio.wait_for(ended.wait(), 0.05)
                break
            except TimeoutError:
                continue
        writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    allowed = [Address("127.0.0.1/32", port)]
    assert "in time" in await unavailable(get(f"http://127.0.0.1:{port}/"), allowed)
    ended.set()
    server.close()
    await server.wait_closed()


@pytest.mark.parametrize("then", ["stalls", "stops"])
async def test_a_body_that_does_not_go_on_is_given_up(site: Site, then: str) -> None:
    released = asyncio.Event()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        await response.write(b"x" * 500)
        if then == "stops" and request.transport:
            request.transport.close()
        else:
            await released.wait()
        return response

    site.answers["/f"] = half
    await unavailable(get(site.url("/f")), [site.address])
    released.set()


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("X", "x" * 9000)], id="one that is long"),
        pytest.param([(f"X{n}", "x") for n in range(70)], id="many"),
        pytest.param([(f"X{n}", "x" * 7000) for n in range(6)], id="many that are long"),
    ],
)
async def test_headers_have_a_size(site: Site, headers: list[tuple[str, str]]) -> None:
    async def answer(_: web.Request) -> web.Response:
        response = web.Response(body=b"x")
        response.headers.extend(headers)
        return response

    site.answers["/f"] = answer
    with pytest.raises((Refused, UnavailableError)) as caught:
        await fetched(get(site.url("/f")), [site.address])
    told_nothing(caught.value)


async def test_nobody_listening_is_unavailable(unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/{SECRET}"
    await unavailable(get(url), [Address("127.0.0.1/32", unused_tcp_port)])


async def test_a_name_that_does_not_resolve_is_unavailable() -> None:
    assert "does not resolve" in await unavailable(get(f"http://{SECRET}.invalid/"), [])


async def test_only_headers_of_the_file_are_passed_on(site: Site) -> None:
    theirs = {
        "Content-Type": "text/csv",
        "ETag": '"e"',
        "Set-Cookie": "a=b",
        "Access-Control-Allow-Origin": "*",
        "Content-Security-Policy": "x",
        "Location": "http://a/",
    }
    answer, _ = await fetched(get(answering(site, "/f", body=b"x", headers=theirs)), [site.address])
    assert dict(answer.headers) == {
        "Content-Length": "1",
        "Content-Type": "text/csv",
        "ETag": '"e"',
    }


async def test_proxies_and_credentials_of_the_machine_are_not_used(
    site: Site, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login a password b\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    _, content = await fetched(get(site.serve("/f", b"x")), [site.address])
    assert content == b"x"
    assert "Authorization" not in site.requests[0][2]


async def test_a_large_file_takes_little_memory(site: Site) -> None:
    piece, count = bytes(1024 * 1024), 64

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(count):
            await response.write(piece)
        return response

    site.answers["/f"] = large
    async with Outbound([site.address], QUICK) as outbound:
        answer = await outbound.send(get(site.url("/f")))
        tracemalloc.start()
        length = 0
        async for chunk in answer.chunks:
            length += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert length == count * len(piece)
    assert peak < 8 * 1024 * 1024


# What a file is called


@pytest.mark.parametrize(
    ("disposition", "path", "expected"),
    [
        ("attachment;filename=a.csv", "/x", "a.csv"),
        ('attachment; filename="a b.csv"', "/x", "a b.csv"),
        ("attachment; filename*=UTF-8''B%C3%A4ume.csv", "/x", "Bäume.csv"),
        ("inline", "/folder/data.csv", "data.csv"),
        ("", "/folder/data.csv?token=x.csv", "data.csv"),
        ("", f"/{SECRET}", ""),
        ("", "/", ""),
        ("", "/a/", ""),
        ("", "/a%2fb.csv", ""),
        ('attachment; filename="../../etc/passwd"', "/x", "_.._etc_passwd"),
        ("attachment; filename*=UTF-8''a%0d%0aX:%20y", "/x", "a__X: y"),
        ('attachment; filename=".bashrc"', "/x", "bashrc"),
        ("attachment; filename=" + "a" * 1000, "/x", "a" * 255),
    ],
)
def test_a_file_has_a_name_only_if_it_is_one(disposition: str, path: str, expected: str) -> None:
    assert file_name(disposition, URL(f"http://a{path}", encoded=True)) == expected

"""Other providers on real sockets: guarded, bounded, and silent about where they are."""

import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
from aiohttp import web

from c2d_provider.outbound import Limits
from c2d_provider.ports import Initialized, Remote, Routes, UnavailableError
from c2d_provider.refusals import Reason, Refused
from c2d_provider.remote import MAX_ANSWER_BYTES
from c2d_provider.remote_providers import RemoteProviders
from chain_facts import DATATOKEN, STRANGER
from pods import Site

DID = f"did:op:{'ab' * 32}"
ORDER = "0x" + "cd" * 32
LIMITS = Limits(answer=1, stall=0.3)
ROOT = {
    "serviceEndpoints": {
        "fileinfo": ["POST", "/f"],
        "initialize": ["GET", "/i"],
        "download": ["GET", "/d"],
    }
}


def serve(site: Site, path: str, body: Any, status: int = 200) -> None:
    site.serve(path, body if isinstance(body, bytes) else json.dumps(body).encode())
    inner = site.answers[path]

    async def answer(request: web.Request) -> web.StreamResponse:
        response = await inner(request)
        response.set_status(status)
        return response

    site.answers[path] = answer


@pytest.fixture
async def remotes(site: Site) -> AsyncIterator[RemoteProviders]:
    """Other providers, of which the one on the site may be reached."""
    serve(site, "/secret-v2", ROOT)
    async with RemoteProviders([site.address], LIMITS) as opened:
        yield opened


@pytest.fixture
def place(site: Site) -> Remote:
    return Remote(site.url("/secret-v2"), DID, "s1", DATATOKEN)


async def refused(asked: Awaitable[object]) -> str:
    with pytest.raises(Refused) as caught:
        await asked
    assert caught.value.refusal.reason == Reason.REMOTE_PROVIDER
    words = caught.value.refusal.message
    assert "secret" not in words
    assert "127.0" not in words
    return words


async def test_its_routes_are_asked_for_once_in_a_while(
    site: Site, remotes: RemoteProviders, place: Remote
) -> None:
    for _ in range(3):
        assert await remotes.routes(place.endpoint) == Routes("/f", "/i", "/d")
    assert [path for _, path, _ in site.requests] == ["/secret-v2"]


async def test_its_files_are_counted(site: Site, remotes: RemoteProviders, place: Remote) -> None:
    serve(site, "/secret-v2/f", [{"index": 0}, {"index": 1}])
    assert await remotes.count_files(place) == 2
    method, path, headers = site.requests[-1]
    assert (method, path, headers["Content-Type"]) == ("POST", "/secret-v2/f", "application/json")
    assert "Authorization" not in headers


async def test_it_tells_whether_it_takes_an_order(
    site: Site, remotes: RemoteProviders, place: Remote
) -> None:
    serve(site, "/secret-v2/i", {"validOrder": ORDER})
    assert await remotes.initialize(place, STRANGER, ORDER) == Initialized(None, ORDER)
    assert site.requests[-1][1].endswith(f"consumerAddress={STRANGER}&transferTxId={ORDER}")


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        pytest.param({"error": "secret"}, 400, "answered 400", id="a refusal"),
        pytest.param({"error": "secret"}, 404, "answered 404", id="a route that is not there"),
        pytest.param(b"<html>secret", 200, "makes no sense", id="a page"),
        pytest.param(b" " * (MAX_ANSWER_BYTES + 1), 200, "larger than", id="too much"),
    ],
)
async def test_what_it_refuses_is_said_in_our_words(
    site: Site, remotes: RemoteProviders, place: Remote, body: Any, status: int, words: str
) -> None:
    serve(site, "/secret-v2/i", body, status)
    assert words in await refused(remotes.initialize(place, STRANGER, ORDER))


async def test_what_does_not_answer_is_to_be_asked_again(
    site: Site, remotes: RemoteProviders, place: Remote
) -> None:
    serve(site, "/secret-v2/f", b"secret", 503)
    with pytest.raises(UnavailableError) as caught:
        await remotes.count_files(place)
    assert str(caught.value) == "the asset's provider: the file's server answered 503"


async def test_a_private_address_is_not_asked(site: Site, place: Remote) -> None:
    async with RemoteProviders((), LIMITS) as remotes:
        words = await refused(remotes.count_files(place))
    assert words.endswith("has an address that is private or reserved")
    assert site.requests == []


async def test_a_redirect_to_a_private_address_is_not_followed(
    site: Site, remotes: RemoteProviders, place: Remote
) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/secret"})

    site.answers["/secret-v2/i"] = elsewhere
    words = await refused(remotes.initialize(place, STRANGER, ""))
    assert words.endswith("has an address that is private or reserved")

"""Files of assets on real servers: what they are, and how they are downloaded."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from c2d_provider.assets import AssetSettings, OceanAssets
from c2d_provider.chain import EvmChains
from c2d_provider.files import S3File, UrlFile
from c2d_provider.outbound import Limits
from c2d_provider.ports import Inline, UnavailableError
from c2d_provider.refusals import Reason, Refused
from chain_facts import PROVIDER_KEY
from pods import Site

BODY = b"0123456789" * 1000
LIMITS = Limits(answer=1, stall=0.3)


@pytest.fixture
async def assets(site: Site) -> AsyncIterator[OceanAssets]:
    """Assets that may reach the site, without a chain."""
    settings = AssetSettings(
        PROVIDER_KEY, allowed=(site.address,), checksum_limit=20_000, limits=LIMITS
    )
    async with OceanAssets(settings, EvmChains([])) as opened:
        yield opened


def file(url: str, method: Any = "GET", *headers: tuple[str, str]) -> UrlFile:
    return UrlFile(url, method, headers)


def serve_with_ranges(site: Site, path: str, **headers: str) -> str:
    """Serve `BODY` by ranges, and as CSV."""

    async def answer(request: web.Request) -> web.Response:
        span = request.http_range
        part = BODY[span]
        named = {"Content-Type": "text/csv", **headers}
        if request.headers.get("Range") is None:
            return web.Response(body=BODY, headers=named)
        if not part:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(BODY)}"})
        start = BODY.index(part) if span.start is None else span.start
        named["Content-Range"] = f"bytes {start}-{start + len(part) - 1}/{len(BODY)}"
        return web.Response(status=206, body=part, headers=named)

    site.answers[path] = answer
    return site.url(path)


def without_head(site: Site, path: str) -> str:
    """Take a server that knows only GET, as one behind a signed URL does."""
    url, inner = site.url(path), site.answers[path]

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=403) if request.method == "HEAD" else await inner(request)

    site.answers[path] = answer
    return url


# What a file is


async def test_a_file_is_asked_about_by_head(site: Site, assets: OceanAssets) -> None:
    url = serve_with_ranges(site, "/data.csv", **{"Content-Disposition": 'a; filename="d.csv"'})
    facts = await assets.inspect(file(url), {"n": 1}, checksum=False)
    assert (facts.valid, facts.content_type, facts.content_length) == (True, "text/csv", len(BODY))
    assert (facts.name, facts.sha256) == ("d.csv", None)
    assert [request[:2] for request in site.requests] == [("HEAD", "/data.csv?n=1")]


async def test_where_head_is_not_taken_a_byte_is_asked_for(site: Site, assets: OceanAssets) -> None:
    serve_with_ranges(site, "/data.csv")
    facts = await assets.inspect(file(without_head(site, "/data.csv")), {}, checksum=False)
    assert (facts.valid, facts.content_type, facts.content_length) == (True, "text/csv", len(BODY))
    assert facts.name == "data.csv"
    assert site.requests[1][0] == "GET"
    assert site.requests[1][2]["Range"] == "bytes=0-0"


async def test_an_empty_file_is_a_file(site: Site, assets: OceanAssets) -> None:
    async def empty(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            return web.Response(status=405)
        return web.Response(status=416, headers={"Content-Range": "bytes */0"})

    site.answers["/f"] = empty
    facts = await assets.inspect(file(site.url("/f")), {}, checksum=False)
    assert (facts.valid, facts.content_length) == (True, 0)


async def test_a_post_is_asked_about_by_a_post(site: Site, assets: OceanAssets) -> None:
    facts = await assets.inspect(file(site.serve("/f", b"abc"), "POST"), {"n": 1}, checksum=False)
    assert (facts.valid, facts.content_length) == (True, 3)
    assert [method for method, _, _ in site.requests] == ["POST"]


@pytest.mark.parametrize("status", [401, 404, 410])
async def test_a_file_that_is_not_there_is_not_valid(
    site: Site, assets: OceanAssets, status: int
) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status)

    site.answers["/f"] = answer
    for checksum in (False, True):
        facts = await assets.inspect(file(site.url("/f")), {}, checksum=checksum)
        assert (facts.valid, facts.sha256) == (False, None)


async def test_a_file_at_a_private_address_is_not_valid(assets: OceanAssets) -> None:
    facts = await assets.inspect(file("http://169.254.169.254/s3cr3t"), {}, checksum=True)
    assert not facts.valid


async def test_a_checksum_is_of_the_bytes_as_they_are_sent(site: Site, assets: OceanAssets) -> None:
    url = serve_with_ranges(site, "/f", **{"Content-Encoding": "gzip"})
    facts = await assets.inspect(file(url), {}, checksum=True)
    assert facts.sha256 == hashlib.sha256(BODY).hexdigest()
    assert facts.content_length == len(BODY)
    assert [method for method, _, _ in site.requests] == ["GET"]


async def test_a_file_that_is_too_large_has_no_checksum(site: Site, assets: OceanAssets) -> None:
    for size, has_checksum in ((20_000, True), (20_001, False)):
        facts = await assets.inspect(file(site.serve("/f", bytes(size))), {}, checksum=True)
        assert facts.valid
        assert (facts.sha256 is not None) == has_checksum
        assert facts.content_length == size


async def test_a_file_without_an_end_has_no_checksum(site: Site, assets: OceanAssets) -> None:
    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(100_000):
            await response.write(bytes(10_000))
        return response

    site.answers["/f"] = endless
    facts = await assets.inspect(file(site.url("/f")), {}, checksum=True)
    assert (facts.valid, facts.sha256, facts.content_length) == (True, None, None)


async def test_a_part_of_a_file_has_no_checksum(site: Site, assets: OceanAssets) -> None:
    url = serve_with_ranges(site, "/f")
    facts = await assets.inspect(file(url, "GET", ("Range", "bytes=0-9")), {}, checksum=True)
    assert not facts.valid


async def test_a_server_that_sends_too_slowly_is_unavailable(site: Site) -> None:
    released = asyncio.Event()

    async def slow(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while not released.is_set():
            await response.write(b"x")
            await asyncio.sleep(0.02)
        return response

    site.answers["/f"] = slow
    settings = AssetSettings(PROVIDER_KEY, allowed=(site.address,), checksum_seconds=0.3)
    async with OceanAssets(settings, EvmChains([])) as assets:
        with pytest.raises(UnavailableError, match="in time"):
            await assets.inspect(file(site.url("/f")), {}, checksum=True)
    released.set()


# Downloads


@pytest.mark.parametrize(
    ("asked", "status", "expected", "told"),
    [
        pytest.param(None, 200, BODY, None, id="all"),
        pytest.param("bytes=5-14", 206, BODY[5:15], f"bytes 5-14/{len(BODY)}", id="a part"),
        pytest.param("bytes=99999-", 416, b"", f"bytes */{len(BODY)}", id="what is not there"),
    ],
)
async def test_a_range_is_passed_on(
    site: Site, assets: OceanAssets, *, asked: str | None, status: int, expected: bytes,
    told: str | None,
) -> None:  # fmt: skip
    url = serve_with_ranges(site, "/data.csv")
    headers = (("range", asked), ("Cookie", "s3cr3t")) if asked else (("X-Real-IP", "1.2.3.4"),)
    opened = await assets.open(file(url), {}, headers)
    content = b"".join([chunk async for chunk in opened.chunks])
    assert (opened.status, content, opened.name) == (status, expected, "data.csv")
    assert dict(opened.headers).get("Content-Range") == told
    sent = site.requests[0][2]
    assert (sent.get("Range"), "Cookie" in sent, "X-Real-IP" in sent) == (asked, False, False)


async def test_a_files_own_range_outranks_a_clients(site: Site, assets: OceanAssets) -> None:
    """Its owner may sell a part of it."""
    own = file(serve_with_ranges(site, "/f"), "GET", ("range", "bytes=0-4"))
    opened = await assets.open(own, {}, (("Range", "bytes=0-100"),))
    assert b"".join([chunk async for chunk in opened.chunks]) == BODY[:5]


async def test_a_download_that_is_left_ends_the_request(site: Site, assets: OceanAssets) -> None:
    left = asyncio.Event()

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            while True:
                await response.write(bytes(100_000))
        except (ConnectionError, asyncio.CancelledError):
            left.set()
            raise

    site.answers["/f"] = endless
    opened = await assets.open(file(site.url("/f")), {}, ())
    assert await anext(aiter(opened.chunks))
    await opened.chunks.aclose()
    async with asyncio.timeout(5):
        await left.wait()


async def test_a_file_that_is_not_there_is_not_opened(site: Site, assets: OceanAssets) -> None:
    with pytest.raises(Refused) as caught:
        await assets.open(file(site.url("/s3cr3t")), {}, ())
    assert caught.value.refusal.reason == Reason.FILE_UNAVAILABLE
    assert "s3cr3t" not in str(caught.value)


async def test_a_bucket_is_asked_by_a_signed_request(assets: OceanAssets) -> None:
    bucket = S3File("https://s3.example", "eu-1", "data", "a/b", "id", "s3cr3t")
    resolved = await assets.resolve(bucket, {})
    assert not isinstance(resolved, Inline)
    assert resolved.url.startswith("https://data.s3.example/a/b?X-Amz-Algorithm=")
    assert "s3cr3t" not in resolved.url

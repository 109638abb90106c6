"""Files of a job from a real S3 server, through the loader's guarded connector."""

import hashlib
import json
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import obstore
import pytest
from aiohttp import web
from obstore.store import S3Store
from yarl import URL

from c2d_api.computeenvironment import Address
from c2d_api.computejob import File, S3Object
from c2d_pods.content import PermanentError
from c2d_pods.patience import Patience
from c2d_pods.transfer import Downloads
from pods import Site
from s3 import S3, s3_server
from sites import serving

KEY = "depths/2030 ä+b%20c?.csv"
CONTENT = bytes(range(256)) * 4096
QUICK = Patience(attempts=3, first_pause=0.01)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        put(found.bucket)
        yield found


@pytest.fixture(scope="module")
def public(server: S3) -> S3Object:
    """An object of a bucket whose policy lets everybody read it."""
    bucket = server.bucket.with_name("public")
    put(bucket)
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": ["s3:GetObject"],
        "Resource": ["arn:aws:s3:::public/*"],
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    os.setxattr(bucket, "user.policy", policy.encode())
    return S3Object("public", KEY, server.endpoint)


def put(bucket: Path) -> None:
    path = bucket / KEY
    path.parent.mkdir(parents=True)
    path.write_bytes(CONTENT)


def private(server: S3) -> S3Object:
    return S3Object("results", KEY, server.endpoint, "us-east-1", server.access, server.secret)


def address(endpoint: str) -> Address:
    return Address("127.0.0.1/32", urlsplit(endpoint).port or 0)


async def fetched(wanted: S3Object, folder: Path, *allowed: Address) -> bytes:
    path, digest = folder / "file", hashlib.sha256(CONTENT).hexdigest()
    async with Downloads(allowed, QUICK) as downloads:
        with path.open("wb", buffering=0) as target:
            await downloads.fetch(File(s3=wanted, sha256=digest), target, lambda _: None)
    return path.read_bytes()


async def test_a_private_object_is_fetched_with_its_keys(server: S3, tmp_path: Path) -> None:
    assert await fetched(private(server), tmp_path, address(server.endpoint)) == CONTENT


async def test_a_public_object_is_fetched_without_any(
    server: S3, public: S3Object, tmp_path: Path
) -> None:
    assert await fetched(public, tmp_path, address(server.endpoint)) == CONTENT
    closed = replace(public, bucket="results")
    with pytest.raises(PermanentError, match="the server answered 403"):
        await fetched(closed, tmp_path, address(server.endpoint))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param({"secret_access_key": "other"}, 403, id="another secret"),
        pytest.param({"access_key_id": "other"}, 404, id="another name"),
        pytest.param({"key": "none"}, 404, id="no such object"),
        pytest.param({"bucket": "nowhere"}, 404, id="no such bucket"),
    ],
)
async def test_what_the_server_refuses_fails_in_words_that_show_nothing(
    server: S3, tmp_path: Path, change: dict[str, str], status: int
) -> None:
    wanted = replace(private(server), **change)
    with pytest.raises(PermanentError) as refused:
        await fetched(wanted, tmp_path, address(server.endpoint))
    assert str(refused.value) == f"the server answered {status}"


async def test_a_store_at_a_private_address_is_refused_like_any_server(
    server: S3, tmp_path: Path
) -> None:
    with pytest.raises(PermanentError, match="private"):
        await fetched(private(server), tmp_path)


@asynccontextmanager
async def cutting(server: S3, after: int) -> AsyncIterator[Site]:
    """Stand before the server, under whose name it is asked: the first answer is cut."""
    site = Site()
    async with aiohttp.ClientSession(auto_decompress=False) as session, serving(site):

        async def answer(request: web.Request) -> web.StreamResponse:
            names = ("Host", "Range", "If-Range")
            asked = {name: request.headers[name] for name in names if name in request.headers}
            url = URL(f"{server.endpoint}{request.raw_path}", encoded=True)
            async with session.get(url, headers=asked) as found:
                body = await found.read()
                told = ("ETag", "Content-Range")
                kept = {name: found.headers[name] for name in told if name in found.headers}
                response = web.StreamResponse(status=found.status, headers=kept)
                response.content_length = len(body)
                await response.prepare(request)
                is_first = len(site.requests) == 1
                await response.write(body[:after] if is_first else body)
                if is_first and request.transport:
                    request.transport.close()
                return response

        site.answers["/results/uploaded"] = answer
        yield site


async def test_a_cut_download_of_a_private_object_goes_on_where_it_was(
    server: S3, tmp_path: Path
) -> None:
    store = S3Store(
        "results",
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=server.access,
        secret_access_key=server.secret,
        client_options={"allow_http": True},
    )
    await obstore.put_async(store, "uploaded", CONTENT)
    async with cutting(server, after=300_000) as site:
        endpoint = f"http://127.0.0.1:{site.port}"
        wanted = replace(private(server), endpoint=endpoint, key="uploaded")
        assert await fetched(wanted, tmp_path, site.address) == CONTENT
    (_, _, first), (_, _, second) = site.requests
    assert "Range" not in first
    assert second["Range"] == "bytes=300000-"

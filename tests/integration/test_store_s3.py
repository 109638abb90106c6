"""The publisher against a real S3 server."""

import asyncio
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web

from c2d_api.computeenvironment import Store
from c2d_api.exits import PodExit
from c2d_api.results import decode_manifest, digest, manifest_key, result_key
from c2d_api.tasks import PublisherTask
from c2d_pods.store import ResultStore, StoreError
from pods import Pod, memory_peak
from s3 import S3, s3_server

UID = "6b1f3c7e-0000-4000-8000-000000000002"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


@pytest.fixture
def endpoint(server: S3) -> str:
    return server.endpoint


@pytest.fixture
def credentials(tmp_path: Path, server: S3) -> Path:
    folder = tmp_path / "credentials"
    folder.mkdir()
    for name, value in server.credentials().items():
        (folder / name).write_bytes(value)
    return folder


@pytest.fixture
def publisher(tmp_path: Path, credentials: Path) -> Pod:
    return Pod("c2d_pods.publisher", tmp_path, "--credentials", credentials)


def at(endpoint: str, prefix: str = "", bucket: str = "results") -> Store:
    return Store(f"s3://{bucket}/{prefix}", endpoint, "us-east-1", "result-store")


def task(store: Store) -> str:
    return PublisherTask("job-1", "jobs", UID, None, (), "Complete", store).encode()


async def test_results_are_published_and_read(
    publisher: Pod, server: S3, credentials: Path
) -> None:
    large = bytes(range(256)) * 4096 * 30
    outputs = publisher.data / "outputs"
    (outputs / "a").mkdir(parents=True)
    (outputs / "a/large").write_bytes(large)
    (outputs / "empty").touch()
    (outputs / "odd #\n\\ ../name").parent.mkdir(parents=True)
    (outputs / "odd #\n\\ ../name").write_bytes(b"odd")
    store = at(server.endpoint, "a prefix/")
    ended = await publisher.run(task(store))
    assert ended.code == PodExit.DONE
    reader = ResultStore(store, credentials)
    encoded = await reader.read(manifest_key(UID))
    assert encoded
    assert ended.report["manifestDigest"] == digest(encoded)
    files = {file.name: file for file in decode_manifest(encoded).files}
    assert {name: await reader.read(file.key) for name, file in files.items()} == {
        "a/large": large,
        "empty": b"",
        "odd #\n\\ ../name": b"odd",
    }
    assert files["a/large"].sha256 == hashlib.sha256(large).hexdigest()
    assert server.secret not in ended.said
    again = await publisher.run(task(store))
    assert (again.code, again.report) == (PodExit.DONE, ended.report)


async def test_a_large_upload_takes_little_memory(publisher: Pod, endpoint: str) -> None:
    (publisher.data / "outputs").mkdir()
    (publisher.data / "outputs/large").touch()
    os.truncate(publisher.data / "outputs/large", 200 * 2**20)
    process = await publisher.start(task(at(endpoint, "large")))
    peak = await memory_peak(process)
    await process.communicate()
    assert process.returncode == PodExit.DONE
    assert peak < 64 * 2**20


async def test_many_small_files_beside_large_ones_take_little_memory(
    publisher: Pod, server: S3, credentials: Path
) -> None:
    outputs = publisher.data / "outputs"
    outputs.mkdir()
    contents = {f"{number:04}": str(number).encode() * 10 for number in range(1000)}
    contents |= {f"{number:04}m": bytes([number]) * (3 * 2**20) for number in range(0, 200, 10)}
    for name, content in contents.items():
        (outputs / name).write_bytes(content)
    for name in ("0500x", "0501x"):
        (outputs / name).touch()
        os.truncate(outputs / name, 30 * 2**20)
        contents[name] = bytes(30 * 2**20)
    store = at(server.endpoint, "many")
    process = await publisher.start(task(store))
    peak = await memory_peak(process)
    await process.communicate()
    assert process.returncode == PodExit.DONE
    assert peak < 64 * 2**20
    reader = ResultStore(store, credentials)
    files = decode_manifest(await reader.read(manifest_key(UID)) or b"").files
    assert [file.name for file in files] == sorted(contents)
    assert [file.key for file in files] == [result_key(UID, index) for index in range(len(files))]
    for file in files:
        content = await reader.read(file.key)
        assert content == contents[file.name]
        assert file.sha256 == hashlib.sha256(content or b"").hexdigest()


async def test_a_store_that_goes_down_amid_uploads_leaves_no_manifest_and_may_be_tried_again(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    credentials = tmp_path / "own-credentials"
    credentials.mkdir()
    publisher = Pod("c2d_pods.publisher", tmp_path, "--credentials", credentials)
    outputs = publisher.data / "outputs"
    outputs.mkdir()
    for number in range(3000):
        (outputs / f"{number:04}").write_text("x")
    with s3_server(tmp_path_factory.mktemp("down")) as server:
        for name, value in server.credentials().items():
            (credentials / name).write_bytes(value)
        process = await publisher.start(task(at(server.endpoint)))
        async with asyncio.timeout(60):
            while not (server.bucket / result_key(UID, 50)).exists():  # noqa: ASYNC110 - a file
                await asyncio.sleep(0.02)
    async with asyncio.timeout(120):
        _, errors = await process.communicate()
    assert process.returncode == PodExit.TRY_AGAIN
    assert b"the result store cannot be reached" in errors
    assert (server.bucket / result_key(UID, 50)).exists()
    assert not (server.bucket / manifest_key(UID)).exists()


FULL_SERVERS = {
    "versitygw": (507, "InsufficientStorage"),
    "MinIO": (507, "XMinioStorageFull"),
    "Ceph": (403, "QuotaExceeded"),
}


@pytest.mark.parametrize("kind", FULL_SERVERS)
async def test_a_server_that_is_full_is_said_to_be_so(kind: str, credentials: Path) -> None:
    """A web server answers as these do; filling a disk takes rights that a test may not have."""
    status, code = FULL_SERVERS[kind]

    async def answer(_: web.Request) -> web.Response:
        text = f"<Error><Code>{code}</Code><Message>full</Message></Error>"
        return web.Response(status=status, text=text, content_type="application/xml")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        store = ResultStore(at(f"http://127.0.0.1:{runner.addresses[0][1]}"), credentials)
        with pytest.raises(StoreError, match="the result store is full"):
            await store.write("x", b"x", 1)
    finally:
        await runner.cleanup()


async def test_a_manifest_is_never_written_over(endpoint: str, credentials: Path) -> None:
    store = ResultStore(at(endpoint, "create"), credentials)
    assert await store.create("manifest", b"first")
    assert not await store.create("manifest", b"second")
    assert await store.read("manifest") == b"first"
    assert await store.read("another") is None


@pytest.mark.parametrize("wrong", ["secret", "access", "bucket"])
async def test_a_store_that_refuses_asks_for_another_attempt(
    publisher: Pod, endpoint: str, credentials: Path, wrong: str
) -> None:
    if wrong == "bucket":
        ended = await publisher.run(task(at(endpoint, bucket="no-such-bucket")))
        words = "no such bucket"
    else:
        name = {"secret": "AWS_SECRET_ACCESS_KEY", "access": "AWS_ACCESS_KEY_ID"}[wrong]
        (credentials / name).write_text("wrong-credential")
        ended = await publisher.run(task(at(endpoint)))
        words = "credentials"
    assert ended.code == PodExit.TRY_AGAIN
    assert words in str(ended.report["message"])
    assert "wrong-credential" not in ended.said
    assert endpoint not in ended.said


async def test_a_store_that_nobody_serves_cannot_be_reached(
    publisher: Pod, unused_tcp_port: int
) -> None:
    process = await publisher.start(task(at(f"http://127.0.0.1:{unused_tcp_port}")))
    output, errors = await process.communicate()
    assert process.returncode == PodExit.TRY_AGAIN
    assert b"the result store cannot be reached" in errors
    assert str(unused_tcp_port).encode() not in output + errors


async def test_plain_http_is_for_stores_that_are_named_so(credentials: Path, endpoint: str) -> None:
    store = ResultStore(at(endpoint.replace("http://", "https://")), credentials)
    with pytest.raises(StoreError):
        await store.read("x")

"""The publisher against a real S3 server."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from c2d_api.computeenvironment import Store
from c2d_api.exits import PodExit
from c2d_api.results import decode_manifest, digest, manifest_key
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

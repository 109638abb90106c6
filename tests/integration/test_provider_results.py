"""Results of jobs as the provider serves them, from a real S3 server and from a folder."""

import asyncio
import hashlib
import json
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import obstore
import pytest
from aiohttp import ClientSession
from obstore.store import S3Store

from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.results import (
    Manifest,
    ResultFile,
    admin_log_key,
    digest,
    manifest_key,
    result_key,
)
from c2d_api.times import format_time
from c2d_provider.ports import Stored, UnavailableError
from c2d_provider.refusals import Reason, Refusal
from c2d_provider.results import Recent, StoredResults
from chain_facts import CONSUMER
from provider_fakes import NOW, served, signed
from s3 import S3, s3_server
from store_facts import UID_PREFIX, job_body

NAME = "0123456789abcdef0123456789abcdef"
UID = f"{UID_PREFIX}{NAME}"
CONTENT = bytes(range(256)) * 4096 * 8
LARGE = 2 * 2**30
TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as found:
        yield found


class Secrets:
    """A cluster of which nothing is asked but Secrets; it counts."""

    def __init__(self, content: dict[str, bytes] | None) -> None:
        self.content = content
        self.asked: list[tuple[str, str]] = []

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        self.asked.append((namespace, name))
        return self.content


def writer(server: S3) -> S3Store:
    return S3Store(
        "results",
        prefix="a-prefix",
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=server.access,
        secret_access_key=server.secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )


def publish(server: S3, *contents: tuple[str, bytes, int], expires: str | None = None) -> bytes:
    """Publish files by name, content and the size that the manifest says; returns the manifest."""
    store, files = writer(server), []
    for index, (name, content, size) in enumerate(contents):
        sha256 = hashlib.sha256(content).hexdigest()
        files.append(ResultFile(name, "output", size, sha256, result_key(UID, index)))
        obstore.put(store, result_key(UID, index), content, use_multipart=False)
    manifest = Manifest(
        NAME, "jobs", UID, CONSUMER, (), "Complete", tuple(files), expires=expires
    ).encode()
    obstore.put(store, manifest_key(UID), manifest, use_multipart=False)
    return manifest


def finished(server: S3, manifest: bytes, **changes: Any) -> ComputeJob:
    body = job_body(NAME, server.endpoint, digest(manifest), **changes)
    return parse_job(served(body, NOW, body["status"]))


def reader(server: S3, secret: Any = "", folder: Path | None = None) -> StoredResults:
    secrets: Any = Secrets(server.credentials() if secret == "" else secret)
    return StoredResults(secrets, "c2d-system", folder, time.time)


async def whole(stored: Stored | Refusal) -> bytes:
    assert isinstance(stored, Stored)
    return b"".join([chunk async for chunk in stored.chunks])


async def test_files_are_read_whole_and_in_ranges(server: S3) -> None:
    manifest = publish(server, ("a/data", CONTENT, len(CONTENT)), ("empty", b"", 0))
    results, job = reader(server), finished(server, manifest)
    listed = await results.files(job)
    assert not isinstance(listed, Refusal)
    assert [(file.name, file.size) for file in listed] == [("a/data", len(CONTENT)), ("empty", 0)]
    stored = await results.read(job, 0, None)
    assert isinstance(stored, Stored)
    assert (stored.name, stored.total, stored.length) == ("a/data", len(CONTENT), len(CONTENT))
    assert stored.etag == hashlib.sha256(CONTENT).hexdigest()
    assert await whole(stored) == CONTENT
    for span in ((5, 9), (len(CONTENT) - 3, None), (-7, None), (1_000_000, 5_000_000)):
        start = span[0] if span[0] >= 0 else len(CONTENT) + span[0]
        end = len(CONTENT) if span[1] is None else span[1] + 1
        part = await results.read(job, 0, span)
        assert isinstance(part, Stored)
        assert part.length == end - start
        assert await whole(part) == CONTENT[start:end]
    assert await whole(await results.read(job, 1, None)) == b""
    behind = await results.read(job, 0, (len(CONTENT), None))
    assert isinstance(behind, Stored)
    assert behind.length == 0
    assert isinstance(await results.read(job, 2, None), Refusal)


async def test_manifest_and_secret_are_read_once(server: S3) -> None:
    manifest = publish(server, ("x", b"x", 1))
    secrets: Any = Secrets(server.credentials())
    results, job = (
        StoredResults(secrets, "c2d-system", None, time.time),
        finished(server, manifest),
    )
    assert await whole(await results.read(job, 0, None)) == b"x"
    obstore.delete(writer(server), manifest_key(UID))
    assert await whole(await results.read(job, 0, None)) == b"x"
    assert secrets.asked == [("c2d-system", "result-store")]


async def test_expired_results_are_not_served_though_they_are_there(server: S3) -> None:
    expires = datetime(2026, 1, 1, tzinfo=UTC)
    manifest = publish(server, ("x", b"x", 1), expires=format_time(expires))
    now = [expires.timestamp() - 1]
    secrets: Any = Secrets(server.credentials())
    results, job = (
        StoredResults(secrets, "c2d-system", None, lambda: now[0]),
        finished(server, manifest),
    )
    assert await whole(await results.read(job, 0, None)) == b"x"
    now[0] += 1
    for answer in (await results.read(job, 0, None), await results.files(job)):
        assert isinstance(answer, Refusal)
        assert answer.reason is Reason.RESULT_EXPIRED
        assert "expired" in answer.message


async def test_a_manifest_that_the_status_does_not_name_is_not_believed(server: S3) -> None:
    publish(server, ("x", b"x", 1))
    with pytest.raises(UnavailableError, match="not those that the job's status names"):
        await reader(server).files(finished(server, b"another"))


async def test_an_object_of_another_length_is_not_read(server: S3) -> None:
    manifest = publish(server, ("x", b"shorter", 100))
    with pytest.raises(UnavailableError):
        await reader(server).read(finished(server, manifest), 0, None)


async def test_a_job_without_results_has_none(server: S3) -> None:
    body = job_body(NAME, server.endpoint, digest(b""))
    del body["status"]["results"]
    job = parse_job(served(body, NOW, body["status"]))
    assert isinstance(await reader(server).read(job, 0, None), Refusal)
    elsewhere = finished(server, b"", store="s3://results/nothing-here")
    assert isinstance(await reader(server).files(elsewhere), Refusal)


@pytest.mark.parametrize(
    "changes",
    [
        {"AWS_SECRET_ACCESS_KEY": b"wrong-secret"},
        {"AWS_SECRET_ACCESS_KEY": b""},
        # this server says "not found" of accounts that it does not know
        {"AWS_ACCESS_KEY_ID": b"wrong-account"},
    ],
    ids=["another secret", "none", "another account"],
)
async def test_without_the_right_keys_nothing_is_read(
    server: S3, changes: dict[str, bytes]
) -> None:
    manifest = publish(server, ("x", b"x", 1))
    secret = {**server.credentials(), **changes}
    try:
        told = str(await reader(server, secret).files(finished(server, manifest)))
        assert "not in their store" in told
    except UnavailableError as error:
        told = str(error)
        assert "cannot be read at the moment" in told
    assert "wrong" not in told
    assert server.endpoint not in told


async def test_without_a_secret_nothing_is_read(server: S3) -> None:
    manifest = publish(server, ("x", b"x", 1))
    with pytest.raises(UnavailableError):
        await reader(server, None).files(finished(server, manifest))


async def test_a_store_that_nobody_serves_is_unavailable(server: S3, unused_tcp_port: int) -> None:
    body = job_body(NAME, f"http://127.0.0.1:{unused_tcp_port}", digest(b"x"))
    job = parse_job(served(body, NOW, body["status"]))
    with pytest.raises(UnavailableError) as failed:
        await reader(server).files(job)
    assert str(unused_tcp_port) not in str(failed.value)


async def test_a_claim_that_is_mounted_is_read(server: S3, tmp_path: Path) -> None:
    folder = tmp_path / "jobs/share/some/folder"
    (folder / UID / "results").mkdir(parents=True)
    (folder / result_key(UID, 0)).write_bytes(CONTENT)
    file = ResultFile("data", "output", len(CONTENT), "0" * 64, result_key(UID, 0))
    manifest = Manifest(NAME, "jobs", UID, CONSUMER, (), "Complete", (file,)).encode()
    (folder / manifest_key(UID)).write_bytes(manifest)
    body = job_body(NAME, None, digest(manifest), "file://share/some/folder")
    job = parse_job(served(body, NOW, body["status"]))
    assert await whole(await reader(server, None, tmp_path).read(job, 0, (1, 9))) == CONTENT[1:10]
    with pytest.raises(UnavailableError, match="where the provider cannot read them"):
        await reader(server, None).read(job, 0, None)


async def test_a_key_that_a_manifest_makes_up_is_not_read(server: S3) -> None:
    """Only keys that are computed are read: a manifest cannot lead to another job's results."""
    obstore.put(writer(server), "other/results/00000", b"another job's", use_multipart=False)
    publish(server, ("x", b"mine", 4))
    file = ResultFile("x", "output", 4, "0" * 64, "other/results/00000")
    manifest = Manifest(NAME, "jobs", UID, CONSUMER, (), "Complete", (file,)).encode()
    obstore.put(writer(server), manifest_key(UID), manifest, use_multipart=False)
    assert await whole(await reader(server).read(finished(server, manifest), 0, None)) == b"mine"


@pytest.mark.parametrize(
    "name", ["../adminlogs/loading.log", "adminlogs/loading.log", "/adminlogs/publishing.log"]
)
async def test_no_name_and_no_key_of_a_result_leads_to_the_admin_logs(
    server: S3, name: str
) -> None:
    store = writer(server)
    for log in ("loading.log", "publishing.log"):
        obstore.put(store, admin_log_key(UID, log), b"for admins", use_multipart=False)  # type: ignore[arg-type]  # mypy widens the tuple's literals
    publish(server, ("x", b"of the job", 10))
    key = admin_log_key(UID, "loading.log")
    file = ResultFile(name, "output", 10, hashlib.sha256(b"of the job").hexdigest(), key)
    manifest = Manifest(NAME, "jobs", UID, CONSUMER, (), "Complete", (file,)).encode()
    obstore.put(store, manifest_key(UID), manifest, use_multipart=False)
    results, job = reader(server), finished(server, manifest)
    assert await whole(await results.read(job, 0, None)) == b"of the job"
    assert isinstance(await results.read(job, 1, None), Refusal)


async def test_ten_thousand_results_are_listed_and_each_is_read_by_its_index(server: S3) -> None:
    files = tuple(
        ResultFile(f"{index}{'n' * 240}", "output", 4, "0" * 64, result_key(UID, index))
        for index in range(10_000)
    )
    store = writer(server)
    obstore.put(store, result_key(UID, 9_999), b"last", use_multipart=False)
    manifest = Manifest(NAME, "jobs", UID, CONSUMER, (), "Complete", files).encode()
    obstore.put(store, manifest_key(UID), manifest, use_multipart=False)
    results, job = reader(server), finished(server, manifest)
    assert await results.files(job) == files
    assert await whole(await results.read(job, 9_999, None)) == b"last"


def test_what_is_kept_is_bounded_by_its_weight_and_the_last_one_stays() -> None:
    recent: Recent[str] = Recent(10, OrderedDict())
    recent.put("a", "A", 4)
    recent.put("b", "B", 6)
    assert recent.get("a") == "A"  # and so b is the one not used for longest
    recent.put("c", "C", 5)
    assert (recent.get("a"), recent.get("b"), recent.get("c")) == ("A", None, "C")
    recent.put("a", "A again", 5)
    assert (recent.get("a"), recent.get("c")) == ("A again", "C")
    recent.put("d", "D", 100)
    assert [recent.get(key) for key in "abcd"] == [None, None, None, "D"]


def memory(pid: int, name: str) -> int:
    """Read a number of a process's memory, in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


async def test_two_gigabytes_pass_through_in_little_memory(server: S3) -> None:
    manifest = publish(server, ("large", b"", LARGE))
    os.truncate(server.bucket / "a-prefix" / result_key(UID, 0), LARGE)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "results_server.py"),
        cwd=TESTS,
        env={**os.environ, "PYTHONPATH": f"{TESTS}:{TESTS.parent / 'hack'}"},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    asked = {
        "name": NAME,
        "endpoint": server.endpoint,
        "digest": digest(manifest),
        "credentials": {name: value.decode() for name, value in server.credentials().items()},
    }
    process.stdin.write(json.dumps(asked).encode() + b"\n")
    port = int(await process.stdout.readline())
    try:
        small = await fetch(port, 1, headers={"Range": "bytes=0-0"})
        before = memory(process.pid, "VmRSS")
        began = time.monotonic()
        large = await fetch(port, 2)
        seconds = time.monotonic() - began
        assert (small, large) == (1, LARGE)
        assert memory(process.pid, "VmHWM") - before < 64 * 2**20
        print(f"{LARGE / seconds / 1e6:.0f} MB/s")  # noqa: T201 - a figure for who runs with -s
    finally:
        process.stdin.close()
        await process.wait()


async def fetch(port: int, nonce: int, **more: Any) -> int:
    """Download the first file of the job; returns its length."""
    asked = {
        "consumerAddress": CONSUMER,
        "jobId": NAME,
        "index": "0",
        "nonce": str(nonce),
        "signature": signed(f"{CONSUMER}{NAME}0{nonce}"),
    }
    url = f"http://127.0.0.1:{port}/v2/api/services/computeResult"
    length = 0
    async with ClientSession() as session, session.get(url, params=asked, **more) as response:
        assert response.status in (200, 206), await response.text()
        async for chunk in response.content.iter_any():
            length += len(chunk)
    return length

"""The whole publisher as a process, with a folder as its store."""

import asyncio
import errno
import hashlib
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from c2d_api.computeenvironment import Store
from c2d_api.exits import MESSAGE_BYTES, PodExit, Report
from c2d_api.results import Manifest, ResultFile, decode_manifest, digest
from c2d_api.tasks import PublisherTask, decode_publisher_task
from c2d_api.times import parse_time
from c2d_pods.ending import Progress
from c2d_pods.harvest import Limits, VolumeError
from c2d_pods.publisher import PATIENT_ATTEMPTS, UPLOADS_AT_ONCE, Content, Publication, Room
from c2d_pods.store import MOST_MANIFEST_BYTES, PART_BYTES, ResultStore, StoreError
from pods import Pod, memory_peak

OWNER = "0x00000000000000000000000000000000000000A1"
UID = "6b1f3c7e-0000-4000-8000-000000000001"


class Results:
    """A store in a folder, and what was published there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def task(self, url: str | None = None, **fields: Any) -> str:
        store = Store(url or f"file://{self.folder}")
        task = PublisherTask("job-1", "jobs", UID, OWNER, (OWNER,), "Complete", store)
        return replace(task, **fields).encode()

    @property
    def encoded(self) -> bytes:
        return (self.folder / UID / "manifest.json").read_bytes()

    @property
    def manifest(self) -> Manifest:
        return decode_manifest(self.encoded)

    def content(self, file: ResultFile) -> bytes:
        return (self.folder / file.key).read_bytes()


@pytest.fixture
def results(tmp_path: Path) -> Results:
    return Results(tmp_path / "store with space")


def leave(publisher: Pod, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        path = publisher.data / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


async def test_everything_is_published_and_the_manifest_tells_it(
    publisher: Pod, results: Results
) -> None:
    left = {
        "outputs/a/b": b"nested",
        "outputs/empty": b"",
        "outputs/top": b"top",
        "logs/algorithm.log": b"said",
        "logs/notes": b"noted",
    }
    leave(publisher, left | {"adminlogs/loading.log": b"for admins"})
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    manifest = results.manifest
    assert (manifest.job, manifest.namespace, manifest.uid) == ("job-1", "jobs", UID)
    assert (manifest.owner, manifest.viewers, manifest.outcome) == (OWNER, (OWNER,), "Complete")
    assert [(file.name, file.type, results.content(file)) for file in manifest.files] == [
        ("a/b", "output", b"nested"),
        ("empty", "output", b""),
        ("top", "output", b"top"),
        ("algorithm.log", "algorithmLog", b"said"),
        ("notes", "output", b"noted"),
    ]
    for file in manifest.files:
        content = results.content(file)
        assert (file.size, file.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert (results.folder / UID / "adminlogs/loading.log").read_bytes() == b"for admins"
    assert b"job-1" in (results.folder / UID / "adminlogs/publishing.log").read_bytes()
    assert ended.report["manifestDigest"] == digest(results.encoded)
    assert (ended.report["count"], ended.report["totalBytes"]) == (5, 18)


async def test_the_manifest_tells_until_when_results_are_kept(
    publisher: Pod, results: Results
) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    ended = await publisher.run(results.task(retention=3600))
    assert ended.code == PodExit.DONE
    kept = parse_time(results.manifest.expires or "") - timedelta(hours=1)
    assert before <= kept <= datetime.now(UTC)


async def test_without_a_retention_results_are_kept_for_ever(
    publisher: Pod, results: Results
) -> None:
    await publisher.run(results.task())
    assert results.manifest.expires is None


async def test_nothing_left_is_a_result_too(publisher: Pod, results: Results) -> None:
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    assert results.manifest.files == ()


async def test_an_attempt_after_the_manifest_changes_nothing(
    publisher: Pod, results: Results
) -> None:
    leave(publisher, {"outputs/a": b"first"})
    first = await publisher.run(results.task())
    before = results.encoded
    leave(publisher, {"outputs/a": b"other", "outputs/b": b"more"})
    second = await publisher.run(results.task())
    assert (second.code, results.encoded) == (PodExit.DONE, before)
    assert second.report == first.report
    assert results.content(results.manifest.files[0]) == b"first"


async def test_an_attempt_after_a_crash_writes_everything_anew(
    publisher: Pod, results: Results
) -> None:
    leave(publisher, {"outputs/a": b"whole", "outputs/b": b"too"})
    half = results.folder / UID / "results/00000"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    assert [results.content(file) for file in results.manifest.files] == [b"whole", b"too"]


async def test_what_is_left_out_is_told_to_admin_and_consumer(
    publisher: Pod, results: Results
) -> None:
    leave(publisher, {"outputs/a": b"a"})
    (publisher.data / "outputs/link\n\u202eline").symlink_to("/etc/passwd")
    os.mkfifo(publisher.data / "outputs/pipe")
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    assert ended.report["omitted"] == results.manifest.omitted == 2
    skipped = ("link\n\u202eline is a symbolic link", "pipe is a pipe")
    assert results.manifest.skipped == skipped
    log = (publisher.data / "adminlogs/publishing.log").read_text().splitlines()
    (line,) = (line for line in log if "link" in line)
    assert line.endswith(r"'link\n\u202eline is a symbolic link'")
    output, told = results.manifest.files
    assert (output.name, told.name, told.type) == ("a", "publish.log", "publishLog")
    assert results.content(told).decode().splitlines() == [
        "Not published, or not whole:",
        r"link\n\u202eline is a symbolic link",
        "pipe is a pipe",
    ]
    assert told.sha256 == hashlib.sha256(results.content(told)).hexdigest()


async def test_a_file_named_like_ours_is_published_beside_it(
    publisher: Pod, results: Results
) -> None:
    """Keys are numbers: no name of a file leads to another key."""
    names = ("algorithm.log", "publish.log", "manifest.json", "adminlogs/loading.log", "..a")
    leave(publisher, {f"outputs/{name}": name.encode() for name in names})
    leave(publisher, {"logs/algorithm.log": b"said", "adminlogs/loading.log": b"for admins"})
    (publisher.data / "outputs/link").symlink_to("../adminlogs/loading.log")
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    by_type = [(file.name, file.type) for file in results.manifest.files]
    assert by_type == [
        *((name, "output") for name in sorted(names)),
        ("algorithm.log", "algorithmLog"),
        ("publish.log", "publishLog"),
    ]
    for file in results.manifest.files[: len(names)]:
        assert results.content(file) == file.name.encode()
    assert (results.folder / UID / "adminlogs/loading.log").read_bytes() == b"for admins"


class Attempt:
    """A publication in this process, whose store or folder may change while it runs."""

    def __init__(self, folder: Path, results: Results) -> None:
        self.data = folder / "data"
        self.outputs = self.data / "outputs"
        self.outputs.mkdir(parents=True)
        self.results = results

    async def publish(self, store: ResultStore, **fields: Any) -> Report:
        data = os.open(self.data, os.O_RDONLY | os.O_DIRECTORY)
        try:
            task = decode_publisher_task(self.results.task(**fields))
            return await Publication(task, store, data, Limits()).publish()
        finally:
            os.close(data)


@pytest.fixture
def attempt(tmp_path: Path, results: Results) -> Attempt:
    return Attempt(tmp_path, results)


class Swapping(ResultStore):
    """A store; as soon as it is given something, files have become something else."""

    def __init__(self, results: Results, outputs: Path) -> None:
        super().__init__(Store(f"file://{results.folder}"), outputs)
        self._outputs = outputs

    async def write(self, key: str, content: bytes | Iterator[bytes], size: int) -> None:
        for name in ("b", "c", "d"):
            (self._outputs / name).unlink(missing_ok=True)
        if not (self._outputs / "d").exists():
            os.mkfifo(self._outputs / "d")
        if not (self._outputs / "b").is_symlink():
            (self._outputs / "b").symlink_to("a")
        await super().write(key, content, size)


async def test_files_that_cannot_be_opened_any_more_are_left_out_without_a_gap(
    attempt: Attempt, results: Results
) -> None:
    for name in ("b", "c", "d", "e"):
        (attempt.outputs / name).write_text(name)
    (attempt.outputs / "a").touch()
    os.truncate(attempt.outputs / "a", PART_BYTES + 1)  # those behind wait for it
    report = await attempt.publish(Swapping(results, attempt.outputs))
    assert results.manifest.skipped == (
        "b cannot be read (Too many levels of symbolic links)",
        "c cannot be read (No such file or directory)",
        "d cannot be read (not a regular file)",
    )
    assert (report.count, report.omitted) == (3, 3)
    assert [(file.name, file.key) for file in results.manifest.files] == [
        ("a", f"{UID}/results/00000"),
        ("e", f"{UID}/results/00001"),
        ("publish.log", f"{UID}/results/00002"),
    ]
    assert results.content(results.manifest.files[1]) == b"e"


class Failing(ResultStore):
    """A store that fails when it is as busy as it can be, and knows what becomes of the others."""

    def __init__(self, results: Results) -> None:
        super().__init__(Store(f"file://{results.folder}"), results.folder)
        self.busy = self.most_busy = 0
        self.cancelled = 0

    async def write(self, key: str, content: bytes | Iterator[bytes], size: int) -> None:
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            if self.busy == UPLOADS_AT_ONCE:
                for _ in range(100):  # turns in which others could begin
                    await asyncio.sleep(0)
                raise StoreError("the result store is down")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.busy -= 1


async def test_the_first_failure_ends_all_uploads_and_there_is_no_manifest(
    attempt: Attempt, results: Results
) -> None:
    for number in range(3 * UPLOADS_AT_ONCE):
        (attempt.outputs / f"{number:02}").write_text("x")
    store = Failing(results)
    with pytest.raises(StoreError, match="the result store is down"):
        await attempt.publish(store)
    assert (store.most_busy, store.busy) == (UPLOADS_AT_ONCE, 0)
    assert store.cancelled == UPLOADS_AT_ONCE - 1
    assert not (results.folder / UID / "manifest.json").exists()


async def test_an_upload_waits_for_its_place_and_for_its_bytes() -> None:
    room = Room(3, 10)
    await room.take(4)
    await room.take(5)
    waiting = asyncio.ensure_future(room.take(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give_back(4)
    await waiting
    whole = asyncio.ensure_future(room.take(10**9))
    await asyncio.sleep(0)
    room.give_back(5)
    await asyncio.sleep(0)
    assert not whole.done()
    room.give_back(2)
    await whole


async def test_a_read_error_of_a_large_file_is_its_own_and_not_the_stores(
    results: Results, tmp_path: Path
) -> None:
    """The first page of a process's memory cannot be read: a true error of input."""
    descriptor = os.open("/proc/self/mem", os.O_RDONLY)
    store = ResultStore(Store(f"file://{results.folder}"), tmp_path)
    try:
        content = Content(descriptor, PART_BYTES + 1, Progress(1))
        with pytest.raises(OSError, match=r"\[Errno") as failed:
            await content.send(store, "x")
    finally:
        os.close(descriptor)
    assert failed.value.errno == errno.EIO
    assert not (results.folder / "x").exists()


@contextmanager
def few_descriptors() -> Iterator[None]:
    """Let this process open a dozen files more, and no others."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = len(os.listdir("/proc/self/fd")) + 12
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_what_may_pass_is_waited_for_some_attempts_and_then_left_out(
    attempt: Attempt, results: Results
) -> None:
    deep = attempt.outputs / "/".join("d" * 31)
    deep.mkdir(parents=True)
    (deep / "file").write_text("out of reach")
    (attempt.outputs / "a").write_text("a")
    store = ResultStore(Store(f"file://{results.folder}"), results.folder)
    with few_descriptors():
        with pytest.raises(VolumeError, match="Too many open files"):
            await attempt.publish(store, attempt=PATIENT_ATTEMPTS - 1)
        assert not (results.folder / UID / "manifest.json").exists()
        await attempt.publish(store, attempt=PATIENT_ATTEMPTS)
    assert [file.name for file in results.manifest.files] == ["a", "publish.log"]
    (line,) = results.manifest.skipped
    assert line.endswith("d cannot be read (Too many open files)")


async def test_a_task_says_how_much_is_published(publisher: Pod, results: Results) -> None:
    leave(publisher, {f"outputs/{name}": b"12345" for name in "abcd"})
    leave(publisher, {"logs/algorithm.log": b"said"})
    ended = await publisher.run(results.task(max_files=3, max_bytes=12))
    assert ended.code == PodExit.DONE
    assert [file.name for file in results.manifest.files] == [
        "a",
        "b",
        "algorithm.log",
        "publish.log",
    ]
    assert results.manifest.skipped == (
        "c is too large beside the others",
        "d is too large beside the others",
    )


async def test_as_many_files_as_are_published_leave_the_log_its_place(
    publisher: Pod, results: Results
) -> None:
    outputs = publisher.data / "outputs"
    outputs.mkdir()
    name = "n" * 240
    for number in range(10_000):
        (outputs / f"{number:05}{name}").touch()
    leave(publisher, {"logs/algorithm.log": b"said"})
    process = await publisher.start(results.task())
    peak = await memory_peak(process)
    await process.communicate()
    assert process.returncode == PodExit.DONE
    manifest = results.manifest
    assert (len(manifest.files), manifest.skipped) == (10_001, ())
    assert manifest.files[-1].name == "algorithm.log"
    assert {len(file.name) for file in manifest.files[:-1]} == {245}
    assert len(publisher.report.read_bytes()) <= MESSAGE_BYTES
    assert len(results.encoded) < MOST_MANIFEST_BYTES
    assert peak < 64 * 2**20


async def test_a_large_file_takes_little_memory(publisher: Pod, results: Results) -> None:
    leave(publisher, {"outputs/large": b""})
    size = 300 * 2**20
    os.truncate(publisher.data / "outputs/large", size)
    process = await publisher.start(results.task())
    peak = await memory_peak(process)
    await process.communicate()
    (file,) = results.manifest.files
    assert (process.returncode, file.size) == (PodExit.DONE, size)
    zeros = hashlib.sha256()
    for _ in range(300):
        zeros.update(bytes(2**20))
    assert file.sha256 == zeros.hexdigest()
    assert peak < 64 * 2**20


async def test_many_long_names_fit_report_and_memory(publisher: Pod, results: Results) -> None:
    outputs = publisher.data / "outputs"
    outputs.mkdir()
    for number in range(3000):
        (outputs / f"{number:05}{'é' * 100}").touch()
    process = await publisher.start(results.task())
    peak = await memory_peak(process)
    await process.communicate()
    assert process.returncode == PodExit.DONE
    assert len(results.manifest.files) == 3000
    assert len(publisher.report.read_bytes()) <= MESSAGE_BYTES
    assert peak < 64 * 2**20


@pytest.mark.parametrize("url", ["ftp://host/x", "file://host/x", "s3://", "memory:///"])
async def test_a_store_that_nobody_knows_is_no_matter_of_trying_again(
    publisher: Pod, results: Results, url: str
) -> None:
    ended = await publisher.run(results.task(url))
    assert ended.code == PodExit.UPLOAD_FAILED
    assert "must begin with s3:// or file:///" in str(ended.report["message"])


async def test_a_store_that_cannot_be_written_asks_for_another_attempt(
    publisher: Pod, results: Results
) -> None:
    results.folder.write_text("no folder")
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.TRY_AGAIN
    assert "result store" in str(ended.report["message"])


async def test_a_stop_request_ends_it_at_once(publisher: Pod, results: Results) -> None:
    leave(publisher, {"outputs/large": b""})
    os.truncate(publisher.data / "outputs/large", 60 * 2**30)
    process = await publisher.start(results.task())
    assert process.stdout
    assert b"progress" in await process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    await process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert not (results.folder / UID / "manifest.json").exists()

"""The whole publisher as a process, with a folder as its store."""

import hashlib
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from c2d_api.computeenvironment import Store
from c2d_api.exits import MESSAGE_BYTES, PodExit
from c2d_api.results import Manifest, ResultFile, decode_manifest, digest
from c2d_api.tasks import PublisherTask
from c2d_api.times import parse_time
from pods import Pod, memory_peak

OWNER = "0x00000000000000000000000000000000000000A1"
UID = "6b1f3c7e-0000-4000-8000-000000000001"


class Results:
    """A store in a folder, and what was published there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def task(self, url: str | None = None, retention: int | None = None) -> str:
        store = Store(url or f"file://{self.folder}")
        return PublisherTask(
            "job-1", "jobs", UID, OWNER, (OWNER,), "Complete", store, retention
        ).encode()

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


async def test_what_is_left_out_is_told(publisher: Pod, results: Results) -> None:
    leave(publisher, {"outputs/a": b"a"})
    (publisher.data / "outputs/link\nline").symlink_to("/etc/passwd")
    os.mkfifo(publisher.data / "outputs/pipe")
    ended = await publisher.run(results.task())
    assert ended.code == PodExit.DONE
    assert [file.name for file in results.manifest.files] == ["a"]
    assert results.manifest.skipped == ("link\nline is a symbolic link", "pipe is a pipe")
    log = (publisher.data / "adminlogs/publishing.log").read_text().splitlines()
    (line,) = (line for line in log if "link" in line)
    assert line.endswith(r"'link\nline is a symbolic link'")


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

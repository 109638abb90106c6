"""The publisher: brings what a job leaves to the result store, the manifest last.

It runs after the algorithm's container has ended. An attempt that finds the manifest of a former
one has nothing left to do; any other writes the same objects anew.

Files get their index when they are opened, in their order, so that indexes have no gaps though
files are uploaded side by side and some of them cannot be read. What is left out is listed in a
file of its own, the last one, and only there if there is something to list.
"""

import argparse
import asyncio
import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, get_args

from c2d_api.exits import MESSAGE_PATH, PodExit, Report
from c2d_api.results import (
    FileType,
    Manifest,
    ResultFile,
    admin_log_key,
    decode_manifest,
    digest,
    expiry,
    manifest_key,
    result_key,
)
from c2d_api.tasks import (
    CREDENTIALS_MOUNT,
    TASK_FILE,
    TASK_MOUNT,
    PublisherTask,
    decode_publisher_task,
)
from c2d_api.workspace import ADMIN_LOGS, VOLUME
from c2d_pods.ending import PodError, Progress, leave, log_to, run
from c2d_pods.harvest import (
    Found,
    LeftOut,
    Limits,
    VolumeError,
    harvest,
    published,
    reached,
)
from c2d_pods.store import PART_BYTES, ResultStore, StoreError, UnknownStoreError

log = logging.getLogger("c2d_pods.publisher")

AdminLog = Literal["loading.log", "publishing.log"]
READ_BYTES = 256 * 1024
LISTED = 100
UPLOADS_AT_ONCE = 16
BYTES_AT_ONCE = 2 * PART_BYTES
PATIENT_ATTEMPTS = 6  # with a volume that fails; their pauses are a minute together
LEFT_OUT_NAME = "publish.log"


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish what the task says, and tell how it ended."""
    options = _options(arguments)
    return run(lambda: publish(options), options.report)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python3 -m c2d_pods.publisher", description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(VOLUME), help="the job's volume")
    parser.add_argument(
        "--task", type=Path, default=Path(TASK_MOUNT, TASK_FILE), help="the task, a JSON document"
    )
    parser.add_argument(
        "--report", type=Path, default=Path(MESSAGE_PATH), help="where the report is left"
    )
    parser.add_argument(
        "--credentials",
        type=Path,
        default=Path(CREDENTIALS_MOUNT),
        help="folder with the store's credentials, a file each",
    )
    return parser.parse_args(arguments)


def publish(options: argparse.Namespace) -> Report:
    """Open store and volume, and publish."""
    task = decode_publisher_task(options.task.read_text(encoding="utf-8"))
    with suppress(OSError):  # it is there already, or the algorithm has left no room for it
        (options.data / ADMIN_LOGS).mkdir(mode=0o755)
    log_to(options.data / ADMIN_LOGS / "publishing.log")
    log.info("Publishing the results of job %s", task.job)
    data = os.open(options.data, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        store = ResultStore(task.store, options.credentials)
        limits = Limits(files=task.max_files, total_bytes=task.max_bytes)
        return asyncio.run(Publication(task, store, data, limits).publish())
    except UnknownStoreError as error:
        raise PodError(str(error), PodExit.UPLOAD_FAILED) from None
    except (StoreError, VolumeError) as error:
        raise PodError(str(error), PodExit.TRY_AGAIN) from None
    finally:
        os.close(data)


class Room:
    """Room for uploads that run side by side: so many, with so many bytes in memory.

    One task takes and many give back. What is larger than the room has all of it to itself.
    """

    def __init__(self, places: int, size: int) -> None:
        """Begin with nothing taken."""
        self._places = places
        self._size = size
        self._left = size
        self._given_back = asyncio.Event()

    async def take(self, size: int) -> None:
        """Wait for a place and so many bytes."""
        while self._places == 0 or self._left < min(size, self._size):
            self._given_back.clear()
            await self._given_back.wait()
        self._places -= 1
        self._left -= min(size, self._size)

    def give_back(self, size: int) -> None:
        """Leave a place that was taken for so many bytes."""
        self._places += 1
        self._left += min(size, self._size)
        self._given_back.set()


class Publication:
    """One attempt at publishing one job's results."""

    def __init__(self, task: PublisherTask, store: ResultStore, data: int, limits: Limits) -> None:
        """Take what is published, from where and to where."""
        self._task = task
        self._store = store
        self._data = data
        self._limits = limits
        self._left_out = LeftOut(patient=task.attempt < PATIENT_ATTEMPTS)
        self._room = Room(UPLOADS_AT_ONCE, BYTES_AT_ONCE)
        self._files: list[ResultFile] = []

    async def publish(self) -> Report:
        """Bring files and admin logs to the store, then the manifest that names the files."""
        key = manifest_key(self._task.uid)
        former = await self._store.read(key)
        if former is not None:
            log.info("A former attempt has published everything")
            return report(former)
        await self._upload_all()
        await self._upload_left_out()
        manifest = self._manifest().encode()
        for name in get_args(AdminLog):
            await self._upload_admin_log(name)
        if not await self._store.create(key, manifest):
            manifest = await self._store.read(key) or manifest
        return report(manifest)

    def _manifest(self) -> Manifest:
        task = self._task
        return Manifest(
            job=task.job,
            namespace=task.namespace,
            uid=task.uid,
            owner=task.owner,
            viewers=task.viewers,
            outcome=task.outcome,
            files=tuple(self._files),
            skipped=self._left_out.lines(),
            expires=expiry(datetime.now(UTC), task.retention),
            omitted=self._left_out.count,
        )

    async def _upload_all(self) -> None:
        """Upload what was found; the first failure ends all other uploads."""
        found = harvest(self._data, self._limits, self._left_out)
        progress = Progress(of=len(found))
        for file in found:
            progress.expect(file, file.size)
        try:
            async with asyncio.TaskGroup() as uploads:
                for file, name, kind in published(found):
                    await self._room.take(file.size)
                    await self._begin(uploads, file, name, kind, progress)
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None
        log.info("Published %s files with %s bytes", progress.files, progress.bytes)

    async def _begin(
        self,
        uploads: asyncio.TaskGroup,
        file: Found,
        name: str,
        kind: FileType,
        progress: Progress,
    ) -> None:
        """Read a file that is small and let its upload begin, or upload a large one as it is read.

        One that cannot be read has no index, and the next file takes its place.
        """
        key = result_key(self._task.uid, len(self._files))
        body = None
        try:
            with reached(self._data, file) as descriptor:
                content = Content(descriptor, file.size, progress)
                if content.is_small:
                    body = content.whole()
                else:
                    await content.send(self._store, key)
        except OSError as error:
            self._room.give_back(file.size)
            progress.of -= 1
            progress.expect(file, None)
            self._left_out.add_unreadable(file.name, error)
            return
        progress.expect(file, content.size)
        self._files.append(ResultFile(name, kind, content.size, content.sha256, key))
        uploads.create_task(self._finish(key, body, file.size, progress))

    async def _finish(self, key: str, body: bytes | None, size: int, progress: Progress) -> None:
        """Upload a small file, and count it or a large one."""
        if body is not None:
            await self._store.write(key, body, len(body))
        self._room.give_back(size)
        progress.done()

    async def _upload_left_out(self) -> None:
        """List for the consumer what is not among the results, if anything is not."""
        lines = self._left_out.lines()
        for line in lines:
            log.warning("Left out: %r", line)
        if not lines:
            return
        text = "\n".join(("Not published, or not whole:", *map(printable, lines), ""))
        body = text.encode()
        key = result_key(self._task.uid, len(self._files))
        await self._store.write(key, body, len(body))
        sha256 = hashlib.sha256(body).hexdigest()
        self._files.append(ResultFile(LEFT_OUT_NAME, "publishLog", len(body), sha256, key))

    async def _upload_admin_log(self, name: AdminLog) -> None:
        with suppress(FileNotFoundError):
            descriptor = os.open(
                f"{ADMIN_LOGS}/{name}", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._data
            )
            with os.fdopen(descriptor, "rb") as content:
                body = content.read(PART_BYTES)
            await self._store.write(admin_log_key(self._task.uid, name), body, len(body))


class Content:
    """A file's bytes on their way to the store, counted and digested as they pass."""

    def __init__(self, descriptor: int, limit: int, progress: Progress) -> None:
        """Take at most `limit` bytes of an open file."""
        self._descriptor = descriptor
        self._limit = limit
        self._progress = progress
        self._digest = hashlib.sha256()
        self._failure: OSError | None = None
        self.size = 0

    @property
    def is_small(self) -> bool:
        """Tell whether it goes in one piece."""
        return self._limit <= PART_BYTES

    @property
    def sha256(self) -> str:
        """Name what has passed, as hex digits."""
        return self._digest.hexdigest()

    def whole(self) -> bytes:
        """Read it all."""
        return b"".join(self.chunks())

    async def send(self, store: ResultStore, key: str) -> None:
        """Upload it as it is read.

        Raises:
            OSError: It cannot be read to its end; nothing of it is in the store then.
            StoreError: The store failed.
        """
        try:
            await store.write(key, self.chunks(), self._limit)
        except Exception:
            if self._failure is not None:
                raise self._failure from None
            raise

    def chunks(self) -> Iterator[bytes]:
        """Read it piece by piece."""
        while piece := self._read():
            self._digest.update(piece)
            self.size += len(piece)
            self._progress.add(len(piece))
            yield piece

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, min(READ_BYTES, self._limit - self.size))
        except OSError as error:  # kept, since the store's library gives it another type
            self._failure = error
            raise


def printable(text: str) -> str:
    """Write what could steer a terminal, or deceive the eye, as escapes."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def report(manifest: bytes) -> Report:
    """Tell the operator what is published; the first files by name."""
    whole = decode_manifest(manifest)
    files = whole.files
    return Report(
        count=len(files),
        total_bytes=sum(file.size for file in files),
        manifest_digest=digest(manifest),
        files=tuple(
            {"name": file.name, "type": file.type, "size": file.size} for file in files[:LISTED]
        ),
        omitted=whole.omitted,
    )


if __name__ == "__main__":
    leave(main())

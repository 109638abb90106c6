"""The publisher: brings what a job leaves to the result store, the manifest last.

It runs after the algorithm's container has ended. An attempt that finds the manifest of a former
one has nothing left to do; any other writes the same objects anew.
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
from c2d_pods.harvest import Found, Limits, harvest, published, reached
from c2d_pods.store import PART_BYTES, ResultStore, StoreError, UnknownStoreError

log = logging.getLogger("c2d_pods.publisher")

AdminLog = Literal["loading.log", "publishing.log"]
READ_BYTES = 256 * 1024
LISTED = 100


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
        return asyncio.run(Publication(task, store, data, Limits()).publish())
    except UnknownStoreError as error:
        raise PodError(str(error), PodExit.UPLOAD_FAILED) from None
    except StoreError as error:
        raise PodError(str(error), PodExit.TRY_AGAIN) from None
    finally:
        os.close(data)


class Publication:
    """One attempt at publishing one job's results."""

    def __init__(self, task: PublisherTask, store: ResultStore, data: int, limits: Limits) -> None:
        """Take what is published, from where and to where."""
        self._task = task
        self._store = store
        self._data = data
        self._limits = limits

    async def publish(self) -> Report:
        """Bring files and admin logs to the store, then the manifest that names the files."""
        key = manifest_key(self._task.uid)
        former = await self._store.read(key)
        if former is not None:
            log.info("A former attempt has published everything")
            return report(former)
        manifest = (await self._upload_all()).encode()
        for name in get_args(AdminLog):
            await self._upload_admin_log(name)
        if not await self._store.create(key, manifest):
            manifest = await self._store.read(key) or manifest
        return report(manifest)

    async def _upload_all(self) -> Manifest:
        found = harvest(self._data, self._limits)
        progress = Progress(of=len(found.files))
        files = [
            await self._upload(index, file, name, kind, progress)
            for index, (file, name, kind) in enumerate(published(found.files))
        ]
        for line in found.skipped:
            log.warning("Left out: %r", line)
        log.info("Published %s files with %s bytes", progress.files, progress.bytes)
        task = self._task
        return Manifest(
            job=task.job,
            namespace=task.namespace,
            uid=task.uid,
            owner=task.owner,
            viewers=task.viewers,
            outcome=task.outcome,
            files=tuple(files),
            skipped=found.skipped,
            expires=expiry(datetime.now(UTC), task.retention),
        )

    async def _upload(
        self, index: int, file: Found, name: str, kind: FileType, progress: Progress
    ) -> ResultFile:
        key = result_key(self._task.uid, index)
        with reached(self._data, file) as descriptor:
            content = Content(descriptor, file.size, progress)
            body = content.whole() if content.is_small else content.chunks()
            await self._store.write(key, body, file.size)
        progress.done()
        return ResultFile(name, kind, content.size, content.sha256, key)

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

    def chunks(self) -> Iterator[bytes]:
        """Read it piece by piece."""
        while piece := os.read(self._descriptor, min(READ_BYTES, self._limit - self.size)):
            self._digest.update(piece)
            self.size += len(piece)
            self._progress.add(len(piece))
            yield piece


def report(manifest: bytes) -> Report:
    """Tell the operator what is published; the first files by name."""
    files = decode_manifest(manifest).files
    return Report(
        count=len(files),
        total_bytes=sum(file.size for file in files),
        manifest_digest=digest(manifest),
        files=tuple(
            {"name": file.name, "type": file.type, "size": file.size} for file in files[:LISTED]
        ),
    )


if __name__ == "__main__":
    leave(main())

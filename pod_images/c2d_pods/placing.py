"""How a file of the workspace comes to its place: complete, or not at all."""

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from c2d_api.asset_request import FileContent, FileOnRequest, FileRequest
from c2d_api.computejob import File
from c2d_api.exits import PodExit
from c2d_pods.content import (
    Source,
    TransferError,
    TransientError,
    judge_digest,
    judge_length,
    judge_volume,
    write,
)
from c2d_pods.ending import PodError, Progress
from c2d_pods.placement import Item

log = logging.getLogger(__name__)

PARTIAL = ".part"


def inline(source: Source) -> bytes | None:
    """Find content that needs no request."""
    match source:
        case FileContent():
            return source.content
        case FileRequest() | FileOnRequest():
            return None
        case File():
            return None if source.inline is None else source.inline.encode()


def place(data: Path, item: Item, content: bytes, progress: Progress) -> None:
    """Write content that the task itself, or the provider's answer, holds."""
    with arriving(data, item, progress) as target:
        judge_length(len(content), item.file)
        judge_digest(hashlib.sha256(content).hexdigest(), item.file)
        write(target, content)
        progress.add(len(content))


@contextmanager
def arriving(data: Path, item: Item, progress: Progress) -> Iterator[BinaryIO]:
    """Open a file under another name, which it has until it is whole.

    Raises:
        PodError: It could not be had.
    """
    path = data / item.path
    partial = path.with_name(path.name + PARTIAL)
    try:
        with _created(partial, item.mode) as target:
            yield target
            size = target.tell()
        _rename(partial, path)
    except TransientError as error:
        raise PodError(f"{item.label}: {error}", PodExit.TRY_AGAIN) from None
    except TransferError as error:
        raise PodError(f"{item.label}: {error}", item.failure) from None
    progress.expect(item.path, size)
    progress.done()
    log.info("%s: %s bytes", item.label, size)


def _created(path: Path, mode: int) -> BinaryIO:
    try:
        return created(path, mode)
    except OSError as error:
        raise judge_volume(error) from None


def _rename(partial: Path, path: Path) -> None:
    try:
        partial.rename(path)
    except OSError as error:
        raise judge_volume(error) from None


def created(path: Path, mode: int) -> BinaryIO:
    """Open a new file of this mode for writing, unbuffered: every error is that of a write."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    return cast("BinaryIO", os.fdopen(descriptor, "wb", buffering=0))

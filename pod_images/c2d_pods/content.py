"""What a file must be to enter the workspace, and how its bytes get there."""

import errno
import os
from typing import BinaryIO

from c2d_api.asset_request import FileContent, FileOnRequest, FileRequest
from c2d_api.computejob import File

Source = File | FileRequest | FileContent | FileOnRequest
"""Where a file comes from: as the job describes it, or as the provider does."""

NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class TransferError(Exception):
    """Why a file could not be had, in words that hold no URL."""


class PermanentError(TransferError):
    """It will not be had: trying again makes no difference."""


class TransientError(TransferError):
    """It was not had this time."""

    def __init__(self, message: str, retry_after: float = 0) -> None:
        """Keep the words, and how long the server asks to be left alone."""
        super().__init__(message)
        self.retry_after = retry_after


def room(target: BinaryIO) -> int:
    """Tell how many bytes the volume still takes."""
    disk = os.fstatvfs(target.fileno())
    return disk.f_bavail * disk.f_frsize


def judge_length(length: int, source: Source) -> None:
    """Refuse a file that is longer than it may be."""
    most = source.max_bytes if isinstance(source, File) else None
    if most is not None and length > most:
        raise PermanentError(f"it is longer than its limit of {most} bytes")


def judge_room(length: int, free: int) -> None:
    """Refuse a file that the volume has no room for."""
    if length > free:
        raise PermanentError(
            f"its {length} bytes do not fit on the job's volume, which has {max(free, 0)} free: ask"
            " for more disk"
        )


def expected_digest(source: Source) -> str | None:
    """Find the sha256 that a file must have, if one is known."""
    return source.sha256 if isinstance(source, File | FileRequest) else None


def judge_digest(digest: str, source: Source) -> None:
    """Refuse a file that is not the one that the job names, or that the provider judged."""
    expected = expected_digest(source)
    if expected is not None and digest != expected.lower():
        who = "the job names" if isinstance(source, File) else "the provider found"
        raise PermanentError(f"its content does not have the sha256 that {who}")


def judge_volume(error: OSError) -> TransferError:
    """Say of an error of the volume what it means for a file."""
    if error.errno in NO_ROOM:
        return PermanentError("the job's volume is full: ask for more disk")
    return TransientError(f"the job's volume cannot be written ({error.strerror})")


def write(target: BinaryIO, data: bytes) -> None:
    """Write to the volume.

    Raises:
        PermanentError: The volume is full.
        TransientError: It cannot be written otherwise.
    """
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[target.write(rest) :]
    except OSError as error:
        raise judge_volume(error) from None

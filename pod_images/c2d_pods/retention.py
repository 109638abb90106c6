"""Which results are swept: those that have expired, and what never got a manifest. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from c2d_api.results import Manifest, decode_manifest

_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# what publishers write, and what an interrupted one leaves of it in a folder
_NAME = re.compile(
    r"(manifest\.json|results/[0-9]{5,}|adminlogs/(loading|publishing)\.log)(#[0-9]+)?"
)

_EPOCH = datetime.fromtimestamp(0, UTC)


class DamagedError(ValueError):
    """A manifest that nobody can act on."""


@dataclass(frozen=True)
class Entry:
    """An object of a job's folder: its name below it, its length, when it was written."""

    name: str
    size: int
    modified: datetime


@dataclass(frozen=True)
class Rules:
    """When to sweep: how far clocks may be apart, and how old leftovers are."""

    now: datetime
    margin: timedelta
    leftover_age: timedelta


def is_uid(name: str) -> bool:
    """Say whether a folder's name is that of a job."""
    return _UID.fullmatch(name) is not None


def is_own(name: str) -> bool:
    """Say whether a name below a job's folder is one that publishers give."""
    return _NAME.fullmatch(name) is not None


def understood(uid: str, data: bytes) -> Manifest:
    """Read the manifest of a folder.

    Raises:
        DamagedError: It is none, or that of another job.
    """
    try:
        manifest = decode_manifest(data)
        manifest.is_expired(_EPOCH)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DamagedError("the manifest cannot be read") from None
    if manifest.uid != uid:
        raise DamagedError("the manifest is that of another job")
    return manifest


def is_left_over(entries: Iterable[Entry], rules: Rules) -> bool:
    """Say whether a folder without a manifest was left by a publisher that gave up long ago.

    One that still uploads has written something lately, or began lately. What also holds names that
    no publisher gives is somebody else's.
    """
    limit = rules.now - rules.leftover_age
    found = False
    for entry in entries:
        found = True
        if entry.modified > limit or not is_own(entry.name):
            return False
    return found

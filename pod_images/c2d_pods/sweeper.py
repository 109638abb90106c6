"""The sweeper: removes results that have expired from a store, and what publishers left behind.

It looks at the store alone, so results of jobs that are gone are removed as well. A job's manifest
goes first, its files after it: a manifest never names a file that is not there. A sweep that ends
between the two leaves files without a manifest, just as a publisher does that gives up; a later
sweep removes them once all of them are old. That age is longer than any publisher may take, since
one that is uploading at the moment looks the same.

Every removed job is told in a line of JSON, and so is every one that could not be swept.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from c2d_api.computeenvironment import Store
from c2d_api.results import MANIFEST, Manifest
from c2d_api.tasks import CREDENTIALS_MOUNT
from c2d_pods.ending import end_on_signals, leave
from c2d_pods.folder import Folder
from c2d_pods.retention import DamagedError, Entry, Rules, is_left_over, is_own, is_uid, understood
from c2d_pods.store import Bucket, StoreError

MARGIN_SECONDS = 300
LEFTOVER_SECONDS = 8 * 24 * 3600  # an environment gives publishers 7 days at most
REMOVED_AT_ONCE = 1000


class Shelf(Protocol):
    """A store by the folders of its jobs."""

    def jobs(self) -> Iterator[str]:
        """Name the folders."""

    def read(self, job: str, name: str) -> bytes | None:
        """Read a small object of a folder; None if it is not there."""

    def entries(self, job: str) -> Iterator[Entry]:
        """List a folder."""

    def remove(self, job: str, names: Iterable[str]) -> None:
        """Remove objects of a folder."""


@dataclass(frozen=True)
class Removed:
    """What was removed of a job, or would be; `foreign` objects stay."""

    uid: str
    because: str
    job: str | None = None
    namespace: str | None = None
    expires: str | None = None
    objects: int = 0
    bytes: int = 0
    foreign: int = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep once, and name the exit code."""
    options = _options(arguments)
    end_on_signals()
    rules = Rules(
        datetime.now(UTC),
        timedelta(seconds=options.margin),
        timedelta(seconds=options.leftover_age),
    )
    store = Store(options.store, options.endpoint or None, options.region or None)
    try:
        shelf = opened(store, options.credentials)
        failed = Sweep(shelf, rules, dry_run=options.dry_run).run()
    except (StoreError, OSError) as error:
        _tell({"error": _words(error)})
        return 1
    return 1 if failed else 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python3 -m c2d_pods.sweeper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--store", required=True, help="s3://bucket[/prefix] or file:///folder")
    parser.add_argument("--endpoint", help="URL of an S3-compatible server; none for AWS")
    parser.add_argument("--region", help="region of the bucket")
    parser.add_argument(
        "--credentials",
        type=Path,
        default=Path(CREDENTIALS_MOUNT),
        help="folder with the store's credentials, a file each",
    )
    parser.add_argument(
        "--margin",
        type=_seconds,
        default=MARGIN_SECONDS,
        metavar="SECONDS",
        help="how far clocks may be apart (%(default)s)",
    )
    parser.add_argument(
        "--leftover-age",
        type=_seconds,
        default=LEFTOVER_SECONDS,
        metavar="SECONDS",
        help="how old everything without a manifest is before it is removed (%(default)s)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only tell what would be removed")
    return parser.parse_args(arguments)


def _seconds(text: str) -> int:
    seconds = int(text)
    if seconds < 0:
        raise ValueError(text)
    return seconds


def opened(store: Store, credentials: Path) -> Shelf:
    """Open a store by its URL.

    Raises:
        StoreError: It cannot be opened.
    """
    url = urlsplit(store.url)
    if url.scheme == "file" and not url.netloc and url.path.startswith("/"):
        return Folder(Path(unquote(url.path)))
    return Bucket(store, credentials)


class Sweep:
    """One walk over a store."""

    def __init__(self, shelf: Shelf, rules: Rules, *, dry_run: bool = False) -> None:
        """Take the store and what is removed from it."""
        self._shelf = shelf
        self._rules = rules
        self._dry_run = dry_run

    def run(self) -> int:
        """Sweep the folder of each job, and count those that failed; no one stops the others."""
        failed = 0
        for uid in filter(is_uid, self._shelf.jobs()):
            try:
                removed = self._sweep(uid)
            except Exception as error:
                failed += 1
                _tell({"failed": uid, "error": _words(error)})
            else:
                self._tell_removed(removed)
        return failed

    def _sweep(self, uid: str) -> Removed | None:
        data = self._shelf.read(uid, MANIFEST)
        if data is None:
            if not is_left_over(self._shelf.entries(uid), self._rules):
                return None
            return self._clear(uid, None)
        manifest = understood(uid, data)
        if not manifest.is_expired(self._rules.now, self._rules.margin):
            return None
        return self._clear(uid, manifest)

    def _clear(self, uid: str, manifest: Manifest | None) -> Removed:
        """Remove what publishers wrote, the manifest before anything else."""
        entries = self._shelf.entries(uid)
        objects = size = foreign = 0
        if manifest and not self._dry_run:
            objects, size = 1, len(manifest.encode())
            self._shelf.remove(uid, [MANIFEST])
        while batch := list(islice(entries, REMOVED_AT_ONCE)):
            own = [entry for entry in batch if is_own(entry.name)]
            foreign += len(batch) - len(own)
            objects += len(own)
            size += sum(entry.size for entry in own)
            if own and not self._dry_run:
                self._shelf.remove(uid, [entry.name for entry in own])
        if manifest is None:
            return Removed(uid, "leftOver", objects=objects, bytes=size, foreign=foreign)
        told = (manifest.job, manifest.namespace, manifest.expires)
        return Removed(uid, "expired", *told, objects, size, foreign)

    def _tell_removed(self, removed: Removed | None) -> None:
        if removed is None:
            return
        facts = {name: value for name, value in asdict(removed).items() if value is not None}
        _tell({"wouldRemove" if self._dry_run else "removed": facts.pop("uid"), **facts})


def _words(error: Exception) -> str:
    """Say what failed, without words from outside: they may quote what was sent to the store."""
    if isinstance(error, StoreError | DamagedError):
        return str(error)
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__


def _tell(line: dict[str, object]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    leave(main())

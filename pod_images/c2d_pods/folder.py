"""A result store in a folder, as the sweeper sees it: no link leads it anywhere else."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from c2d_pods.retention import Entry
from c2d_pods.store import MOST_MANIFEST_BYTES, StoreError

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Folder:
    """Jobs' folders below a folder."""

    def __init__(self, root: Path) -> None:
        """Take the folder; one that is not there yet holds nothing."""
        self._root = root

    def jobs(self) -> Iterator[str]:
        """Name the folders, as they come."""
        with suppress(FileNotFoundError), os.scandir(self._root) as found:
            for entry in found:
                if entry.is_dir(follow_symlinks=False):
                    yield entry.name

    def read(self, job: str, name: str) -> bytes | None:
        """Read a small file of a job's folder; None if it is not there."""
        with suppress(FileNotFoundError), _open(self._root / job) as folder:
            with os.fdopen(os.open(name, _FILE, dir_fd=folder), "rb") as file:
                content = file.read(MOST_MANIFEST_BYTES + 1)
            if len(content) > MOST_MANIFEST_BYTES:
                raise StoreError("the manifest is larger than any can be")
            return content
        return None

    def entries(self, job: str) -> Iterator[Entry]:
        """List a job's folder; links are listed, not followed."""
        top = self._root / job
        with suppress(FileNotFoundError):
            for path, folders, files, descriptor in os.fwalk(top, follow_symlinks=False):
                below = os.path.relpath(path, top)
                links = (name for name in folders if Path(path, name).is_symlink())
                for name in (*files, *links):
                    yield _entry(os.path.normpath(f"{below}/{name}"), name, descriptor)

    def remove(self, job: str, names: Iterable[str]) -> None:
        """Remove files of a job's folder, and the folders that this leaves empty."""
        parents = set()
        with suppress(FileNotFoundError), _open(self._root / job) as folder:
            for name in names:
                parent, _, last = name.rpartition("/")
                parents.add(parent or ".")
                with suppress(FileNotFoundError), _open(parent or ".", folder) as place:
                    os.unlink(last, dir_fd=place)
            for parent in parents - {"."}:
                with suppress(OSError):  # it is not empty
                    os.rmdir(parent, dir_fd=folder)
        with suppress(OSError):
            (self._root / job).rmdir()


@contextmanager
def _open(path: Path | str, folder: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER, dir_fd=folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _entry(name: str, last: str, folder: int) -> Entry:
    facts = os.stat(last, dir_fd=folder, follow_symlinks=False)
    return Entry(name, facts.st_size, datetime.fromtimestamp(facts.st_mtime, UTC))

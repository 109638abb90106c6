"""What an algorithm left in its workspace: found without trusting it.

The tree was made by a stranger's code. No link is followed on the way to any file, nothing but
regular files is opened, and every list is bounded, so that memory and time are too. Nothing runs
on the volume any more while this module looks.
"""

import errno
import heapq
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from c2d_api.results import FileType
from c2d_api.workspace import ALGORITHM_LOG, LOGS, OUTPUTS

_LOG_NAME = os.path.basename(ALGORITHM_LOG).encode()
_KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Limits:
    """How much of what an algorithm leaves is published."""

    files: int = 10_000
    total_bytes: int = 64 * 2**30
    log_bytes: int = 64 * 2**20 + 4096
    depth: int = 32
    path_bytes: int = 1024
    all_path_bytes: int = 2**20
    entries: int = 200_000
    skipped: int = 100


@dataclass(frozen=True)
class Found:
    """One file to publish: where it lies, and how much of it is taken."""

    root: str
    path: tuple[bytes, ...]
    size: int

    @property
    def name(self) -> str:
        """Name it for people: its path as text, bytes that are no UTF-8 written as hex escapes."""
        return b"/".join(self.path).decode(errors="backslashreplace")

    @property
    def is_log(self) -> bool:
        """Tell whether this is the algorithm's log."""
        return self.root == LOGS and self.path == (_LOG_NAME,)


@dataclass(frozen=True)
class Harvest:
    """The files to publish, in their order, and what is left out and why."""

    files: tuple[Found, ...]
    skipped: tuple[str, ...]


def harvest(data: int, limits: Limits) -> Harvest:
    """List what is published from the volume opened at `data`: outputs, then logs.

    The algorithm's log has its place whatever else there is.
    """
    walk = _Walk(limits)
    logs = [*walk.log(data), *walk.folder(data, LOGS)]
    outputs = [*walk.folder(data, OUTPUTS)]
    return Harvest((*outputs, *logs), walk.left_out())


def published(files: tuple[Found, ...]) -> Iterator[tuple[Found, str, FileType]]:
    """Name and type each file; one beside the log gives way to an output of its name."""
    outputs = {found.name for found in files if found.root == OUTPUTS}
    for found in files:
        if found.is_log:
            yield found, found.name, "algorithmLog"
        elif found.root == LOGS and found.name in outputs:
            yield found, f"{LOGS}/{found.name}", "output"
        else:
            yield found, found.name, "output"


class _Walk:
    """One walk over the tree, with what is left of its limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files = limits.files
        self._bytes = limits.total_bytes
        self._path_bytes = limits.all_path_bytes
        self._entries = limits.entries
        self._skipped: list[str] = []
        self._unnamed = 0

    def log(self, data: int) -> Iterator[Found]:
        """Find the algorithm's log, cut at its limit."""
        try:
            with entered(data, LOGS.encode()) as folder:
                yield from self._visit(folder, LOGS, (_LOG_NAME,))
        except OSError:
            return

    def folder(self, data: int, root: str) -> Iterator[Found]:
        """Find the files below a folder of the workspace."""
        try:
            with entered(data, root.encode()) as folder:
                yield from self._descend(folder, root, ())
        except FileNotFoundError:
            return
        except OSError as error:
            self._skip(root, f"cannot be read ({error.strerror})")

    def left_out(self) -> tuple[str, ...]:
        """Name what is left out, the first of it at least."""
        more = (f"and {self._unnamed} more",) if self._unnamed else ()
        return (*self._skipped, *more)

    def _descend(self, folder: int, root: str, path: tuple[bytes, ...]) -> Iterator[Found]:
        for name in self._names(folder):
            if root == LOGS and not path and name == _LOG_NAME:
                continue
            if self._entries == 0:
                self._unnamed += 1
                continue
            self._entries -= 1
            yield from self._visit(folder, root, (*path, name))

    def _names(self, folder: int) -> list[bytes]:
        """List a folder in order; only as many names as could be published are held at once."""
        count = 0

        def counted() -> Iterator[bytes]:
            nonlocal count
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    yield os.fsencode(entry.name)

        names = heapq.nsmallest(self._limits.files + 1, counted())
        self._unnamed += count - len(names)
        return names

    def _visit(self, folder: int, root: str, path: tuple[bytes, ...]) -> Iterator[Found]:
        found = Found(root, path, 0)
        try:
            status = os.stat(path[-1], dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from self._enter(folder, found)
            elif stat.S_ISREG(status.st_mode):
                yield from self._take(found, status.st_size)
            else:
                kind = _KINDS.get(stat.S_IFMT(status.st_mode), "no regular file")
                self._skip(found.name, f"is {kind}")
        except FileNotFoundError:
            return
        except OSError as error:
            self._skip(found.name, f"cannot be read ({error.strerror})")

    def _enter(self, folder: int, found: Found) -> Iterator[Found]:
        if len(found.path) >= self._limits.depth:
            self._skip(found.name, "lies too deep")
            return
        with entered(folder, found.path[-1]) as inner:
            yield from self._descend(inner, found.root, found.path)

    def _take(self, found: Found, size: int) -> Iterator[Found]:
        if found.is_log and size > self._limits.log_bytes:
            self._skip(found.name, f"is cut at {self._limits.log_bytes} bytes")
            size = self._limits.log_bytes
        length = len(b"/".join(found.path))
        if length > self._limits.path_bytes:
            self._skip(found.name, "has a path that is too long")
        elif self._files == 0 or length > self._path_bytes:
            self._skip(found.name, "is one file too many")
        elif size > self._bytes:
            self._skip(found.name, "is too large beside the others")
        else:
            self._files -= 1
            self._path_bytes -= length
            self._bytes -= size
            yield Found(found.root, found.path, size)

    def _skip(self, name: str, reason: str) -> None:
        if len(self._skipped) < self._limits.skipped:
            self._skipped.append(f"{name[:255]} {reason}")
        else:
            self._unnamed += 1


@contextmanager
def entered(folder: int, name: bytes) -> Iterator[int]:
    """Open a folder within a folder, never through a link, readable even if its mode forbids it."""
    descriptor = _opened(folder, name, os.O_DIRECTORY, stat.S_IRUSR | stat.S_IXUSR)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def reached(data: int, found: Found) -> Iterator[int]:
    """Open a file that was found, one folder at a time.

    Raises:
        OSError: It is not there any more, or is no regular file.
    """
    with ExitStack() as open_folders:
        folder = data
        for name in (found.root.encode(), *found.path[:-1]):
            folder = open_folders.enter_context(entered(folder, name))
        descriptor = _opened(folder, found.path[-1], 0, stat.S_IRUSR)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        yield descriptor
    finally:
        os.close(descriptor)


def _opened(folder: int, name: bytes, flags: int, needed: int) -> int:
    flags |= os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if mode & needed != needed and not stat.S_ISLNK(mode):
        _allow(folder, name, stat.S_IMODE(mode) | needed)
    return os.open(name, flags, dir_fd=folder)


def _allow(folder: int, name: bytes, mode: int) -> None:
    """Change the mode of an entry itself: Linux offers this only by way of its descriptor."""
    descriptor = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", mode)
    except PermissionError:  # another user's file: opening it tells whether it can be read
        return
    finally:
        os.close(descriptor)

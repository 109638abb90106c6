"""What an algorithm left in its workspace: found without trusting it.

The tree was made by a stranger's code. No link is followed on the way to any file, nothing but
regular files is opened, and every list is bounded, so that memory and time are too. Nothing runs
on the volume any more while this module looks.

What cannot be read is left out and named, so that one file never keeps the others from their
owner. An error that speaks of the volume rather than of the file may pass: see `LeftOut`.
"""

import errno
import heapq
import json
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
# These tell of the volume, its connection or this process, not of the file that was asked for.
_MAY_PASS = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENOTCONN,
        errno.EREMOTEIO,
        errno.EHOSTDOWN,
        errno.ENODEV,
        errno.EUCLEAN,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOMEM,
    }
)


@dataclass(frozen=True)
class Limits:
    """How much of what an algorithm leaves is published.

    The algorithm's log counts for none of them but its own. A name's length in `all_name_bytes` is
    that of its JSON form, in which the manifest has it.
    """

    files: int = 10_000
    total_bytes: int = 64 * 2**30
    file_bytes: int = 256 * 2**30  # beyond it the parts of an upload take too much memory
    log_bytes: int = 64 * 2**20 + 4096
    depth: int = 32
    path_bytes: int = 1024
    all_name_bytes: int = 8 * 2**20
    entries: int = 200_000


class VolumeError(Exception):
    """The volume cannot be read at the moment; a later attempt may do better."""


class LeftOut:
    """What is not published, or not whole: the first of it with its reason, and how much it is."""

    def __init__(self, named: int = 100, *, patient: bool = False) -> None:
        """Name so many at most; be `patient` with a volume that fails instead of naming files."""
        self._named = named
        self._patient = patient
        self._lines: list[str] = []
        self._more = 0

    @property
    def count(self) -> int:
        """Tell how many there are; of a folder that is left out, what it holds is not counted."""
        return len(self._lines) + self._more

    def lines(self) -> tuple[str, ...]:
        """Name them, the first at least."""
        more = (f"and {self._more} more",) if self._more else ()
        return (*self._lines, *more)

    def add(self, name: str, reason: str) -> None:
        """Take one down, by its name if there is room."""
        if len(self._lines) < self._named:
            self._lines.append(f"{name[:255]} {reason}")
        else:
            self._more += 1

    def add_unnamed(self, count: int) -> None:
        """Take down so many whose names nobody kept."""
        self._more += count

    def add_unreadable(self, name: str, error: OSError) -> None:
        """Take down what cannot be read.

        Raises:
            VolumeError: The volume fails, and there is patience with it.
        """
        if self._patient and error.errno in _MAY_PASS:
            raise VolumeError(f"the volume cannot be read ({error.strerror})")
        self.add(name, f"cannot be read ({error.strerror})")


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


def harvest(data: int, limits: Limits, left_out: LeftOut) -> tuple[Found, ...]:
    """List what is published from the volume opened at `data`: outputs, then logs.

    The algorithm's log has its place whatever else there is. What is not published is added to
    `left_out`.

    Raises:
        VolumeError: The volume fails, and `left_out` is patient.
    """
    walk = _Walk(limits, left_out)
    log = [*walk.log(data)]
    return (*walk.folder(data, OUTPUTS), *log, *walk.folder(data, LOGS))


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

    def __init__(self, limits: Limits, left_out: LeftOut) -> None:
        self._limits = limits
        self._left_out = left_out
        self._files = limits.files
        self._bytes = limits.total_bytes
        self._name_bytes = limits.all_name_bytes
        self._entries = limits.entries
        self._names_held = 0

    def log(self, data: int) -> Iterator[Found]:
        """Find the algorithm's log, cut at its limit; `folder` tells if its folder is closed."""
        try:
            with entered(data, LOGS.encode()) as folder:
                if not _is_missing(folder, _LOG_NAME):
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
            self._left_out.add_unreadable(root, error)

    def _descend(self, folder: int, root: str, path: tuple[bytes, ...]) -> Iterator[Found]:
        names = self._names(folder)
        self._names_held += len(names)
        for name in names:
            if root == LOGS and not path and name == _LOG_NAME:
                continue
            if self._entries == 0:
                self._left_out.add_unnamed(1)
                continue
            self._entries -= 1
            yield from self._visit(folder, root, (*path, name))
        self._names_held -= len(names)

    def _names(self, folder: int) -> list[bytes]:
        """List a folder in order; names are held for it and those above it, so many at most."""
        count = 0

        def counted() -> Iterator[bytes]:
            nonlocal count
            with os.scandir(folder) as entries:
                for entry in entries:
                    count += 1
                    yield os.fsencode(entry.name)

        most = self._limits.files + 1
        names = heapq.nsmallest(max(min(most, 2 * most - self._names_held), 1), counted())
        self._left_out.add_unnamed(count - len(names))
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
                self._left_out.add(found.name, f"is {kind}")
        except OSError as error:
            self._left_out.add_unreadable(found.name, error)

    def _enter(self, folder: int, found: Found) -> Iterator[Found]:
        if len(found.path) >= self._limits.depth:
            self._left_out.add(found.name, "lies too deep")
            return
        with entered(folder, found.path[-1]) as inner:
            yield from self._descend(inner, found.root, found.path)

    def _take(self, found: Found, size: int) -> Iterator[Found]:
        if found.is_log:
            most = self._limits.log_bytes
            if size > most:
                self._left_out.add(found.name, f"is cut at {most} bytes")
            yield Found(found.root, found.path, min(size, most))
            return
        length = len(json.dumps(found.name))
        reason = self._excess(found, size, length)
        if reason:
            self._left_out.add(found.name, reason)
            return
        self._files -= 1
        self._name_bytes -= length
        self._bytes -= size
        yield Found(found.root, found.path, size)

    def _excess(self, found: Found, size: int, length: int) -> str | None:
        """Say which limit a file is beyond, if any."""
        if len(b"/".join(found.path)) > self._limits.path_bytes:
            return "has a path that is too long"
        if self._files == 0 or length > self._name_bytes:
            return "is one file too many"
        if size > self._limits.file_bytes:
            return "is too large"
        return "is too large beside the others" if size > self._bytes else None


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


def _is_missing(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False


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

"""A file that arrives on the volume in pieces, maybe over several attempts, beside others."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO

from c2d_pods.content import (
    PermanentError,
    Source,
    TransientError,
    judge_digest,
    judge_length,
    judge_room,
    room,
    write,
)
from c2d_pods.identified import Plain, Verifier
from c2d_pods.resuming import Kept, Receive, Version

Announce = Callable[[int | None], None]
"""Is told how many bytes a file will have in all; None where its server does not say."""


def nobody_asks(length: int | None) -> None:
    """Take note of a length that nobody wants to know."""


class Space:
    """The volume's room as files share it that arrive at once.

    What a server announces is reserved before its first byte is written, so that files do not
    count on the same room.
    """

    def __init__(self) -> None:
        """Begin with nothing reserved."""
        self._reserved: dict[int, int] = {}

    def reserve(self, target: BinaryIO, length: int) -> None:
        """Reserve room for what is still to come of a file, or refuse it."""
        judge_room(length, room(target) - sum(self._reserved.values()))
        self._reserved[target.fileno()] = length

    def fill(self, target: BinaryIO, count: int) -> None:
        """Take note of bytes that are on the volume by now."""
        if target.fileno() in self._reserved:
            self._reserved[target.fileno()] -= count

    def release(self, target: BinaryIO) -> None:
        """Give back what a file did not fill."""
        self._reserved.pop(target.fileno(), None)


class Arrival:
    """One file on its way: its bytes until now, their sha256, and which version they are of."""

    def __init__(
        self,
        source: Source,
        target: BinaryIO,
        count: Callable[[int], None],
        space: Space,
        announce: Announce = nobody_asks,
    ) -> None:
        """Begin with nothing; `count` is told of bytes that come, and of those given up."""
        self.size = 0
        self._announce = announce
        self._source, self._target, self._count, self._space = source, target, count, space
        self._digest = hashlib.sha256()
        self._verifier: Verifier = Plain()
        self._version: Version | None = None
        self._end: int | None = None
        self._expected: int | None = None
        self._is_joined = self._is_misled = False

    @property
    def kept(self) -> Kept | None:
        """What may be continued."""
        if self._version is None or self._is_misled:
            return None
        return Kept(self.size, self._version)

    @contextmanager
    def receiving(self, receive: Receive, verifier: Verifier) -> Iterator[None]:
        """Be ready for the bytes of an answer; a rest goes on with the verifier of its start."""
        if receive.start:
            self._is_joined = True
        else:
            self.start_over()
            self._verifier = verifier
        self._target.seek(self.size)  # a write that failed may have left more
        self._target.truncate()
        self._version, self._end = receive.version, receive.end
        total = receive.version.total
        self._expect(receive.end if total is None else total)
        self._announce(total)
        try:
            yield
        finally:
            self._space.release(self._target)

    def start_over(self) -> None:
        """Give up what has come."""
        self._count(-self.size)
        self.size, self._digest, self._version = 0, hashlib.sha256(), None
        self._is_joined = False

    def _expect(self, length: int | None) -> None:
        """Take note of how long the file will be, if that is known."""
        self._expected = length
        if length is not None:
            judge_length(length, self._source)
            self._space.reserve(self._target, length - self.size)

    def take(self, wire: bytes) -> None:
        """Take what came, and write what it brings of the file.

        Raises:
            PermanentError: It is not of the file.
        """
        for chunk in self._verifier.feed(wire):
            if self._expected is None and self._verifier.length is not None:
                self._expect(self._verifier.length)
                self._announce(self._verifier.length)
            self._add(chunk)

    def _add(self, chunk: bytes) -> None:
        if self._end is not None and self.size + len(chunk) > self._end:
            self.start_over()
            raise TransientError("the server sends more than it announced")
        judge_length(self.size + len(chunk), self._source)
        write(self._target, chunk)
        self._digest.update(chunk)
        self.size += len(chunk)
        self._space.fill(self._target, len(chunk))
        self._count(len(chunk))

    def finish(self) -> None:
        """Judge the file as a whole.

        Raises:
            PermanentError: It is another file than it should be.
            TransientError: It is not whole, or not that of which the server said it was the rest.
        """
        if self._expected not in {None, self.size}:
            raise TransientError("the server stopped before the file's end")
        try:
            self._verifier.finish()
            judge_digest(self._digest.hexdigest(), self._source)
        except PermanentError:
            if not self._is_joined:
                raise
            self.start_over()
            self._is_misled = True
            raise TransientError("what the server sent in parts is not the file") from None

"""Archives of IPFS blocks (CAR, version 1), read as they come, a block at a time.

Nothing here is believed: the identifier beside a block only says which one it wants to be.
"""

from collections.abc import Iterator
from typing import Final

from c2d_pods.cids import Cid, read_prefix, read_varint
from c2d_pods.content import PermanentError, TransientError

MAX_BLOCK: Final = 2 * 2**20
"""Bytes of the longest block: what nodes exchange, and what is held at once."""

_MAX_HEADER = 4096
_MAX_IDENTIFIER = 256
_MAX_VARINT = 9
# The header is a map in CBOR, whose keys have one order: `version` is the last one.
_VERSION_1 = b"\x67version\x01"
_NOT_ONE = "the gateway sent no archive of blocks (CAR) that can be read"


class CarReader:
    """Takes an archive apart; holds no more than one block and what came with its end."""

    def __init__(self) -> None:
        """Begin with the header to come."""
        self._held = bytearray()
        self._has_header = False

    def feed(self, data: bytes) -> Iterator[tuple[Cid, bytes]]:
        """Take the next bytes of the archive; gives the blocks that they complete.

        Raises:
            PermanentError: It is no archive of version 1, or a block is too long.
        """
        self._held += data
        start = 0
        try:
            while (frame := self._frame(start)) is not None:
                begin, start = frame
                if self._has_header:
                    yield self._block(begin, start)
                else:
                    self._read_header(begin, start)
        finally:
            del self._held[:start]

    def finish(self) -> None:
        """Take note that no more comes.

        Raises:
            TransientError: The archive ends within a block, or before its header.
        """
        if self._held or not self._has_header:
            raise TransientError("the server stopped before the file's end")

    def _frame(self, start: int) -> tuple[int, int] | None:
        """Find where the next part's bytes are; None if they are not all there."""
        most = MAX_BLOCK + _MAX_IDENTIFIER if self._has_header else _MAX_HEADER
        with memoryview(self._held) as held:
            try:
                length, begin = read_varint(held, start)
            except ValueError:
                if len(held) - start < _MAX_VARINT:
                    return None
                raise PermanentError(_NOT_ONE) from None
            if length > most:
                raise PermanentError(
                    f"a block is longer than {MAX_BLOCK} bytes" if self._has_header else _NOT_ONE
                )
            return None if begin + length > len(held) else (begin, begin + length)

    def _read_header(self, begin: int, end: int) -> None:
        if not self._held[begin:end].endswith(_VERSION_1):
            raise PermanentError(_NOT_ONE)
        self._has_header = True

    def _block(self, begin: int, end: int) -> tuple[Cid, bytes]:
        with memoryview(self._held) as held, held[begin:end] as frame:
            try:
                cid, length = read_prefix(frame)
            except ValueError:
                raise PermanentError(_NOT_ONE) from None
            return cid, bytes(frame[length:])

"""Content identifiers of IPFS: what a block is, by the hash of its bytes.

Version 0 and 1, in the two spellings that gateways serve, and in the bytes that links hold.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from c2d_pods.content import PermanentError

RAW: Final = 0x55
DAG_PB: Final = 0x70
IDENTITY: Final = 0x00
SHA2_256: Final = 0x12

_SHA2_256_BYTES = 32
_VERSION_0 = bytes((SHA2_256, _SHA2_256_BYTES))
_MAX_VARINT = 9
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_MAX_TEXT = 512
_NOT_ONE = "its content identifier is not valid"
_CHANGED = "the gateway sent a block that is not the one that its identifier names"


@dataclass(frozen=True)
class Cid:
    """What bytes a block must have (`hash` names how `digest` was computed), and their `codec`."""

    codec: int
    hash: int
    digest: bytes

    @property
    def content(self) -> bytes | None:
        """The block itself, where the identifier holds it."""
        return self.digest if self.hash == IDENTITY else None

    def judge(self, block: bytes) -> None:
        """Refuse a block that is another.

        Raises:
            PermanentError: It is not the one that is named here, or that cannot be told.
        """
        self.judge_hash(hashlib.sha256(block).digest())

    def judge_hash(self, found: bytes) -> None:
        """Refuse a block that is another, by its sha2-256.

        Raises:
            PermanentError: As `judge`.
        """
        if self.hash not in {IDENTITY, SHA2_256}:
            raise PermanentError(
                "its content identifier has a hash other than sha2-256, which is not checked here"
            )
        own = self.content
        if found != (self.digest if own is None else hashlib.sha256(own).digest()):
            raise PermanentError(_CHANGED)


def read_text(text: str) -> Cid:
    """Read an identifier as people write it.

    Raises:
        PermanentError: It is none, or in a spelling that is not known here.
    """
    if len(text) > _MAX_TEXT:
        raise PermanentError(_NOT_ONE)
    try:
        if text.startswith("Qm"):
            return _whole(_base58(text), is_old=True)
        if text.startswith("b"):
            return _whole(_base32(text[1:]))
        if text.startswith("z"):
            return _whole(_base58(text[1:]))
    except ValueError:
        raise PermanentError(_NOT_ONE) from None
    raise PermanentError("its content identifier is in a spelling that is not known here")


def read_link(data: bytes) -> Cid:
    """Read an identifier as a block's link has it.

    Raises:
        ValueError: It is none.
    """
    return _whole(data, is_old=data.startswith(_VERSION_0))


def read_prefix(data: memoryview) -> tuple[Cid, int]:
    """Read the identifier that bytes begin with, and tell how many of them it takes.

    Raises:
        ValueError: They begin with none.
    """
    if bytes(data[:2]) == _VERSION_0:
        end = len(_VERSION_0) + _SHA2_256_BYTES
        return Cid(DAG_PB, SHA2_256, _part(data, len(_VERSION_0), end)), end
    version, at = read_varint(data, 0)
    if version != 1:
        raise ValueError("an identifier is of version 0 or 1")
    codec, at = read_varint(data, at)
    kind, at = read_varint(data, at)
    length, at = read_varint(data, at)
    if kind == SHA2_256 and length != _SHA2_256_BYTES:
        raise ValueError("a hash is as long as its kind says")
    return Cid(codec, kind, _part(data, at, at + length)), at + length


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number of variable length, and tell where it ends.

    Raises:
        ValueError: There is none, or one that is longer than need be.
    """
    number = 0
    for count, byte in enumerate(data[at : at + _MAX_VARINT]):
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:  # noqa: PLR2004 - the bit that says that more follow
            if byte == 0 and count:
                break
            return number, at + count + 1
    raise ValueError("a number is cut short or too long")


def _whole(data: bytes, *, is_old: bool = False) -> Cid:
    """Read bytes that are one identifier and nothing else, of version 0 or not."""
    cid, end = read_prefix(memoryview(data))
    if end != len(data) or is_old != data.startswith(_VERSION_0):
        raise ValueError("there is more, or the spelling is that of another version")
    return cid


def _part(data: memoryview, start: int, end: int) -> bytes:
    if end > len(data):
        raise ValueError("an identifier is cut short")
    return bytes(data[start:end])


def _base32(text: str) -> bytes:
    number, bits = 0, 5 * len(text)
    for character in text:
        number = number << 5 | _BASE32.index(character)
    left = bits % 8
    if left >= 5 or number & ((1 << left) - 1):  # noqa: PLR2004 - a letter's worth too much
        raise ValueError("bits are left over")
    return (number >> left).to_bytes(bits // 8, "big")


def _base58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _BASE58.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    return b"\x00" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")

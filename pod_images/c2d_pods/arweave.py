"""Transactions of Arweave: which content the signer of an identifier signed.

An identifier is the hash of a signature. So a transaction that a gateway tells is the right one if
its signature has that hash, and its owner's key made the signature over all the rest. Among that
are the content's length and the root of the tree of its chunks' hashes.

Only transactions of format 2 are judged. What format 1 signs is its parts one after the other,
without their lengths: a gateway could move bytes from the content to its neighbours, and the
signature would still fit. Of a signature by another kind of key than RSA (ECDSA), the key is
computed from the signature and from what was signed, so that any content fits any of them.
"""

import binascii
import hashlib
import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

from c2d_pods.content import PermanentError
from c2d_pods.rsa_pss import is_signed

MAX_TRANSACTION: Final = 2**20
"""Bytes of a transaction as a gateway tells it, without the content."""

MAX_CHUNK: Final = 256 * 1024
MIN_CHUNK: Final = 32 * 1024

_KEY_BYTES = 512
_NOTE_BYTES = 32
_MAX_TAGS = 128
_MAX_DIGITS = 18

Signed: TypeAlias = "bytes | Sequence[Signed]"


class UnverifiableError(PermanentError):
    """What an identifier stands for cannot be told from it."""


@dataclass(frozen=True)
class Stored:
    """What a transaction says of its content: how long it is, and the root of its chunks."""

    length: int
    root: bytes


def read_transaction(body: bytes, identifier: str) -> Stored:
    """Read a transaction, and judge that it is the one of this identifier.

    Raises:
        UnverifiableError: It is of a kind of which that cannot be judged.
        PermanentError: It is another one, or makes no sense.
    """
    try:
        transaction = json.loads(body)
        _judge_kind(transaction)
        signature, owner = _bytes(transaction, "signature"), _bytes(transaction, "owner")
        message = deep_hash(_signed(transaction, owner))
        stored = Stored(_number(transaction["data_size"]), _bytes(transaction, "data_root"))
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        raise PermanentError("the gateway sent no transaction of Arweave") from None
    if hashlib.sha256(signature).digest() != _decoded(identifier):
        raise PermanentError("the gateway sent another transaction than it was asked for")
    if not is_signed(message, signature, owner):
        raise PermanentError("the gateway sent a transaction that its owner did not sign")
    return stored


def deep_hash(signed: Signed) -> bytes:
    """Hash nested lists of bytes so that no others have the same hash."""
    if isinstance(signed, bytes):
        tag = b"blob%d" % len(signed)
        return _sha384(_sha384(tag) + _sha384(signed))
    found = _sha384(b"list%d" % len(signed))
    for part in signed:
        found = _sha384(found + deep_hash(part))
    return found


def chunk_lengths(length: int) -> Iterator[int]:
    """Cut a content as Arweave's clients do.

    The last two chunks are evened out where the last one would be too short. A content that ends
    with a whole chunk has an empty one after it, which counts in the tree; so do those of none.
    """
    while length >= MAX_CHUNK:
        is_short = 0 < length - MAX_CHUNK < MIN_CHUNK
        chunk = -(-length // 2) if is_short else MAX_CHUNK
        yield chunk
        length -= chunk
    yield length


class RootOfChunks:
    """The root of the tree over a content's chunks, computed as the content goes by.

    Pairs of nodes make the next level; one that is left over goes up as it is. So of all nodes
    only the last on each level is held.
    """

    def __init__(self, length: int) -> None:
        """Begin; `length` is the whole content's."""
        self._lengths = chunk_lengths(length)
        self._left = next(self._lengths)
        self._end = self._left
        self._chunk = hashlib.sha256()
        self._nodes: list[_Node] = []

    def add(self, data: bytes) -> None:
        """Take the next bytes; no more than the length has."""
        if not data:
            return
        rest = memoryview(data)
        while len(rest) >= self._left:
            self._chunk.update(rest[: self._left])
            rest = rest[self._left :]
            self._add_leaf()
            following = next(self._lengths, None)
            if following is None:
                return
            self._left, self._end = following, self._end + following
        self._chunk.update(rest)
        self._left -= len(rest)

    def finish(self) -> bytes:
        """Tell the root; all bytes must have come. Nothing at all has none."""
        nodes = list(self._nodes)
        if not nodes:
            return b""
        right = nodes.pop()
        while nodes:
            right = _above(nodes.pop(), right)
        return right.hash

    def _add_leaf(self) -> None:
        content, self._chunk = self._chunk.digest(), hashlib.sha256()
        node = _Node(0, _hash(_hash(content), _hash(_note(self._end))), self._end)
        while self._nodes and self._nodes[-1].level == node.level:
            node = _above(self._nodes.pop(), node)
        self._nodes.append(node)


@dataclass(frozen=True)
class _Node:
    """A node of the tree, and up to where in the content it reaches."""

    level: int
    hash: bytes
    end: int


def _above(left: _Node, right: _Node) -> _Node:
    hashed = _hash(_hash(left.hash), _hash(right.hash), _hash(_note(left.end)))
    return _Node(left.level + 1, hashed, right.end)


def _judge_kind(transaction: dict[str, Any]) -> None:
    if transaction["format"] != 2:  # noqa: PLR2004 - the format's number is its name
        raise UnverifiableError(
            "its transaction of Arweave is of format 1, which does not sign where its content"
            " begins and ends: it cannot be checked without a sha256"
        )
    if len(_bytes(transaction, "owner")) != _KEY_BYTES:
        raise UnverifiableError(
            "its transaction of Arweave has no RSA key of 4096 bits: it cannot be checked without"
            " a sha256"
        )


def _signed(transaction: dict[str, Any], owner: bytes) -> Signed:
    tags = transaction["tags"]
    if not isinstance(tags, list) or len(tags) > _MAX_TAGS:
        raise ValueError("tags are a list")
    return (
        b"2",
        owner,
        _bytes(transaction, "target"),
        _text(transaction, "quantity"),
        _text(transaction, "reward"),
        _bytes(transaction, "last_tx"),
        [(_bytes(tag, "name"), _bytes(tag, "value")) for tag in tags],
        _text(transaction, "data_size"),
        _bytes(transaction, "data_root"),
    )


def _text(found: dict[str, Any], name: str) -> bytes:
    return cast("str", found[name]).encode()


def _bytes(found: dict[str, Any], name: str) -> bytes:
    return _decoded(found[name])


def _decoded(text: str) -> bytes:
    """Decode base64 as Arweave writes it: for URLs, without what fills it up."""
    try:
        return urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        raise ValueError("it is not base64") from None


def _number(text: str) -> int:
    if not text.isdecimal() or not text.isascii() or len(text) > _MAX_DIGITS:
        raise ValueError("a length is a number")
    return int(text)


def _note(number: int) -> bytes:
    return number.to_bytes(_NOTE_BYTES, "big")


def _hash(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _sha384(data: bytes) -> bytes:
    return hashlib.sha384(data).digest()

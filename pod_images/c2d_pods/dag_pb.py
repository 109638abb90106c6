"""Nodes of UnixFS, as a block (dag-pb) holds them: files, folders, and the links below them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from c2d_pods.cids import read_varint

BYTES: Final = 0
FOLDER: Final = 1
FILE: Final = 2
SHARDED_FOLDER: Final = 5

MAX_LINKS: Final = 16 * 1024
"""Links of one node at most, of which nodes of IPFS write 174 or 1024 into a file's."""

_VARINT, _FIXED64, _COUNTED, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}


@dataclass(frozen=True)
class Link:
    """The identifier of another block, in bytes, and the name that it has in a folder."""

    cid: bytes
    name: bytes


@dataclass(frozen=True)
class Node:
    """A node: its own bytes, then those that its links bring, each of so many bytes."""

    kind: int
    data: bytes = field(repr=False)
    links: tuple[Link, ...]
    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """How many bytes of a file there are in and below it."""
        return len(self.data) + sum(self.sizes)


def read_node(block: bytes) -> Node:
    """Read a node.

    Raises:
        ValueError: The block is none of UnixFS.
    """
    links: list[Link] = []
    unixfs: memoryview | None = None
    for number, value in _fields(memoryview(block)):
        if number == 1:
            unixfs = _bytes(value)
        elif number == 2:  # noqa: PLR2004 - the number that the format gives to links
            links.append(_link(_bytes(value)))
            if len(links) > MAX_LINKS:
                raise ValueError("a node has too many links")
    if unixfs is None:
        raise ValueError("a node has no data of UnixFS")
    return _node(unixfs, tuple(links))


def _link(data: memoryview) -> Link:
    found = {number: value for number, value in _fields(data) if number in (1, 2)}
    return Link(bytes(_bytes(found.get(1))), bytes(_bytes(found.get(2, memoryview(b"")))))


def _node(unixfs: memoryview, links: tuple[Link, ...]) -> Node:
    kind, data, total = -1, memoryview(b""), None
    sizes: list[int] = []
    for number, value in _fields(unixfs):
        match number:
            case 1:
                kind = _number(value)
            case 2:
                data = _bytes(value)
            case 3:
                total = _number(value)
            case 4:
                sizes += [value] if isinstance(value, int) else _packed(value)
            case _:
                pass  # times and modes, which files here do not keep
    node = Node(kind, bytes(data), links, tuple(sizes))
    if kind in (BYTES, FILE) and (len(sizes) != len(links) or total not in (None, node.size)):
        raise ValueError("a file's parts do not add up")
    return node


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Read the fields of a message of protocol buffers, in their order."""
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, at = read_varint(data, at)
            yield number, value
            continue
        if kind == _COUNTED:
            length, at = read_varint(data, at)
        elif kind in _FIXED:
            length = _FIXED[kind]
        else:
            raise ValueError("a field is of a kind that is not known here")
        if at + length > len(data):
            raise ValueError("a field is cut short")
        yield number, data[at : at + length]
        at += length


def _packed(data: memoryview) -> list[int]:
    numbers, at = [], 0
    while at < len(data):
        number, at = read_varint(data, at)
        numbers.append(number)
    return numbers


def _bytes(value: int | memoryview | None) -> memoryview:
    if not isinstance(value, memoryview):
        raise ValueError("a field has a number for bytes, or is missing")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise ValueError("a field has bytes for a number")
    return value

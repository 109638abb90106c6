"""A file of IPFS out of its blocks: each is judged by the link that led to it.

The blocks come in the order in which a file is read (depth first, those that occur twice sent
twice), so that no more is held than the links still to be followed.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from c2d_pods.cids import DAG_PB, RAW, Cid, read_link
from c2d_pods.content import PermanentError, TransientError
from c2d_pods.dag_pb import BYTES, FILE, FOLDER, SHARDED_FOLDER, Node, read_node

MAX_DEPTH: Final = 32
"""Levels of links below a file's first block."""

MAX_PENDING: Final = 64 * 1024
"""Links that are still to be followed, on all levels together."""

_MALFORMED = "a block is not that of a file of IPFS (UnixFS)"


@dataclass(frozen=True)
class _Part:
    """Where a block belongs: what it must be, and how many of the file's bytes are below it."""

    cid: Cid
    size: int | None = None


class Walk:
    """Goes from an identifier, and a path below it, through all blocks of one file."""

    def __init__(self, root: Cid, path: Sequence[str]) -> None:
        """Begin at the identifier; `path` has the names on the way to the file."""
        self.length: int | None = None
        self._next: _Part | None = _Part(root)
        self._names = deque(path)
        self._levels: list[deque[tuple[bytes, int]]] = []
        self._pending = 0
        self._unsent: deque[Cid] = deque()

    def begin(self) -> Iterator[bytes]:
        """Give the file's bytes that are known before any block comes."""
        yield from self._inlined()

    def take(self, cid: Cid, block: bytes) -> Iterator[bytes]:
        """Judge the block that came, and give those of the file's bytes that it brings.

        Raises:
            PermanentError: It does not belong here, or there is no such file.
        """
        if self._unsent and cid == self._unsent[0]:
            self._unsent.popleft()  # a block within an identifier, which some send as well
            return
        part = self._next
        if part is None or (cid.hash, cid.digest) != (part.cid.hash, part.cid.digest):
            raise PermanentError(
                "the gateway sends other blocks than the file's, or in another order"
            )
        part.cid.judge(block)
        self._unsent.clear()
        yield from self._read(part, block)
        yield from self._inlined()

    def finish(self) -> None:
        """Take note that no more blocks come.

        Raises:
            TransientError: Some are missing.
        """
        if self._next is not None:
            raise TransientError("the server stopped before the file's end")

    def _inlined(self) -> Iterator[bytes]:
        """Read the blocks that identifiers hold themselves: gateways need not send them."""
        while self._next is not None and self._next.cid.content is not None:
            part = self._next
            self._unsent.append(part.cid)
            yield from self._read(part, part.cid.digest)

    def _read(self, part: _Part, block: bytes) -> Iterator[bytes]:
        node = _node(part.cid.codec, block)
        if self._names:
            self._next = _Part(_found(node, self._names.popleft()))
            return
        self._judge_file(node, part)
        self._descend(node)
        if node.data:
            yield node.data

    def _judge_file(self, node: Node, part: _Part) -> None:
        if node.kind in (FOLDER, SHARDED_FOLDER):
            raise PermanentError("it is a folder of IPFS: name a file in it by its path")
        if node.kind not in (BYTES, FILE):
            raise PermanentError(_MALFORMED)
        if part.size is None:
            self.length = node.size
        elif part.size != node.size or not node.size:
            raise PermanentError("its blocks do not add up to the file that they are of")

    def _descend(self, node: Node) -> None:
        """Go to the first block below this one, or else to what comes after it."""
        if node.links:
            links = (link.cid for link in node.links)
            self._levels.append(deque(zip(links, node.sizes, strict=True)))
            self._pending += len(node.links)
        while self._levels and not self._levels[-1]:
            self._levels.pop()
        if len(self._levels) > MAX_DEPTH or self._pending > MAX_PENDING:
            raise PermanentError("its blocks are nested too deep, or link to too many others")
        if not self._levels:
            self._next = None
            return
        link, size = self._levels[-1].popleft()
        self._pending -= 1
        self._next = _Part(_cid(link), size)


def _node(codec: int, block: bytes) -> Node:
    if codec == RAW:
        return Node(BYTES, block, (), ())
    if codec != DAG_PB:
        raise PermanentError("its content identifier is not that of a file")
    try:
        return read_node(block)
    except ValueError:
        raise PermanentError(_MALFORMED) from None


def _found(folder: Node, name: str) -> Cid:
    if folder.kind == SHARDED_FOLDER:
        raise PermanentError(
            "it is in a folder of IPFS of so many files that it is sharded, which is not read:"
            " name the file by its own content identifier"
        )
    wanted = name.encode()
    found = (link for link in folder.links if link.name == wanted)
    link = next(found, None) if folder.kind == FOLDER else None
    if link is None:
        raise PermanentError("there is no file of its path below its content identifier")
    return _cid(link.cid)


def _cid(link: bytes) -> Cid:
    try:
        return read_link(link)
    except ValueError:
        raise PermanentError(_MALFORMED) from None

"""Blocks of IPFS that no node would write: they fit their links, and are refused all the same."""

import hashlib
from collections.abc import Iterator

import pytest

from c2d_pods.cids import DAG_PB, IDENTITY, RAW, SHA2_256, Cid
from c2d_pods.content import PermanentError
from c2d_pods.dag_pb import MAX_LINKS, read_node
from c2d_pods.unixfs import MAX_DEPTH, MAX_PENDING, Walk

FILE = 2


def varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


def counted(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def numbered(number: int, value: int) -> bytes:
    return varint(number << 3) + varint(value)


def sha(block: bytes) -> Cid:
    return Cid(DAG_PB, SHA2_256, hashlib.sha256(block).digest())


def link_to(block: bytes) -> bytes:
    return b"\x12\x20" + hashlib.sha256(block).digest()


def raw_link_to(block: bytes) -> bytes:
    return b"\x01\x55" + link_to(block)


def node(
    links: list[bytes], sizes: list[int], data: bytes = b"", total: int | None = None
) -> bytes:
    """Write a node of a file; `total` is what it says of its length."""
    unixfs = numbered(1, FILE) + counted(2, data)
    if total is not None:
        unixfs += numbered(3, total)
    unixfs += b"".join(numbered(4, size) for size in sizes)
    return b"".join(counted(2, counted(1, link)) for link in links) + counted(1, unixfs)


def walked(*blocks: bytes) -> bytes:
    """Go through blocks that come in this order, from the first one's identifier."""

    def all_of() -> Iterator[bytes]:
        walk = Walk(sha(blocks[0]), ())
        yield from walk.begin()
        for block in blocks:
            yield from walk.take(sha(block), block)
        walk.finish()

    return b"".join(all_of())


def test_own_bytes_come_before_those_below() -> None:
    leaf = node([], [], b"leaf")
    assert walked(node([link_to(leaf)], [4], b"own "), leaf) == b"own leaf"
    assert walked(node([link_to(leaf)], [4], b"own ", total=8), leaf) == b"own leaf"


def test_sizes_may_be_written_together() -> None:
    leaf = node([], [], b"leaf")
    sizes = counted(4, varint(4) + varint(4))
    unixfs = counted(1, numbered(1, FILE) + sizes)
    links = counted(2, counted(1, link_to(leaf))) * 2
    assert walked(links + unixfs, leaf, leaf) == b"leafleaf"


@pytest.mark.parametrize(
    ("sizes", "total"),
    [
        pytest.param([3], None, id="a part that is longer"),
        pytest.param([5], None, id="a part that is shorter"),
        pytest.param([4], 5, id="a whole that is shorter"),
        pytest.param([], 0, id="parts of no length"),
        pytest.param([4, 4], 8, id="more lengths than parts"),
    ],
)
def test_lengths_must_add_up(sizes: list[int], total: int | None) -> None:
    leaf = node([], [], b"leaf")
    with pytest.raises(PermanentError, match=r"add up|not that of a file"):
        walked(node([link_to(leaf)], sizes, total=total), leaf)


def test_parts_that_bring_nothing_are_not_followed_for_ever() -> None:
    nothing = node([], [])
    many = node([link_to(nothing)] * 1000, [0] * 1000)
    with pytest.raises(PermanentError, match="add up"):
        walked(node([link_to(many)], [0]), many, *[nothing] * 1000)


def test_blocks_are_nested_to_a_limit() -> None:
    def chain(length: int) -> list[bytes]:
        blocks = [node([], [], b"leaf")]
        for _ in range(length):
            # The second link keeps the level open while the first one is followed.
            last = blocks[-1]
            size = read_node(last).size
            blocks.append(node([link_to(last), link_to(last)], [size, size]))
        return blocks[::-1]

    with pytest.raises(PermanentError, match="nested too deep"):
        walked(*chain(MAX_DEPTH + 1))


def test_links_are_held_to_a_limit() -> None:
    leaf = node([], [], b"leaf")
    blocks, size = [leaf], 4
    for _ in range(MAX_PENDING // MAX_LINKS + 1):
        blocks.append(node([link_to(blocks[-1])] * MAX_LINKS, [size] * MAX_LINKS))
        size *= MAX_LINKS
    with pytest.raises(PermanentError, match="too many others"):
        walked(*blocks[::-1])
    with pytest.raises(PermanentError, match="not that of a file"):
        walked(node([link_to(leaf)] * (MAX_LINKS + 1), [4] * (MAX_LINKS + 1)))


def test_a_block_within_an_identifier_may_be_sent_or_not() -> None:
    inlined = b"\x01\x55\x00\x04leaf"
    root, last = node([inlined, raw_link_to(b"last")], [4, 4]), b"last"
    cid = Cid(RAW, SHA2_256, hashlib.sha256(last).digest())
    for sent in ([], [(Cid(RAW, IDENTITY, b"leaf"), b"leaf")]):
        walk = Walk(sha(root), ())
        blocks = [(sha(root), root), *sent, (cid, last)]
        assert b"".join(piece for one in blocks for piece in walk.take(*one)) == b"leaflast"
        walk.finish()
    walk = Walk(sha(root), ())
    list(walk.take(sha(root), root))
    with pytest.raises(PermanentError, match="other blocks"):
        list(walk.take(Cid(RAW, IDENTITY, b"lies"), b"lies"))

"""Files of IPFS out of the blocks that a gateway sends: each the one that its link names.

What gateways send, and the identifiers, are those of a real node (`hack/ipfs_vectors.py`).
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from c2d_pods.car import MAX_BLOCK, CarReader
from c2d_pods.cids import DAG_PB, IDENTITY, RAW, SHA2_256, Cid, read_link, read_text
from c2d_pods.content import PermanentError, TransferError, TransientError
from c2d_pods.dag_pb import read_node
from c2d_pods.identified import IpfsBlocks, IpfsName, IpfsRaw, read_name

RECORDED: dict[str, dict[str, str]] = json.loads(
    (Path(__file__).parent / "recorded_ipfs.json").read_text()
)
REFUSED = {
    "another hash": "other than sha2-256",
    "a folder": "it is a folder",
    "a symbolic link": "not that of a file",
    "in a sharded folder": "sharded",
}
FILES = [name for name in RECORDED if name not in REFUSED]
LONG = [name for name in FILES if len(b64decode(RECORDED[name]["content"])) > 500]
UNHURRIED = settings(max_examples=50, deadline=None)


def content(kind: str) -> bytes:
    return b64decode(RECORDED[kind]["content"])


def archive(kind: str) -> bytes:
    return b64decode(RECORDED[kind]["blocks"])


def name(kind: str) -> IpfsName:
    found = read_name(f"ipfs:{RECORDED[kind]['name']}")
    assert isinstance(found, IpfsName)
    return found


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut data into pieces of these sizes, and a last one of the rest."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def taken(named: IpfsName, data: bytes, sizes: list[int] | None = None) -> bytes:
    verifier = IpfsBlocks(named)
    came = b"".join(b"".join(verifier.feed(piece)) for piece in pieces(data, sizes or []))
    verifier.finish()
    assert verifier.length == len(came)
    return came


def frames(data: bytes) -> list[bytes]:
    """Take an archive apart, its header first, without the program's help."""
    found = []
    while data:
        length, at = 0, 0
        while True:
            length |= (data[at] & 127) << (7 * at)
            at += 1
            if data[at - 1] < 128:
                break
        found.append(data[: at + length])
        data = data[at + length :]
    return found


@pytest.mark.parametrize("kind", FILES)
def test_a_file_comes_out_of_its_blocks(kind: str) -> None:
    assert taken(name(kind), archive(kind)) == content(kind)


@UNHURRIED
@given(st.sampled_from(FILES), st.lists(st.integers(0, 300), max_size=20))
def test_it_does_not_matter_how_they_come(kind: str, sizes: list[int]) -> None:
    assert taken(name(kind), archive(kind), sizes) == content(kind)


@pytest.mark.parametrize("kind", LONG)
def test_byte_by_byte_as_well(kind: str) -> None:
    data = archive(kind)
    assert taken(name(kind), data, [1] * len(data)) == content(kind)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_file_or_cannot_be_checked_is_refused(kind: str) -> None:
    with pytest.raises(PermanentError, match=REFUSED[kind]):
        taken(name(kind), archive(kind))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(FILES), st.data())
def test_no_byte_of_an_archive_can_be_changed_for_another_file(
    kind: str, data: st.DataObject
) -> None:
    """What comes is the file, or nothing but its beginning, and an error."""
    changed = bytearray(archive(kind))
    place = data.draw(st.integers(0, len(changed) - 1))
    changed[place] ^= data.draw(st.integers(1, 255))
    verifier, came = IpfsBlocks(name(kind)), bytearray()
    try:
        for piece in verifier.feed(bytes(changed)):
            came += piece
        verifier.finish()
    except TransferError:
        assert content(kind).startswith(bytes(came))
    else:
        assert came == content(kind)


@pytest.mark.parametrize("kind", FILES)
def test_a_block_that_was_changed_is_noticed(kind: str) -> None:
    """The last byte of each block, which is of the content or of what describes it."""
    header, *blocks = frames(archive(kind))
    for number, block in enumerate(blocks):
        if len(block) < 40:  # nothing but its identifier: an empty one, or one that holds it
            continue
        changed = [*blocks]
        changed[number] = block[:-1] + bytes([block[-1] ^ 1])
        with pytest.raises(PermanentError, match="not the one that its identifier names"):
            taken(name(kind), header + b"".join(changed))


@pytest.mark.parametrize("kind", ["raw leaves", "leaves of UnixFS", "several levels"])
def test_blocks_in_another_order_are_refused(kind: str) -> None:
    header, *blocks = frames(archive(kind))
    other = [*blocks[:-2], blocks[-1], blocks[-2]]
    with pytest.raises(PermanentError, match="another order"):
        taken(name(kind), header + b"".join(other))
    with pytest.raises(PermanentError, match="another order"):
        taken(name(kind), header + b"".join([*blocks, blocks[-1]]))
    with pytest.raises(PermanentError, match="another order"):
        taken(name(kind), archive("one raw block"))


def test_blocks_that_are_not_sent_again_are_missed() -> None:
    kind = "the same block again and again"
    header, *blocks = frames(archive(kind))
    assert len(blocks) == 11
    assert len(set(blocks)) == 2
    with pytest.raises(TransientError, match="before the file's end"):
        taken(name(kind), header + blocks[0] + blocks[1])


@pytest.mark.parametrize("kind", LONG)
def test_an_archive_that_is_cut_short_is_no_file(kind: str) -> None:
    data = archive(kind)
    for end in (0, 1, 30, len(data) // 2, len(data) - 1):
        with pytest.raises(TransientError, match="before the file's end"):
            taken(name(kind), data[:end])
    with pytest.raises(TransientError, match="before the file's end"):
        taken(name(kind), data + b"\x50half a block")


def test_a_path_leads_where_its_folders_say() -> None:
    root = name("in a folder")
    data = archive("in a folder")
    for path in (("trees", "b.csv"), ("other", "x"), ("Trees",)):
        with pytest.raises(PermanentError):
            taken(IpfsName(root.cid, path), data)
    with pytest.raises(PermanentError, match="it is a folder"):
        taken(IpfsName(root.cid, ()), data)
    with pytest.raises(PermanentError, match="no file of its path"):
        taken(IpfsName(name("raw leaves").cid, ("x",)), archive("raw leaves"))


def framed(cid: bytes, block: bytes) -> bytes:
    return varint(len(cid) + len(block)) + cid + block


def varint(number: int) -> bytes:
    written = bytearray()
    while number >= 128:
        written.append(number & 127 | 128)
        number >>= 7
    return bytes([*written, number])


HEADER = frames(archive("one raw block"))[0]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<!DOCTYPE html><html>not an archive</html>" * 9, id="a page"),
        pytest.param(b"\x00", id="an empty header"),
        pytest.param(bytes.fromhex("0aa16776657273696f6e02") + bytes(40), id="version 2"),
        pytest.param(b"\xff" * 12, id="a number without an end"),
        pytest.param(varint(10_000), id="a header that is too long"),
        pytest.param(HEADER + varint(3 * 2**20), id="a block that is too long"),
        pytest.param(HEADER + b"\x00", id="a block without an identifier"),
        pytest.param(HEADER + framed(b"\x05\x55\x12\x20", b"x"), id="an identifier of version 5"),
    ],
)
def test_what_is_no_archive_is_refused_at_once(data: bytes) -> None:
    with pytest.raises(PermanentError):
        taken(name("one raw block"), data)


def test_the_longest_block_is_read_and_no_longer_one() -> None:
    cid = read_name(f"ipfs:{RECORDED['one raw block']['name']}")
    assert isinstance(cid, IpfsName)
    prefix = b"\x01\x55\x12\x20" + bytes(32)
    reader = CarReader()
    assert list(reader.feed(HEADER)) == []
    ((_, block),) = reader.feed(framed(prefix, bytes(MAX_BLOCK)))
    assert len(block) == MAX_BLOCK
    with pytest.raises(PermanentError, match="longer than"):
        list(reader.feed(varint(MAX_BLOCK + 1000)))


@pytest.mark.parametrize("kind", ["one raw block", "nothing, raw"])
def test_a_raw_block_is_judged_without_an_archive(kind: str) -> None:
    verifier = IpfsRaw(name(kind).cid)
    data = content(kind)
    came = [piece for part in (data[:7], data[7:]) for piece in verifier.feed(part)]
    verifier.finish()
    assert b"".join(came) == data
    verifier.feed(b"x")
    with pytest.raises(PermanentError, match="not the one"):
        verifier.finish()


@pytest.mark.parametrize(
    ("text", "codec", "kind"),
    [
        ("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", DAG_PB, SHA2_256),
        ("bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi", DAG_PB, SHA2_256),
        ("bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy", RAW, SHA2_256),
        ("zdj7WhuEjrB52m1BisYCtmjH1hSKa7yZ3jEZ9JcXaFRD51wVz", DAG_PB, SHA2_256),
        ("bafkqaaa", RAW, IDENTITY),
    ],
)
def test_an_identifier_is_read_in_each_spelling(text: str, codec: int, kind: int) -> None:
    cid = read_text(text)
    assert (cid.codec, cid.hash) == (codec, kind)


def test_the_versions_and_spellings_of_one_identifier_have_one_hash() -> None:
    """As Kubo converts them: `ipfs cid format -v 1`, and `-b base58btc`."""
    old = read_text("QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG")
    new = read_text("bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34")
    assert old == new


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Qm",
        "b",
        "z",
        "bafy",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbd0",
        "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbd",
        "zQmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzd",
        "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdia",
        "BAFYBEIGDYRZT5SFP7UDM7HU76UH7Y26NF3EFUYLQABF3OCLGTQY55FBZDI",
        "k51qzi5uqu5dlvj2baxnqndepeb86cbk3ng7n3i46uzyxzyqj2xjonzllnv0v8",
        "z" * 600,
    ],
)
def test_what_is_no_identifier_is_refused(text: str) -> None:
    with pytest.raises(PermanentError):
        read_text(text)


@pytest.mark.parametrize(
    "path",
    ["/a//b", "/..", "/a/%2e%2e/b", "/a/./b", "/%ff", "/" + "/".join(["a"] * 65)],
)
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(PermanentError, match="path"):
        read_name("ipfs:" + RECORDED["in a folder"]["name"].partition("/")[0] + path)


@UNHURRIED
@given(st.binary(max_size=200))
def test_no_block_whatever_makes_the_readers_stumble(data: bytes) -> None:
    """They say that it makes no sense, and nothing else happens."""
    for read in (read_node, read_link):
        try:
            read(data)
        except ValueError:
            continue
    try:
        taken(IpfsName(Cid(RAW, IDENTITY, b""), ()), data)
    except TransferError:
        return

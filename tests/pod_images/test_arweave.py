"""Contents of Arweave: whose transaction it is, and whether the content is the one it stores.

What is expected was computed by Arweave's own client (`hack/arweave/vectors.js`).
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from Crypto.Hash import SHA256
from Crypto.PublicKey import RSA
from Crypto.Signature import pss
from hypothesis import given, settings
from hypothesis import strategies as st

from c2d_pods.arweave import (
    MAX_CHUNK,
    MIN_CHUNK,
    RootOfChunks,
    Stored,
    UnverifiableError,
    chunk_lengths,
    read_transaction,
)
from c2d_pods.content import PermanentError, TransientError
from c2d_pods.identified import ArweaveContent
from c2d_pods.rsa_pss import is_signed

RECORDED = json.loads((Path(__file__).parent / "recorded_arweave.json").read_text())
ROOTS: dict[int, str] = dict(RECORDED["roots"])
TRANSACTIONS: dict[str, dict[str, Any]] = {
    one["name"]: one["transaction"] for one in RECORDED["transactions"]
}
UNHURRIED = settings(max_examples=30, deadline=None)
LENGTH: int = RECORDED["transactions"][0]["length"]
ANY = next(iter(TRANSACTIONS.values()))
OTHER = TRANSACTIONS["of the hash's length"]


@cache
def content(length: int) -> bytes:
    return hashlib.shake_256(b"content").digest(length)


def decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "==")


def encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def pieces(data: bytes, sizes: list[int]) -> Iterator[bytes]:
    """Cut data into pieces of these sizes, and a last one of the rest."""
    start = 0
    for size in sizes:
        yield data[start : start + size]
        start += size
    yield data[start:]


def read(transaction: dict[str, Any], identifier: str | None = None) -> Stored:
    return read_transaction(json.dumps(transaction).encode(), identifier or transaction["id"])


@pytest.mark.parametrize("length", ROOTS)
def test_the_root_is_the_one_of_arweaves_client(length: int) -> None:
    root = RootOfChunks(length)
    root.add(content(length))
    assert root.finish().hex() == ROOTS[length]


@UNHURRIED
@given(st.sampled_from(sorted(ROOTS)), st.lists(st.integers(0, 400_000), max_size=8))
def test_the_root_does_not_depend_on_how_a_content_comes(length: int, sizes: list[int]) -> None:
    root = RootOfChunks(length)
    for piece in pieces(content(length), sizes):
        if piece:
            root.add(piece)
    assert root.finish().hex() == ROOTS[length]


@UNHURRIED
@given(st.integers(0, 20 * MAX_CHUNK))
def test_chunks_make_up_the_content_within_the_limits(length: int) -> None:
    chunks = list(chunk_lengths(length))
    assert sum(chunks) == length
    assert max(chunks) <= MAX_CHUNK
    assert len(chunks) == 1 or all(chunk >= MIN_CHUNK for chunk in chunks[:-1])
    assert len(chunks) == 1 or chunks[-1] == 0 or chunks[-1] >= MIN_CHUNK


@pytest.mark.parametrize("salt", TRANSACTIONS)
def test_a_transaction_is_read_that_its_owner_signed(salt: str) -> None:
    stored = read(TRANSACTIONS[salt])
    assert stored.length == LENGTH
    root = RootOfChunks(LENGTH)
    root.add(content(LENGTH))
    assert root.finish() == stored.root


@pytest.mark.parametrize(
    "name",
    ["target", "quantity", "reward", "last_tx", "data_size", "data_root", "owner", "tags"],
)
def test_whatever_of_a_transaction_is_changed_is_noticed(name: str) -> None:
    changes: dict[str, Any] = {
        "target": encoded(bytes(32)),
        "quantity": "1",
        "reward": "0",
        "last_tx": encoded(bytes(48)),
        "data_size": str(LENGTH - 1),
        "data_root": encoded(bytes(32)),
        "owner": OTHER["owner"],
        "tags": ANY["tags"][:1],
    }
    assert ANY[name] != changes[name]
    with pytest.raises(PermanentError, match="did not sign"):
        read({**ANY, name: changes[name]})


def test_another_signature_is_another_identifier() -> None:
    with pytest.raises(PermanentError, match="another transaction"):
        read(OTHER, ANY["id"])
    with pytest.raises(PermanentError, match="another transaction"):
        read({**ANY, "signature": OTHER["signature"]})


def test_what_the_content_field_holds_is_not_looked_at() -> None:
    assert read({**ANY, "data": "AAAA", "id": "other"}, ANY["id"]) == read(ANY)


def test_of_some_kinds_of_transactions_nothing_can_be_told() -> None:
    old = RECORDED["old"]["transaction"]
    assert old["format"] == 1
    with pytest.raises(UnverifiableError, match="format 1"):
        read(old)
    with pytest.raises(UnverifiableError, match="no RSA key of 4096 bits"):
        read({**ANY, "owner": "", "signature": encoded(bytes(65))})


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"Not Found.",
        b"[]",
        b"null",
        b"{}",
        b"[" * 100_000,
        b"\xff",
        json.dumps({**ANY, "tags": [{"name": 1, "value": ""}]}).encode(),
        json.dumps({**ANY, "tags": [{}] * 1000}).encode(),
        json.dumps({**ANY, "tags": "x"}).encode(),
        json.dumps({**ANY, "data_size": 600_000}).encode(),
        json.dumps({**ANY, "data_size": "-1"}).encode(),
        json.dumps({**ANY, "data_size": "9" * 5000}).encode(),
        json.dumps({**ANY, "owner": None}).encode(),
        json.dumps({**ANY, "signature": "A"}).encode(),
        json.dumps({**ANY, "format": "2", "data_root": ["x"]}).encode(),
    ],
)
def test_what_makes_no_sense_is_no_transaction(body: bytes) -> None:
    with pytest.raises(PermanentError):
        read_transaction(body, ANY["id"])


SIGNATURE, OWNER = decoded(ANY["signature"]), decoded(ANY["owner"])


@pytest.mark.parametrize(
    ("signature", "owner"),
    [
        pytest.param(bytes(512), OWNER, id="zero"),
        pytest.param(b"\x01".rjust(512, b"\x00"), OWNER, id="one"),
        pytest.param(OWNER, OWNER, id="the key itself"),
        pytest.param(SIGNATURE, bytes(512), id="no key"),
        pytest.param(SIGNATURE, b"\x01".rjust(512, b"\x00"), id="a key of one"),
        pytest.param(SIGNATURE, b"\xff" * 8, id="a short key"),
        pytest.param(b"", b"", id="nothing"),
        pytest.param(SIGNATURE + b"\x00", OWNER, id="a longer signature"),
    ],
)
def test_no_message_is_signed_by_what_is_no_signature(signature: bytes, owner: bytes) -> None:
    assert not is_signed(b"message", signature, owner)


def taken(verifier: ArweaveContent, data: bytes, sizes: list[int]) -> bytes:
    came = b"".join(b"".join(verifier.feed(piece)) for piece in pieces(data, sizes))
    verifier.finish()
    return came


@UNHURRIED
@given(st.lists(st.integers(0, 400_000), max_size=5))
def test_a_content_passes_as_it_comes(sizes: list[int]) -> None:
    assert taken(ArweaveContent(read(ANY)), content(LENGTH), sizes) == content(LENGTH)


@UNHURRIED
@given(st.integers(0, LENGTH - 1), st.integers(0, 7))
def test_a_content_with_a_bit_changed_is_refused(place: int, bit: int) -> None:
    changed = bytearray(content(LENGTH))
    changed[place] ^= 1 << bit
    with pytest.raises(PermanentError, match="not that of its transaction"):
        taken(ArweaveContent(read(ANY)), bytes(changed), [100_000])


def test_a_content_of_another_length_is_refused() -> None:
    with pytest.raises(TransientError, match="before the file's end"):
        taken(ArweaveContent(read(ANY)), content(LENGTH - 1), [])
    with pytest.raises(PermanentError, match="longer than"):
        taken(ArweaveContent(read(ANY)), content(LENGTH + 1), [])


def test_what_could_not_be_written_does_not_count() -> None:
    verifier, data = ArweaveContent(read(ANY)), content(LENGTH)
    next(verifier.feed(data[:1000]))  # and its writing failed, so that it comes again
    assert taken(verifier, data, [1000]) == data


def test_nothing_at_all_is_a_content() -> None:
    assert taken(ArweaveContent(Stored(0, b"")), b"", []) == b""


KEYS = {bits: RSA.generate(bits) for bits in (1024, 1025, 1031)}
"""Keys whose signatures have no bit to spare in their first byte, few, and many."""


@pytest.mark.parametrize("bits", KEYS)
@pytest.mark.parametrize("salt", [0, 20, 32, 62])
def test_a_signature_of_another_library_is_one(bits: int, salt: int) -> None:
    key = KEYS[bits]
    modulus = key.n.to_bytes((bits + 7) // 8, "big")
    signature = pss.new(key, salt_bytes=salt).sign(SHA256.new(b"message"))
    assert is_signed(b"message", signature, modulus)
    assert not is_signed(b"Message", signature, modulus)


@pytest.mark.parametrize("place", [0, 1, 60])
def test_what_fills_an_encoding_up_must_be_nothing(place: int) -> None:
    """The hash alone would fit: it does not cover what stands before the salt."""
    key = KEYS[1024]
    salt = bytes(32)
    hashed = hashlib.sha256(bytes(8) + hashlib.sha256(b"message").digest() + salt).digest()
    for filler in (0, 2):
        block = bytearray((b"\x01" + salt).rjust(95, b"\x00"))
        block[place] |= filler
        encoded = bytes(a ^ b for a, b in zip(block, pss.MGF1(hashed, 95, SHA256), strict=True))
        encoded = bytes([encoded[0] & 0x7F]) + encoded[1:] + hashed + b"\xbc"
        number = pow(int.from_bytes(encoded, "big"), key.d, key.n)
        signature = number.to_bytes(128, "big")
        assert is_signed(b"message", signature, key.n.to_bytes(128, "big")) is not bool(filler)

"""Documents for the provider alone: what Ocean's clients encrypt and pack is read."""

import hashlib
import lzma

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_provider import ddo, documents
from c2d_provider.asked import Document
from c2d_provider.refusals import Reason, Refused
from chain_facts import PROVIDER_KEY, STRANGER_KEY

TEXT = "Bäume".encode()
BY_ECIESJS = (
    "04157707cd8bd22849678c4de03edd066b43077188c0355fa1a3ffa4880f976a308eab6971b00d8315a389d91b72"
    "cf2db1b79ffcc88b1208074284f4851880c3193e33fdd840e801661283969583eede1e5454486bf105d734f63173"
    "84689d319aad9ec847ad7b"
)
"""`TEXT` encrypted by eciesjs 0.4.18, which ocean.js 8 uses, to the public key below."""

BY_LZMA_JS = "5d000000025e01000000000000002130d0875384f3d458958b1f4cca43ffffb81a0000"
"""`Bäume ` fifty times, packed by lzma 2.3.2 from npm."""

PUBLIC_KEY = (
    "0x044f355bdcb7cc0af728ef3cceb9615d90684bb5b2ca5f859ab0f0b704075871aa"
    "385b6b1b8ead809ca67454d9683fcf2ba03456d6fe2c4abe2b07f0fbdbb2f1c1"
)


def described(encrypted: bytes, flags: int, content: bytes) -> Document:
    return Document(encrypted, flags, f"0x{hashlib.sha256(content).hexdigest()}")


def reason(key: bytes, document: Document) -> Reason:
    with pytest.raises(Refused) as caught:
        documents.read(key, document)
    return caught.value.refusal.reason


def test_the_public_key_is_the_one_that_eciesjs_computes() -> None:
    assert documents.public_key(PROVIDER_KEY) == PUBLIC_KEY


def test_what_eciesjs_encrypts_is_decrypted() -> None:
    assert documents.decrypt(PROVIDER_KEY, bytes.fromhex(BY_ECIESJS)) == TEXT


def test_what_npms_lzma_packs_is_unpacked() -> None:
    content = b"B\xc3\xa4ume " * 50
    packed = bytes.fromhex(BY_LZMA_JS)
    assert documents.read(PROVIDER_KEY, described(packed, 1, content)) == content


@given(st.binary(max_size=300), st.sampled_from([0, 1, 2, 3]))
def test_a_document_is_read_as_its_flags_say(content: bytes, flags: int) -> None:
    data = lzma.compress(content) if flags & 1 else content
    data = documents.encrypt(PROVIDER_KEY, data) if flags & 2 else data
    assert documents.read(PROVIDER_KEY, described(data, flags, content)) == content


@given(st.binary(max_size=200))
def test_nobody_elses_key_and_no_nonsense_is_decrypted(data: bytes) -> None:
    for sent in (data, documents.encrypt(STRANGER_KEY, data)):
        with pytest.raises(Refused) as caught:
            documents.decrypt(PROVIDER_KEY, sent)
        assert caught.value.refusal.message == "Failed to decrypt."


@pytest.mark.parametrize(
    ("packed", "expected"),
    [
        pytest.param(b"", Reason.ASSET_MALFORMED, id="nothing"),
        pytest.param(b"nonsense", Reason.ASSET_MALFORMED, id="nonsense"),
        pytest.param(lzma.compress(b"x" * 5000)[:40], Reason.ASSET_MALFORMED, id="cut short"),
        pytest.param(lzma.compress(bytes(100_000_000)), Reason.TOO_LARGE, id="a bomb"),
        pytest.param(
            lzma.compress(b"", lzma.FORMAT_ALONE, filters=[
                {"id": lzma.FILTER_LZMA1, "dict_size": 1 << 30}
            ]),
            Reason.ASSET_MALFORMED,
            id="one that takes a gigabyte to unpack",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_unpacked_is_refused(packed: bytes, expected: Reason) -> None:
    assert reason(PROVIDER_KEY, described(packed, 1, b"x" * 5000)) == expected


def test_a_document_is_no_larger_than_a_ddo() -> None:
    largest = b"x" * ddo.MAX_BYTES
    assert documents.read(PROVIDER_KEY, described(largest, 0, largest)) == largest
    larger = largest + b"x"
    assert reason(PROVIDER_KEY, described(larger, 0, larger)) == Reason.TOO_LARGE

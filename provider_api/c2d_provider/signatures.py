"""Who signed a request: the digests that wallets make of a text, and the signer of a digest."""

from collections.abc import Iterator
from dataclasses import dataclass

from eth_keys.datatypes import Signature as KeySignature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak
from eth_utils.exceptions import ValidationError

from c2d_provider import addresses
from c2d_provider.messages import Message, Messages
from c2d_provider.refusals import Reason, Refusal

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
_BYTES = 65
_HEX_DIGITS = frozenset("0123456789abcdefABCDEF")
_LEGACY_V = 27


@dataclass(frozen=True)
class Signature:
    """A signature in parts; `parity` is 0 or 1."""

    parity: int
    r: int
    s: int


@dataclass(frozen=True)
class Signed:
    """A request whose signer is known, by its checksummed address."""

    signer: str
    message: Message


def personal_digest(payload: bytes) -> bytes:
    """Hash what `personal_sign` hashes: the payload behind a prefix with its length."""
    return keccak(b"\x19Ethereum Signed Message:\n%d" % len(payload) + payload)


def digests(text: str) -> Iterator[bytes]:
    """List the digests that clients sign for a text, likeliest first.

    All recorded clients sign the 32 bytes of the text's keccak hash. ocean.js 8 drops the leading
    zero bytes of a hash, which one text in 256 has. Wallets also sign the hash as hexadecimal
    text, or the text itself.
    """
    hashed = keccak(text=text)
    yield personal_digest(hashed)
    if hashed[0] == 0:
        yield personal_digest(hashed.lstrip(b"\0"))
    yield personal_digest(b"0x" + hashed.hex().encode())
    yield personal_digest(text.encode())


def parse(signature: object) -> Signature | Refusal:
    """Read 65 bytes in hexadecimal: r, s, and v as 0, 1, 27 or 28.

    The high one of the two values of s that verify is refused: no client sends it, and a request
    would have two signatures.
    """
    if not isinstance(signature, str):
        return _malformed("is missing")
    digits = signature.removeprefix("0x")
    if len(digits) != 2 * _BYTES or not _HEX_DIGITS.issuperset(digits):
        return _malformed(f"must be {_BYTES} bytes in hexadecimal")
    raw = bytes.fromhex(digits)
    v = raw[-1]
    return check(
        v - _LEGACY_V if v >= _LEGACY_V else v,
        int.from_bytes(raw[:32], "big"),
        int.from_bytes(raw[32:64], "big"),
    )


def check(parity: int, r: int, s: int) -> Signature | Refusal:
    """Make a signature of numbers that are in range."""
    if parity not in (0, 1):
        return _malformed("must end with v as 0, 1, 27 or 28")
    if not 0 < r < CURVE_ORDER or not 0 < s < CURVE_ORDER:
        return _malformed("has a number out of range")
    if s > CURVE_ORDER // 2:
        return _malformed("has a high s")
    return Signature(parity, r, s)


def recover(digest: bytes, signature: Signature) -> str | None:
    """Name the address that signed a 32-byte digest; None where no key can have."""
    try:
        parts = KeySignature(vrs=(signature.parity, signature.r, signature.s))
        return str(parts.recover_public_key_from_msg_hash(digest).to_checksum_address())
    except (BadSignature, ValidationError, ValueError):
        return None


def verify(address: str, messages: Messages, signature: object) -> Signed | Refusal:
    """Say whether `address` signed one of the messages of a request.

    An address in other letter case is the same; the message is taken as it was written.
    """
    if not addresses.is_address(address):
        return Refusal(Reason.INVALID_ADDRESS, "the signer must be 0x and 40 hexadecimal digits")
    parsed = parse(signature)
    if isinstance(parsed, Refusal):
        return parsed
    expected = addresses.checksummed(address)
    for message in messages:
        for digest in digests(message.text):
            if recover(digest, parsed) == expected:
                return Signed(expected, message)
    return Refusal(
        Reason.SIGNATURE_MISMATCH,
        "Invalid signature provided. Please check the nonce or documentId.",
    )


def _malformed(what: str) -> Refusal:
    return Refusal(Reason.SIGNATURE_MALFORMED, f"the signature {what}")

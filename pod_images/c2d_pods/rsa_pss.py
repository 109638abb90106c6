"""RSA signatures with PSS padding, judged as RFC 8017 says (8.1.2 and 9.1.2), with SHA-256.

Judging one needs no secret: a power of whole numbers, and hashes. A library of cryptography would
be the largest part of the loader's image and take a third of its memory, for this alone.
"""

import hashlib
from typing import Final

EXPONENT: Final = 65537

_HASH_BYTES = 32
_TRAILER = 0xBC


def is_signed(message: bytes, signature: bytes, modulus: bytes) -> bool:
    """Say whether the holder of a key (its modulus, big-endian) signed a message.

    The salt may be of any length: signers of Arweave use several.
    """
    key = int.from_bytes(modulus, "big")
    number = int.from_bytes(signature, "big")
    if len(signature) != len(modulus) or not 0 < number < key:
        return False
    bits = key.bit_length() - 1
    length = (bits + 7) // 8
    opened = pow(number, EXPONENT, key)
    if opened.bit_length() > bits or length < 2 * _HASH_BYTES + 2:
        return False
    return _fits(hashlib.sha256(message).digest(), opened.to_bytes(length, "big"), bits)


def _fits(digest: bytes, encoded: bytes, bits: int) -> bool:
    """Say whether what a signature opens to is an encoding of this digest."""
    masked, hashed = encoded[: -_HASH_BYTES - 1], encoded[-_HASH_BYTES - 1 : -1]
    if encoded[-1] != _TRAILER:
        return False
    mask = _mask(hashed, len(masked))
    block = bytearray(a ^ b for a, b in zip(masked, mask, strict=True))
    block[0] &= 0xFF >> (8 * len(encoded) - bits)
    padding, one, salt = bytes(block).partition(b"\x01")
    if not one or any(padding):
        return False
    return hashlib.sha256(bytes(8) + digest + salt).digest() == hashed


def _mask(seed: bytes, length: int) -> bytes:
    """Spread a hash over so many bytes (MGF1)."""
    count = -(-length // _HASH_BYTES)
    parts = (hashlib.sha256(seed + number.to_bytes(4, "big")).digest() for number in range(count))
    return b"".join(parts)[:length]

"""Documents that are for the provider alone: lists of files, and DDOs as they are on chain.

Pure. The cipher is that of Ocean's clients: ECIES on secp256k1, a fresh key each time, which they
have from eciesjs and we from eciespy. What comes in was made by a stranger, so nothing is unpacked
beyond the size that a DDO may have.
"""

import hashlib
import lzma
from typing import Final

import ecies
from eth_keys.datatypes import PrivateKey

from c2d_provider import ddo
from c2d_provider.asked import Document
from c2d_provider.refusals import Reason, refuse

COMPRESSED: Final = 1
ENCRYPTED: Final = 2
_LZMA_MEMORY = 64 * 1024 * 1024


def public_key(key: bytes) -> str:
    """Tell the public key of a 32-byte key: 65 bytes in hexadecimal, as clients take it."""
    return f"0x04{PrivateKey(key).public_key.to_bytes().hex()}"


def encrypt(key: bytes, data: bytes) -> bytes:
    """Encrypt what only this key's owner is to read."""
    return ecies.encrypt(public_key(key), data)


def decrypt(key: bytes, data: bytes) -> bytes:
    """Decrypt what was encrypted to this key.

    Raises:
        Refused: It was not, or is damaged.
    """
    try:
        return ecies.decrypt(key, data)
    except Exception:  # the curve and the cipher below eciespy each raise errors of their own
        refuse(Reason.ASSET_MALFORMED, "Failed to decrypt.")


def read(key: bytes, document: Document) -> bytes:
    """Decrypt and unpack a document as its flags say, and check its hash.

    Raises:
        Refused: It cannot be read, is too large, or is not what its hash says.
    """
    content = document.encrypted
    if document.flags & ENCRYPTED:
        content = decrypt(key, content)
    if document.flags & COMPRESSED:
        content = _unpack(content)
    if len(content) > ddo.MAX_BYTES:
        refuse(Reason.TOO_LARGE, f"the document is larger than {ddo.MAX_BYTES} bytes")
    if f"0x{hashlib.sha256(content).hexdigest()}" != document.hash.lower():
        refuse(Reason.ASSET_MALFORMED, "Checksum doesn't match.")
    return content


def _unpack(packed: bytes) -> bytes:
    """Unpack what ocean.py packs as .xz and ocean.js as .lzma, up to a DDO's size."""
    try:
        unpacker = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
        return unpacker.decompress(packed, max_length=ddo.MAX_BYTES + 1)
    except (lzma.LZMAError, EOFError):
        refuse(Reason.ASSET_MALFORMED, "Failed to decompress")

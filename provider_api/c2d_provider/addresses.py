"""Addresses of accounts and contracts: one spelling for comparing and for keys.

What a client wrote stays in the message it signed; everything else sees the checksummed form, so
that a request sent again in other letter case is the same request.
"""

import re
from functools import lru_cache

from eth_utils.address import to_checksum_address

from c2d_provider.refusals import Reason, refuse

ZERO = f"0x{'0' * 40}"
_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")


@lru_cache(maxsize=32_768)
def _eip55(lower: str) -> str:
    """Write an address in lower case as EIP-55 does; a shard of nonces has hundreds of them."""
    return str(to_checksum_address(lower))


def is_address(text: object) -> bool:
    """Say whether this is an address, in whatever letter case."""
    return isinstance(text, str) and _ADDRESS.fullmatch(text) is not None


def checksummed(text: object, what: str = "address") -> str:
    """Write an address with the letter case that EIP-55 gives it.

    Raises:
        Refused: It is not `0x` and 40 hexadecimal digits; `what` names the field.
    """
    if not isinstance(text, str) or not _ADDRESS.fullmatch(text):
        refuse(Reason.INVALID_ADDRESS, f"{what} must be 0x and 40 hexadecimal digits")
    return _eip55(text.lower())


def are_equal(one: str, other: str) -> bool:
    """Compare two addresses; what is not an address equals nothing."""
    return is_address(one) and is_address(other) and one.lower() == other.lower()


def transaction_hash(text: object, what: str = "transferTxId") -> str:
    """Write a transaction hash in lower case.

    Raises:
        Refused: It is not `0x` and 64 hexadecimal digits; `what` names the field.
    """
    if not isinstance(text, str) or not _HASH.fullmatch(text):
        refuse(Reason.MALFORMED, f"{what} must be 0x and 64 hexadecimal digits")
    return text.lower()

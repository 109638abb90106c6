"""Whose key signs for an environment, where a file is fetched from another provider.

Orders for an environment name its consumer, and their provider gives files to nobody else: so the
key of that address signs, and no other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from eth_keys.datatypes import PrivateKey

from c2d_provider import addresses
from c2d_provider.ports import Cluster
from c2d_provider.refusals import Reason, refuse
from c2d_provider.signatures import CURVE_ORDER

ENTRY: Final = "key"
"""The entry of an environment's Secret that has the key."""

_KEY = re.compile(rb"(?:0x)?([0-9a-fA-F]{64})")


@dataclass(frozen=True)
class Keyring:
    """The provider's own key, and the namespace where the Secrets with others are."""

    namespace: str
    address: str
    key: bytes = field(repr=False)


async def key_of(cluster: Cluster, keyring: Keyring, address: str, secret: str | None) -> bytes:
    """Find the key of the address that orders for an environment name; `secret` names its Secret.

    Raises:
        Refused: There is none, or it is another address's.
    """
    found = keyring.key if addresses.are_equal(address, keyring.address) else None
    if secret:
        found = read_key(await cluster.secret(keyring.namespace, secret), address)
    if found is None:
        refuse(
            Reason.SERVICE_OF_OTHER_PROVIDER,
            "the environment has no key to fetch assets of other providers with",
        )
    return found


def read_key(secret: Mapping[str, bytes] | None, address: str) -> bytes | None:
    """Read the key of a Secret; None where it has none, or that of another address."""
    found = _KEY.fullmatch((secret or {}).get(ENTRY, b"").strip())
    if not found or not 0 < int(found[1], 16) < CURVE_ORDER:
        return None
    key = bytes.fromhex(found[1].decode())
    signer = PrivateKey(key).public_key.to_checksum_address()
    return key if addresses.are_equal(signer, address) else None

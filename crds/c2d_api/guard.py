"""Which network addresses may be fetched from on someone else's word.

Pure rules on addresses: a URL comes from a stranger, so its host may name a neighbour of ours.
Only global unicast addresses are let through, and what the admin's allow-list opens.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from c2d_api.computeenvironment import Address

FORBIDDEN = tuple(
    ip_network(cidr)
    for cidr in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "168.63.129.16/32",
        "::/96",
        "64:ff9b::/96",
        "64:ff9b:1::/48",
        "100::/64",
        "2001::/23",
        "2002::/16",
        "3fff::/20",
        "fec0::/10",
    )
)
"""Ranges that are refused whatever the registries of addresses say of them."""


def unmapped(text: str) -> IPv4Address | IPv6Address:
    """Read an address; an IPv4-mapped one is the IPv4 address it stands for."""
    address = ip_address(text.split("%", maxsplit=1)[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def is_allowed(text: str, port: int, allowed: Iterable[Address] = ()) -> bool:
    """Say whether this address and port may be connected to."""
    address = unmapped(text)
    if any(
        port == entry.port and address in ip_network(entry.cidr, strict=False) for entry in allowed
    ):
        return True
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    return not any(address in network for network in FORBIDDEN)

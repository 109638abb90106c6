"""Which addresses may be fetched from."""

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.computeenvironment import Address
from c2d_api.guard import is_allowed, unmapped

FORBIDDEN = {
    "this host": ("0.0.0.0", "0.1.2.3", "::"),  # noqa: S104 - an address to refuse
    "loopback": ("127.0.0.1", "127.255.255.254", "::1"),
    "private": ("10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"),
    "carrier-grade NAT": ("100.64.0.1", "100.127.255.255", "100.100.100.200"),
    "link-local": ("169.254.0.1", "fe80::1", "fe80::1%eth0", "febf::1"),
    "metadata": ("169.254.169.254", "168.63.129.16", "192.0.0.192", "fd00:ec2::254"),
    "unique local": ("fc00::1", "fd12:3456::1"),
    "site-local": ("fec0::1",),
    "IPv4-mapped": ("::ffff:10.0.0.1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe"),
    "IPv4-translated": ("::ffff:0:10.0.0.1", "::10.0.0.1"),
    "NAT64": ("64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::a00:1"),
    "6to4": ("2002:a00:1::", "2002:808:808::", "192.88.99.1"),
    "Teredo": ("2001:0:808:808::1",),
    "multicast": ("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"),
    "reserved": ("240.0.0.1", "255.255.255.255", "4000::1", "100::1", "5f00::1"),
    "documentation": ("192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"),
    "benchmarks": ("198.18.0.1",),
}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(text, id=f"{name}: {text}")
        for name, texts in FORBIDDEN.items()
        for text in texts
    ],
)
@pytest.mark.parametrize("port", [80, 443])
def test_what_is_not_public_is_refused(text: str, port: int) -> None:
    assert not is_allowed(text, port)


@pytest.mark.parametrize("text", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(text: str) -> None:
    assert is_allowed(text, 443)


@pytest.mark.parametrize(
    ("text", "port", "cidr", "allowed"),
    [
        ("10.1.2.3", 8080, "10.1.2.0/24", True),
        ("10.1.2.3", 8080, "10.1.2.9/24", True),
        ("::ffff:10.1.2.3", 8080, "10.1.2.0/24", True),
        ("fd00::5", 8080, "fd00::/64", True),
        ("10.1.2.3", 8081, "10.1.2.0/24", False),
        ("10.1.3.3", 8080, "10.1.2.0/24", False),
        ("fd00:0:0:1::5", 8080, "fd00::/64", False),
        ("10.1.2.3", 8080, "::/0", False),
        ("fd00::5", 8080, "0.0.0.0/0", False),
    ],
)
def test_the_allow_list_opens_an_address_with_its_port(
    text: str, port: int, cidr: str, allowed: bool
) -> None:
    assert is_allowed(text, port, [Address(cidr, 8080)]) is allowed


def test_the_allow_list_closes_nothing() -> None:
    assert is_allowed("8.8.8.8", 443, [Address("10.0.0.0/8", 80)])


@pytest.mark.parametrize("text", ["", "example.org", "127.1", "0x7f000001", "2130706433", "[::1]"])
def test_what_is_no_address_is_never_allowed(text: str) -> None:
    with pytest.raises(ValueError, match="does not appear to be an IPv4 or IPv6 address"):
        is_allowed(text, 80)


@given(st.integers(0, 2**32 - 1).map(IPv4Address))
def test_a_mapped_address_is_judged_as_what_it_maps(address: IPv4Address) -> None:
    mapped = f"::ffff:{address}"
    assert unmapped(mapped) == address
    assert is_allowed(mapped, 80) == is_allowed(str(address), 80)


@given(st.integers(0, 2**128 - 1).map(IPv6Address) | st.integers(0, 2**32 - 1).map(IPv4Address))
def test_only_global_unicast_is_ever_allowed(address: IPv4Address | IPv6Address) -> None:
    if is_allowed(str(address), 80):
        judged = unmapped(str(ip_address(str(address))))
        assert judged.is_global
        assert not any((judged.is_multicast, judged.is_reserved, judged.is_link_local))

"""How clients are told apart, and how much each may ask."""

import ipaddress

import pytest

from c2d_provider.limiter import Limiter, client_address

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


def test_a_bucket_is_emptied_and_fills_again() -> None:
    limiter = Limiter(rate=2, burst=3)
    assert [limiter.wait("a", 0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert limiter.wait("b", 0) == 0
    assert limiter.wait("a", 0.5) == 0
    assert limiter.wait("a", 0.5) == 0.5
    assert [limiter.wait("a", 100) for _ in range(4)] == [0, 0, 0, 0.5]


def test_a_clock_that_goes_back_gives_nothing() -> None:
    limiter = Limiter(rate=1, burst=1)
    assert limiter.wait("a", 10) == 0
    assert limiter.wait("a", 5) == 1


def test_the_table_stays_small() -> None:
    limiter = Limiter(rate=1, burst=1, most=100)
    for number in range(1000):
        limiter.wait(str(number), 0)
    assert len(limiter) == 100


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1, 10.0.0.2"], "198.51.100.1"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("::ffff:10.0.0.1", ["2001:db8:1:2:3:4:5:6"], "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", [], "2001:db8:1:2::/64"),
        ("fd00::1%eth0", ["[2001:db8::1]"], "2001:db8::/64"),
        ("", ["198.51.100.1"], "unknown"),
    ],
)
def test_who_a_client_is(peer: str, forwarded: list[str], client: str) -> None:
    assert client_address(peer, forwarded, PROXIES) == client


def test_without_proxies_that_are_trusted_the_peer_is_the_client() -> None:
    assert client_address("10.0.0.1", ["198.51.100.1"], ()) == "10.0.0.1"

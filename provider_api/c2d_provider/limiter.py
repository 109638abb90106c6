"""A bound on the requests of each client: a token bucket an address, in a table that stays small.

Addresses of IPv6 count by their /64, since one client has that many.
"""

import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_IPV6_CLIENT = 64
_MOST_FORWARDED = 32


@dataclass
class Limiter:
    """Buckets of `burst` tokens that fill with `rate` tokens a second; the least recent goes."""

    rate: float
    burst: float
    most: int = 10_000
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict, repr=False)

    def wait(self, client: str, now: float) -> float:
        """Take a token at a time in seconds; returns 0, or the seconds until there is one."""
        tokens, at = self._buckets.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + max(0.0, now - at) * self.rate)
        is_enough = tokens >= 1
        self._buckets[client] = (tokens - 1 if is_enough else tokens, now)
        if len(self._buckets) > self.most:
            self._buckets.popitem(last=False)
        return 0.0 if is_enough else (1 - tokens) / self.rate

    def __len__(self) -> int:
        """Count the clients that are remembered."""
        return len(self._buckets)


def client_address(peer: str, forwarded: Sequence[str], trusted: tuple[Network, ...]) -> str:
    """Name the client of a request: the peer, or whom trusted proxies say that it stands for.

    `forwarded` are the values of X-Forwarded-For. Each proxy adds the address that it was asked
    from at the end, so from there back the first that is no proxy of ours is the client; what
    stands before it, the client may have made up.
    """
    address = _address(peer)
    hops = [hop.strip() for value in forwarded for hop in value.split(",")][-_MOST_FORWARDED:]
    while hops and address is not None and _is_in(address, trusted):
        before = _address(hops.pop())
        if before is None:
            break
        address = before
    return _client(address) if address is not None else "unknown"


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.strip("[]").partition("%")[0])
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


def _is_in(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: tuple[Network, ...]
) -> bool:
    return any(address.version == one.version and address in one for one in networks)


def _client(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    if address.version == 4:  # noqa: PLR2004 - the version of IP
        return str(address)
    return str(ipaddress.ip_network((address, _IPV6_CLIENT), strict=False))

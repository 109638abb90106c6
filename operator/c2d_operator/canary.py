"""The canary: a listener that loaders reach and algorithms do not, which proves what policies do.

A connection that fails shows a closed network only where something listens at its other end. So
the operator reaches the canary itself right before it lets an algorithm start.
"""

import asyncio
import socket
from contextlib import suppress

from c2d_api.tasks import Endpoint
from c2d_operator.cluster import UnavailableError


class CanaryError(UnavailableError):
    """The canary's name does not resolve, or nothing answers there."""


class Canary:
    """The canary as it is reached from here, by its name or address and its port."""

    def __init__(self, host: str, port: int, timeout: float = 2.0) -> None:
        """Take where it listens, and how many seconds looking and connecting may take."""
        self._host, self._port, self._timeout = host, port, timeout

    async def endpoints(self) -> tuple[Endpoint, ...]:
        """Resolve the canary's name: an algorithm has nothing that would do it.

        Raises:
            CanaryError: It has no address.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                found = await loop.getaddrinfo(
                    self._host, self._port, proto=socket.IPPROTO_TCP, type=socket.SOCK_STREAM
                )
        except (OSError, TimeoutError):
            raise CanaryError(f"the canary's name, {self._host}, does not resolve") from None
        addresses = sorted({str(where[0]) for *_, where in found})
        return tuple(Endpoint(address, self._port) for address in addresses)

    async def reach(self) -> None:
        """Connect to every address of the canary, and close again.

        Raises:
            CanaryError: One of them does not answer.
        """
        for endpoint in await self.endpoints():
            try:
                async with asyncio.timeout(self._timeout):
                    _, writer = await asyncio.open_connection(endpoint.address, endpoint.port)
            except (OSError, TimeoutError):
                raise CanaryError(
                    f"the canary cannot be reached at {endpoint.address} port {endpoint.port}"
                ) from None
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

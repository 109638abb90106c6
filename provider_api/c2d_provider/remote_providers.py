"""Other providers, asked through the guarded connector; keeps `ports.Remotes`.

What they are asked and how their answers are read is in `remote`, which is pure.
"""

from collections.abc import Iterable
from typing import Final, Self

from aiohttp.abc import AbstractResolver

from c2d_api.computeenvironment import Address
from c2d_provider import remote
from c2d_provider.memory import Memory
from c2d_provider.outbound import Limits, Outbound, read_whole
from c2d_provider.ports import Initialized, Remote, ResolvedRequest, Routes, UnavailableError
from c2d_provider.refusals import Reason, Refused, refuse

_MAX_REMEMBERED: Final = 1000
_REMEMBERED_SECONDS: Final = 60.0
_WHO: Final = "the asset's provider"


class RemoteProviders:
    """Providers that assets name; opens with `async with`."""

    def __init__(
        self,
        allowed: Iterable[Address] = (),
        limits: Limits | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        """Take what the admin opens beside public addresses."""
        self._outbound = Outbound(allowed, limits, resolver)
        self._routes: Memory[str, Routes] = Memory(_MAX_REMEMBERED)

    async def __aenter__(self) -> Self:
        """Open the sessions."""
        await self._outbound.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the sessions."""
        await self._outbound.__aexit__()

    async def routes(self, endpoint: str) -> Routes:
        """Tell where a provider's routes are; remembered for a while."""

        async def read() -> tuple[Routes, float]:
            found = remote.read_routes(await self._asked(remote.of_root(endpoint)))
            return found, _REMEMBERED_SECONDS

        return await self._routes.recall(endpoint, read)

    async def count_files(self, place: Remote) -> int:
        """Count the files of a service."""
        routes = await self.routes(place.endpoint)
        return remote.read_file_info(await self._asked(remote.of_file_info(place, routes)))

    async def initialize(self, place: Remote, consumer: str, transaction: str) -> Initialized:
        """Ask what a download needs to be ordered, or whether a transaction ordered it."""
        routes = await self.routes(place.endpoint)
        request = remote.of_initialize(place, routes, consumer, transaction)
        return remote.read_initialize(await self._asked(request), place.datatoken)

    async def _asked(self, request: ResolvedRequest) -> bytes:
        """Send a request and read its whole answer.

        Raises:
            Refused: The provider refuses, or is where nobody is asked.
            UnavailableError: It does not answer.
        """
        try:
            answer = await self._outbound.send(request)
            return await read_whole(answer, remote.MAX_ANSWER_BYTES)
        except Refused as refused:
            refuse(Reason.REMOTE_PROVIDER, f"{_WHO}: {refused.refusal.message}")
        except UnavailableError as error:
            raise UnavailableError(f"{_WHO}: {error}") from None

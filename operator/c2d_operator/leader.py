"""The leader: of several operators one acts, the one that holds the Lease.

Clocks of two machines are never compared: a standby counts, by its own clock, how long the Lease
did not change. A leader counts from before it sent its last renewal, and stops earlier than any
standby may begin.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from c2d_api.times import format_micro_time
from c2d_operator.cluster import (
    AlreadyExistsError,
    Cluster,
    ClusterError,
    ConflictError,
    NotFoundError,
)

_LOGGER = logging.getLogger(__name__)
Json = Mapping[str, Any]

DURATION = 10.0
"""Seconds without a change after which a standby may take the Lease."""
RENEW_DEADLINE = 7.0
"""Seconds after the sending of a renewal for which a leader may act."""
RETRY = 1.0
_RELEASE_LIMIT = 2.0


class LeadershipLostError(Exception):
    """The Lease could not be renewed in time, or somebody else has it."""


@dataclass(frozen=True)
class Observed:
    """A version of the Lease, and when it was first seen, by a clock that never goes back."""

    version: str
    since: float


def may_take(lease: Json, observed: Observed, identity: str, now: float) -> bool:
    """Say whether the Lease is free, ours, or abandoned."""
    holder = (lease.get("spec") or {}).get("holderIdentity")
    return not holder or holder == identity or now >= observed.since + DURATION


class Leader:
    """Holds the Lease `name` for one process."""

    def __init__(
        self,
        cluster: Cluster,
        place: tuple[str, str],
        identity: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the namespace and name of the Lease and a name that no other process has."""
        self._cluster = cluster
        self._namespace, self._name = place
        self._identity = identity
        self._clock = clock
        self._observed = Observed("", 0.0)
        self._version = ""
        self._until = 0.0

    def remaining(self) -> float:
        """Tell for how many seconds from now this process may act; 0 where it may not."""
        return max(0.0, self._until - self._clock())

    async def acquire(self) -> None:
        """Wait until the Lease is ours."""
        while True:
            try:
                if await self._attempt():
                    _LOGGER.info("%s leads", self._identity)
                    return
            except ClusterError as error:
                _LOGGER.warning("the Lease could not be read or taken: %s", error)
            await asyncio.sleep(RETRY)

    async def keep(self) -> None:
        """Renew the Lease until that fails.

        Raises:
            LeadershipLostError: This process must not act any more.
        """
        while True:
            await asyncio.sleep(RETRY)
            began = self._clock()
            try:
                async with asyncio.timeout(self.remaining()):
                    lease = await self._write({"renewTime": _now()})
            except ConflictError:
                await self._check_holder()
            except NotFoundError:
                self._until = 0.0
                raise LeadershipLostError("the Lease was deleted") from None
            except (ClusterError, TimeoutError) as error:
                _LOGGER.warning("the Lease could not be renewed: %s", error)
                if self.remaining() <= RETRY:
                    raise LeadershipLostError("the Lease could not be renewed in time") from error
            else:
                self._hold(lease, began)

    async def release(self) -> None:
        """Give the Lease back, so that a standby need not wait."""
        if not self.remaining():
            return
        self._until = 0.0
        try:
            async with asyncio.timeout(_RELEASE_LIMIT):
                await self._write({"holderIdentity": "", "renewTime": _now()})
        except (ClusterError, TimeoutError) as error:
            _LOGGER.warning("the Lease could not be given back: %s", error)

    async def _attempt(self) -> bool:
        began = self._clock()
        lease = await self._cluster.read("Lease", self._namespace, self._name)
        if lease is None:
            return await self._create(began)
        version = lease["metadata"]["resourceVersion"]
        if version != self._observed.version:
            self._observed = Observed(version, self._clock())
        if not may_take(lease, self._observed, self._identity, self._clock()):
            return False
        self._version = version
        transitions = (lease.get("spec") or {}).get("leaseTransitions", 0)
        try:
            taken = await self._write(self._claim(transitions + 1))
        except (ConflictError, NotFoundError):
            return False
        self._hold(taken, began)
        return True

    async def _create(self, began: float) -> bool:
        manifest = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace},
            "spec": self._claim(0),
        }
        try:
            lease = await self._cluster.create("Lease", self._namespace, manifest)
        except AlreadyExistsError:
            return False
        self._hold(lease, began)
        return True

    def _claim(self, transitions: int) -> dict[str, Any]:
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(DURATION),
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": transitions,
        }

    async def _write(self, spec: dict[str, Any]) -> Json:
        return await self._cluster.write(
            "Lease", self._namespace, self._name, self._version, {"spec": spec}
        )

    def _hold(self, lease: Json, began: float) -> None:
        self._version = lease["metadata"]["resourceVersion"]
        self._until = began + RENEW_DEADLINE

    async def _check_holder(self) -> None:
        """Go on after a conflict if the Lease still names us, as after a lost answer."""
        try:
            lease = await self._cluster.read("Lease", self._namespace, self._name)
        except ClusterError as error:
            _LOGGER.warning("the Lease could not be read: %s", error)
            return
        if lease is None or (lease.get("spec") or {}).get("holderIdentity") != self._identity:
            self._until = 0.0
            raise LeadershipLostError("somebody else has the Lease")
        self._version = lease["metadata"]["resourceVersion"]


def _now() -> str:
    return format_micro_time(datetime.now(UTC))

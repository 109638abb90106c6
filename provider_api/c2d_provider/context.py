"""What every flow is given: the ports, the provider's identity, its rules, and the clock."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from eth_keys.datatypes import PrivateKey

from c2d_provider import environments, naming, seal
from c2d_provider.environments import Offering
from c2d_provider.orders import Policy as OrderPolicy
from c2d_provider.ports import Assets, Chains, Cluster, Remotes, ResultStore
from c2d_provider.refusals import Refused
from c2d_provider.signing import Keyring

Found = TypeVar("Found")

MOST_INSPECTIONS = 8
"""Files that are inspected or hashed at a time, for all clients together."""


@dataclass(frozen=True)
class Identity:
    """The provider's keys, and what follows from them."""

    key: bytes = field(repr=False)
    token_secret: bytes = field(repr=False)
    seal_key: bytes = field(repr=False)
    address: str
    public_key: str
    cluster: str


def identity(key: bytes, seal_secret: bytes | None = None) -> Identity:
    """Derive an identity from the provider's 32-byte key.

    A `seal_secret` of its own lets the provider's key be changed while jobs wait for their assets.
    """
    public = PrivateKey(key).public_key
    address = str(public.to_checksum_address())
    return Identity(
        key=key,
        token_secret=seal.derived_key(key, "tokens"),
        seal_key=seal.derived_key(seal_secret or key, "seals"),
        address=address,
        public_key=public.to_compressed_bytes().hex(),
        cluster=naming.cluster_hash(address),
    )


@dataclass(frozen=True)
class Policy:
    """What the operator of the provider demands.

    `urls` are those under which assets name this provider; without them every service is taken
    for ours, and files that we cannot decrypt are refused. The Secrets of environments are in
    `system_namespace`. `decrypters` may have DDOs decrypted; None lets anyone.
    """

    orders: OrderPolicy = field(default_factory=OrderPolicy)
    legacy_trust: bool = False
    default_namespace: str = ""
    urls: tuple[str, ...] = ()
    system_namespace: str = ""
    decrypters: frozenset[str] | None = None


@dataclass(frozen=True)
class Ports:
    """The world, as far as flows see it."""

    chains: Chains
    assets: Assets
    cluster: Cluster
    results: ResultStore
    remotes: Remotes


@dataclass(frozen=True)
class Context:
    """All that a flow needs beside its request; `now` tells seconds of the epoch.

    Nobody needs to prove anything to have files inspected, so only few are at a time: `inspecting`.
    """

    ports: Ports
    identity: Identity
    policy: Policy
    now: Callable[[], int]
    inspecting: asyncio.Semaphore = field(
        default_factory=lambda: asyncio.Semaphore(MOST_INSPECTIONS), repr=False
    )
    unfinished: set["asyncio.Task[Any]"] = field(default_factory=set, repr=False)

    @property
    def keyring(self) -> Keyring:
        """What signs for environments."""
        return Keyring(self.policy.system_namespace, self.identity.address, self.identity.key)

    async def through(self, work: Coroutine[Any, Any, Found]) -> Found:
        """Do what must not stop half-way, also when the request that asked for it is given up."""
        task = asyncio.ensure_future(work)
        self.unfinished.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def finish(self) -> None:
        """Wait for all that must not stop half-way."""
        if self.unfinished:
            await asyncio.wait(set(self.unfinished))

    async def offering(self, text: str) -> Offering:
        """Find an environment by its id on the wire.

        Raises:
            Refused: There is none, or it accepts no jobs.
        """
        name = naming.parse_environment_id(
            text, self.identity.cluster, self.policy.default_namespace or None
        )
        environment = await self.ports.cluster.environment(name)
        refusal = environments.judge(environment)
        if environment is None or refusal is not None:
            raise Refused(refusal or environments.UNKNOWN)
        return environments.offering(environment, self.identity.cluster)

    def _forget(self, task: "asyncio.Task[Any]") -> None:
        """Let go of work that is done; who asked for it may be gone, so its error is read here."""
        self.unfinished.discard(task)
        if not task.cancelled():
            task.exception()


async def in_order(work: Iterable[Awaitable[Found]]) -> list[Found]:
    """Wait for several at once; of those that fail, the first in order tells why."""
    done = await asyncio.gather(*work, return_exceptions=True)
    found: list[Found] = []
    for one in done:
        if isinstance(one, BaseException):
            raise one
        found.append(one)
    return found

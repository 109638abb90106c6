"""Environments as consumers buy them: their ids, who stands for them in orders, what they cost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType

from c2d_api.computeenvironment import Environment
from c2d_provider import addresses, naming
from c2d_provider.fees import Price
from c2d_provider.naming import EnvironmentName
from c2d_provider.refusals import Reason, Refusal

UNKNOWN = Refusal(Reason.ENVIRONMENT_UNKNOWN, "Compute environment does not exist")


@dataclass(frozen=True)
class Offering:
    """An environment on offer; without prices it is free, on every chain.

    `id` is the one that is written, `ids` has every one that a fee may name; `consumer` is ""
    where nobody stands for it, so that orders name the consumer of the job; `key_secret` names
    the Secret with that address's key, "" for none. `max_duration` is in seconds.
    `allows_network` says that algorithms have it where their datasets allow it.
    """

    name: EnvironmentName
    id: str
    ids: frozenset[str]
    consumer: str
    max_duration: int
    prices: Mapping[int, tuple[Price, ...]] = field(default_factory=lambda: MappingProxyType({}))
    key_secret: str = ""
    allows_network: bool = False

    @property
    def is_free(self) -> bool:
        """Say whether compute costs nothing here; orders are needed all the same."""
        return not self.prices

    def prices_on(self, chain_id: int) -> tuple[Price, ...]:
        """List the prices on a chain."""
        return self.prices.get(chain_id, ())

    def is_offered_on(self, chain_id: int) -> bool:
        """Say whether it can be paid for on a chain."""
        return self.is_free or chain_id in self.prices


def offering(environment: Environment, cluster: str) -> Offering:
    """Say what an environment offers; `cluster` is the hash that ids may begin with."""
    name = EnvironmentName(environment.namespace, environment.name)
    id_ = naming.environment_id(name)
    consumer = environment.consumer
    return Offering(
        name=name,
        id=id_,
        ids=frozenset({id_, naming.environment_id(name, cluster)}),
        consumer=addresses.checksummed(consumer.address) if consumer else "",
        max_duration=environment.max_job_duration,
        prices=_prices(environment),
        key_secret=(consumer.key_secret if consumer else None) or "",
        allows_network=environment.allow_network_access,
    )


def judge(environment: Environment | None) -> Refusal | None:
    """Say why no job may start in an environment."""
    if environment is None or environment.deleting:
        return UNKNOWN
    if not environment.ready:
        return Refusal(
            Reason.ENVIRONMENT_UNKNOWN, "Compute environment does not accept jobs at the moment"
        )
    return None


def offered_on(
    environments: Iterable[Environment], chain_ids: Iterable[int]
) -> dict[int, list[Environment]]:
    """Sort environments that accept jobs by the chains on which they can be paid."""
    ready = [one for one in environments if judge(one) is None]
    return {chain: [one for one in ready if _is_on(one, chain)] for chain in chain_ids}


def _is_on(environment: Environment, chain_id: int) -> bool:
    chains = {price.chain_id for price in environment.prices}
    return not chains or chain_id in chains


def _prices(environment: Environment) -> Mapping[int, tuple[Price, ...]]:
    found: dict[int, tuple[Price, ...]] = {}
    for one in environment.prices:
        token = addresses.checksummed(one.token, "token")
        price = Price(token, Decimal(one.per_minute), one.decimals)
        found[one.chain_id] = (*found.get(one.chain_id, ()), price)
    return MappingProxyType(found)

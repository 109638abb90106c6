"""Assets of a request: found, and judged for who asks: their use, and the orders that pay for it.

All flows judge here, so that what initializing calls a valid order is one when the job starts, and
still is while the job waits.
"""

from dataclasses import dataclass, replace
from typing import Literal

from c2d_provider import credentials, orders, remote, trust
from c2d_provider.asked import AssetAsked
from c2d_provider.context import Context
from c2d_provider.ddo import Service
from c2d_provider.environments import Offering
from c2d_provider.orders import Asked, Facts, Order
from c2d_provider.ports import Published, Remote
from c2d_provider.refusals import Reason, Refusal, Refused


@dataclass(frozen=True)
class Part:
    """The part of a request that an asset is named by; positions of datasets begin with 0.

    `chain_id` is 0 as long as the asset is not found.
    """

    kind: Literal["dataset", "algorithm"]
    document_id: str
    position: int = 0
    transaction: str = ""
    chain_id: int = 0


class PartRefused(Refused):
    """Raised where it is one asset of a request that is refused."""

    def __init__(self, refusal: Refusal, part: Part) -> None:
        """Carry the refusal and the part that it is about."""
        super().__init__(refusal)
        self.part = part


@dataclass(frozen=True)
class Named:
    """An asset that a request names, as it was found; `remote` if another provider offers it."""

    part: Part
    asked: AssetAsked
    asset: Published
    service: Service
    remote: Remote | None = None


@dataclass(frozen=True)
class Judged:
    """An accepted order of an asset, and the number of its chain's newest block."""

    named: Named
    order: Order
    head: int

    def is_confirmed(self, policy: orders.Policy) -> bool:
        """Say whether the order's blocks are deep enough."""
        return self.order.is_confirmed(self.head, policy.confirmations)


async def find(
    context: Context, asked: AssetAsked, part: Part, *, may_be_remote: bool = False
) -> Named:
    """Find an asset and its service.

    Only a job's assets may be another provider's. Nothing else is passed on: providers that name
    each other would ask each other without an end.

    Raises:
        PartRefused: There is none, or another provider offers it.
    """
    try:
        asset = await context.ports.assets.published(asked.document_id)
    except Refused as refused:
        raise PartRefused(refused.refusal, part) from None
    part = replace(part, transaction=asked.transaction, chain_id=asset.ddo.chain_id)
    service = asset.ddo.service(asked.service_id)
    if service is None:
        refusal = Refusal(Reason.SERVICE_UNKNOWN, "Invalid serviceId.")
        raise PartRefused(refusal, part)
    place = remote.place(asset.ddo.id, service, context.policy.urls)
    if isinstance(place, Remote) and not may_be_remote:
        place = Refusal(
            Reason.SERVICE_OF_OTHER_PROVIDER, "the service is offered by another provider"
        )
    if isinstance(place, Refusal):
        raise PartRefused(place, part)
    return Named(part, asked, asset, service, place)


async def judge_use(context: Context, named: Named, consumer: str) -> Refusal | None:
    """Say why a consumer may not use an asset: its state, or its lists and its service's."""
    ddo, service = named.asset.ddo, named.service
    refusal = trust.judge_state(named.asset.nft.state)
    if refusal is not None:
        return refusal
    listed = (*ddo.credentials, *service.credentials)
    lists = credentials.access_lists(listed, ddo.chain_id)
    held = await context.ports.chains.lists_holding(consumer, lists) if lists else frozenset()
    return credentials.judge_credentials(listed, consumer, ddo.chain_id, held)


async def judge_order(
    context: Context,
    named: Named,
    consumer: str,
    offering: Offering | None = None,
    accepted_at: int | None = None,
) -> Judged | Refusal:
    """Say whether the transaction that a request names bought the asset's service.

    Without an `offering` it is bought to be downloaded. Where a job was accepted before, limits of
    time are judged as of `accepted_at`, in seconds of the epoch, and what was agreed stands,
    whatever the environment costs today.
    """
    facts, asked = await _facts(context, named), _asked(context, named, consumer, offering)
    if accepted_at is not None:
        facts, asked = replace(facts, now=accepted_at), replace(asked, prices=())
    order = orders.judge(asked, facts, context.policy.orders)
    return order if isinstance(order, Refusal) else Judged(named, order, facts.head)


async def reusable_order(
    context: Context, named: Named, consumer: str, offering: Offering | None = None
) -> str | None:
    """Name the purchase for which a new fee is all that is missing."""
    facts, asked = await _facts(context, named), _asked(context, named, consumer, offering)
    found = orders.reusable(asked, facts, context.policy.orders)
    return None if isinstance(found, Refusal) else found


async def _facts(context: Context, named: Named) -> Facts:
    ddo = named.asset.ddo
    return await context.ports.chains.order_facts(
        ddo.chain_id, named.asked.transaction, ddo.nft, named.service.datatoken
    )


def _asked(context: Context, named: Named, consumer: str, offering: Offering | None) -> Asked:
    ddo, service = named.asset.ddo, named.service
    return Asked(
        transaction=named.asked.transaction,
        consumer=consumer,
        nft=ddo.nft,
        datatoken=service.datatoken,
        service_id=service.id,
        service_index=service.index,
        timeout=service.timeout,
        environments=offering.ids if offering else frozenset(),
        environment_consumer=offering.consumer if offering else "",
        fee_addresses=frozenset({context.identity.address}),
        prices=offering.prices_on(ddo.chain_id) if offering else (),
        is_remote=named.remote is not None,
    )

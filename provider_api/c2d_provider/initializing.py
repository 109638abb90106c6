"""What has to be ordered: for a job, or for a download; the fees of it, signed.

Nobody needs to prove anything here, and nothing is written. That an order is valid is judged by
the very rules that will judge it when it is used.
"""

from dataclasses import dataclass

from c2d_provider import addresses, fees, judging, orders, starting, trust
from c2d_provider.asked import Initialize, InitializeCompute
from c2d_provider.context import Context, in_order
from c2d_provider.environments import Offering
from c2d_provider.fees import Offer, Price, SignedFee
from c2d_provider.judging import Judged, Named, Part, PartRefused
from c2d_provider.orders import PaidFee
from c2d_provider.refusals import Reason, Refusal, refuse


@dataclass(frozen=True)
class Needed:
    """What one asset needs: an order with the fee, the fee for a valid order, or nothing.

    `valid_order` is the transaction to use as it is where there is no `fee`, else the one to be
    reused with it.
    """

    datatoken: str
    fee: SignedFee | None
    valid_order: str | None


@dataclass(frozen=True)
class Prepared:
    """What a job needs to be ordered; None where the algorithm came with the request."""

    datasets: tuple[Needed, ...]
    algorithm: Needed | None


@dataclass(frozen=True)
class _Found:
    """An asset with what became of the order that was named for it.

    `needed` is what the provider of one that is not ours says.
    """

    named: Named
    judged: Judged | None
    reusable: str | None
    needed: Needed | None = None


async def initialize_compute(context: Context, asked: InitializeCompute) -> Prepared:
    """Compute what a job needs to be ordered.

    Raises:
        Refused: It could not be started.
    """
    now = context.now()
    if asked.valid_until <= now:
        refuse(Reason.FEE_EXPIRED, "The validUntil value is not correct.")
    offering = await context.offering(asked.environment)
    datasets, algorithm = await starting.find_assets(context, asked.datasets, asked.algorithm)
    starting.judge_parts(asked.algorithm, datasets, algorithm)
    named = (*datasets, *([algorithm] if algorithm else []))
    await _judge_use(context, named, asked.consumer, offering)
    await starting.judge_trust(context, asked.algorithm, datasets, algorithm)
    found = await in_order(_look_at(context, one, asked.consumer, offering) for one in named)
    spent = frozenset() if offering.is_free else await context.ports.cluster.spent_fees()
    payer = _payer(found, offering, spent, asked.valid_until - now)
    needed = [
        _needed(context, one, offering, (now, asked.valid_until), pays=position == payer)
        for position, one in enumerate(found)
    ]
    return Prepared(tuple(needed[: len(datasets)]), needed[len(datasets)] if algorithm else None)


async def initialize(context: Context, asked: Initialize) -> Needed:
    """Compute what a download needs to be ordered; its fee is always nothing."""
    part = Part("dataset", asked.asset.document_id)
    named = await judging.find(context, asked.asset, part)
    part = named.part
    if named.service.type != "access":
        refusal = Refusal(
            Reason.SERVICE_NOT_USABLE,
            "Use the initializeCompute endpoint to initialize compute jobs.",
        )
        raise PartRefused(refusal, part)
    refusal_of_use = await judging.judge_use(context, named, asked.consumer)
    if refusal_of_use is not None:
        raise PartRefused(refusal_of_use, part)
    if asked.file_index is not None:
        await judge_file(context, named, asked.file_index)
    found = await _look_at(context, named, asked.consumer, None)
    if found.judged is not None:
        return Needed(named.service.datatoken, None, found.judged.order.transaction)
    offer = Offer(named.service.datatoken, named.service.id)
    return Needed(named.service.datatoken, _signed(context, offer, None, 0), found.reusable)


async def judge_file(context: Context, named: Named, index: int) -> None:
    """Ask whether a file of a service can be downloaded.

    Raises:
        PartRefused: It cannot, or there is none of this index.
    """
    files = await context.ports.assets.files(named.asset, named.service)
    if index >= len(files):
        raise PartRefused(Refusal(Reason.FILE_UNAVAILABLE, "No such fileIndex"), named.part)
    values, assets = named.asked.user_data, context.ports.assets
    async with context.inspecting:
        facts = await assets.inspect(files[index], values, checksum=False)
    if not facts.valid:
        refusal = Refusal(Reason.FILE_UNAVAILABLE, "Asset URL not found, not available or invalid.")
        raise PartRefused(refusal, named.part)


async def _judge_use(
    context: Context, named: tuple[Named, ...], consumer: str, offering: Offering
) -> None:
    """Judge whether the consumer may use the assets.

    ocean.py sends the environment's address for the consumer's, of whom nothing is known then:
    only the states count.
    """
    for one in named:
        if addresses.are_equal(consumer, offering.consumer):
            refusal = trust.judge_state(one.asset.nft.state)
        else:
            refusal = await judging.judge_use(context, one, consumer)
        if refusal is not None:
            raise PartRefused(refusal, one.part)


async def _look_at(
    context: Context, named: Named, consumer: str, offering: Offering | None
) -> _Found:
    if named.remote is not None and offering is not None:
        return await _look_at_remote(context, named, consumer, offering)
    if not named.asked.transaction:
        return _Found(named, None, None)
    judged = await judging.judge_order(context, named, consumer, offering)
    if isinstance(judged, Judged):
        return _Found(named, judged, judged.order.started_in)
    reusable = await judging.reusable_order(context, named, consumer, offering)
    return _Found(named, None, reusable)


async def _look_at_remote(
    context: Context, named: Named, consumer: str, offering: Offering
) -> _Found:
    """Ask the provider of an asset what it needs; an order must do for us as well as for it."""
    judged = None
    if named.asked.transaction:
        found = await judging.judge_order(context, named, consumer, offering)
        judged = found if isinstance(found, Judged) else None
    ordered = judged.order.transaction if judged else ""
    said = await starting.ask_remote(context, named, offering, ordered)
    if said is None or (said.fee is None and judged is None):
        refusal = Refusal(Reason.REMOTE_PROVIDER, "the asset's provider names an order of its own")
        raise PartRefused(refusal, named.part)
    known = {judged.order.transaction, judged.order.started_in} if judged else set()
    valid = said.valid_order if said.valid_order in known else None
    needed = Needed(named.service.datatoken, said.fee, valid if said.fee else ordered)
    return _Found(named, judged, None, needed)


def _payer(
    found: list[_Found], offering: Offering, spent: frozenset[str], seconds: int
) -> int | None:
    """Choose the asset whose order is to pay for compute; None where nothing is to be paid.

    One with a fee that is paid and pays for long enough needs no other; else the first whose
    order can be used again, else the first that can be paid for at all.
    """
    if offering.is_free:
        return None
    payable = [
        position
        for position, one in enumerate(found)
        if one.needed is None and offering.prices_on(one.named.asset.ddo.chain_id)
    ]
    if not payable:
        refuse(Reason.ENVIRONMENT_UNKNOWN, "the environment is not offered on the assets' chain")
    if any(_covers(found[position], spent, seconds) for position in payable):
        return None
    ordered = [position for position in payable if found[position].reusable]
    return (ordered or payable)[0]


def _covers(found: _Found, spent: frozenset[str], seconds: int) -> bool:
    if found.judged is None:
        return False
    fee = orders.payment((found.judged.order,), spent)
    return isinstance(fee, PaidFee) and fee.seconds >= seconds


def _needed(
    context: Context, found: _Found, offering: Offering, span: tuple[int, int], *, pays: bool
) -> Needed:
    """Offer a fee where one is needed: from now, the first of `span`, until its second."""
    if found.needed is not None:
        return found.needed
    service = found.named.service
    if found.judged is not None and not pays:
        return Needed(service.datatoken, None, found.judged.order.transaction)
    now, until = span
    offer = Offer(service.datatoken, service.id, offering.id, now)
    prices = offering.prices_on(found.named.asset.ddo.chain_id) if pays else ()
    price = prices[0] if prices else None
    return Needed(service.datatoken, _signed(context, offer, price, until), found.reusable)


def _signed(context: Context, offer: Offer, price: Price | None, until: int) -> SignedFee:
    who = context.identity
    return fees.sign(fees.fee_of(offer, who.address, price, until), who.key)

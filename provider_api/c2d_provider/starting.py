"""Starting a job: everything is judged first, then the nonce, the fee and the job are taken.

    identify --> environment --> assets --> use, orders, trust, payment, parameters
                                                              |
                  nonce (compare-and-set) --> fee (compare-and-set) --> ComputeJob, sealed

Nothing on the first line writes. The second line is not given up half-way: a consumer whose
connection breaks after the fee was spent has a job for it.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from c2d_api.computejob import ComputeJob
from c2d_provider import authorizing, jobs, judging, naming, orders, parameters, signing, trust
from c2d_provider.asked import PublishedAsked, RawAsked, Start
from c2d_provider.authorizing import Proof, Requester
from c2d_provider.context import Context, in_order
from c2d_provider.ddo import Compute, Container
from c2d_provider.environments import Offering
from c2d_provider.files import UrlFile
from c2d_provider.judging import Judged, Named, Part, PartRefused
from c2d_provider.orders import PaidFee
from c2d_provider.ports import Initialized, UnavailableError
from c2d_provider.refusals import Reason, Refusal, Refused, refuse
from c2d_provider.trust import PublishedAlgorithm, RawAlgorithm

_ATTEMPTS = 4
_PAUSE = 0.25
_RAW = Part("algorithm", "")


@dataclass(frozen=True)
class Payment:
    """The fee that pays for a job, and the chain that it was paid on."""

    chain_id: int
    fee: PaidFee


@dataclass(frozen=True)
class Accepted:
    """A start that was judged and found good: what it makes, and what is taken for it."""

    requester: Requester
    wanted: jobs.Wanted
    orders: tuple[str, ...]
    chain_id: int
    payment: Payment | None


async def start(context: Context, asked: Start, proof: Proof) -> ComputeJob:
    """Start a job for whoever proves to ask.

    Raises:
        Refused: As `AuthorizationRefused` or `PartRefused` where the cause has a place.
    """
    accepted = await accept(context, asked, proof)
    return await context.through(_take(context, accepted))


async def accept(context: Context, asked: Start, proof: Proof) -> Accepted:
    """Judge a start; writes nothing."""
    requester = await authorizing.identify(context, proof)
    offering = await context.offering(asked.environment)
    datasets, algorithm = await find_assets(context, asked.datasets, asked.algorithm)
    judge_parts(asked.algorithm, datasets, algorithm)
    named = (*datasets, *([algorithm] if algorithm else []))
    await _judge_use(context, named, requester.address)
    judged = await _judge_orders(context, named, requester.address, offering)
    await in_order(_judge_remote(context, one, offering) for one in judged)
    await judge_trust(context, asked.algorithm, datasets, algorithm)
    payment = choose_payment(offering, judged, await context.ports.cluster.spent_fees())
    return Accepted(
        requester,
        _wanted(context, asked, offering, judged, (requester.address, payment)),
        tuple(one.order.transaction for one in judged),
        datasets[0].asset.ddo.chain_id,
        payment,
    )


async def find_assets(
    context: Context, datasets: Sequence[Any], algorithm: PublishedAsked | RawAsked
) -> tuple[tuple[Named, ...], Named | None]:
    """Find the assets that a request names; None where the algorithm came with it."""
    parts = [
        (one, Part("dataset", one.document_id, position)) for position, one in enumerate(datasets)
    ]
    if isinstance(algorithm, PublishedAsked):
        parts.append((algorithm.asset, Part("algorithm", algorithm.asset.document_id)))
    found = await in_order(
        judging.find(context, one, part, may_be_remote=True) for one, part in parts
    )
    if isinstance(algorithm, PublishedAsked):
        return tuple(found[:-1]), found[-1]
    return tuple(found), None


def judge_parts(
    asked: PublishedAsked | RawAsked, datasets: tuple[Named, ...], algorithm: Named | None
) -> None:
    """Judge what assets are, whoever asks.

    Raises:
        PartRefused: One cannot be what it is named as.
    """
    for position, named in enumerate(datasets):
        _raise(trust.judge_dataset(named.service, is_first=position == 0), named.part)
    services = [(named.part.document_id, named.service.id) for named in datasets]
    for position, service in enumerate(services):
        if service in services[:position]:
            refusal = Refusal(Reason.MALFORMED, "the service is named twice")
            raise PartRefused(refusal, datasets[position].part)
    if algorithm is not None:
        _raise(trust.judge_is_algorithm(algorithm.asset.ddo), algorithm.part)
    _raise(trust.judge_container(container_of(asked, algorithm)), _part(algorithm))


def container_of(asked: PublishedAsked | RawAsked, algorithm: Named | None) -> Container:
    """Tell what the algorithm runs in: its DDO says it, not the request, where it has one."""
    if isinstance(asked, RawAsked):
        return asked.container
    metadata = algorithm.asset.ddo.algorithm if algorithm else None
    return metadata.container if metadata else Container("", "", "", "")


def choose_payment(
    offering: Offering, judged: Sequence[Judged], spent: frozenset[str]
) -> Payment | None:
    """Choose the fee that pays for a job; None where compute is free.

    Only orders of chains that the environment has a price on can pay: a fee does not say which
    chain it was offered for, and on another one its token may be worth nothing.

    Raises:
        Refused: None pays.
    """
    if offering.is_free:
        return None
    paying = [one for one in judged if offering.prices_on(one.named.asset.ddo.chain_id)]
    fee = orders.payment((one.order for one in paying), spent)
    if isinstance(fee, Refusal):
        raise Refused(fee)
    (chain_id,) = {
        one.named.asset.ddo.chain_id
        for one in paying
        if any(paid.key == fee.key for paid in one.order.fees)
    }
    return Payment(chain_id, fee)


async def _judge_use(context: Context, named: Sequence[Named], consumer: str) -> None:
    refusals = await in_order(judging.judge_use(context, one, consumer) for one in named)
    for one, refusal in zip(named, refusals, strict=True):
        _raise(refusal, one.part)


async def judge_trust(
    context: Context,
    asked: PublishedAsked | RawAsked,
    datasets: tuple[Named, ...],
    algorithm: Named | None,
) -> None:
    """Judge whether the datasets let the algorithm run on them.

    Raises:
        PartRefused: One does not.
    """
    computes = [(named, named.service.compute) for named in datasets]
    listed = [(named, one or Compute()) for named, one in computes if _is_compute(named)]
    subject = await trusted_subject(context, asked, algorithm, [one for _, one in listed])
    for named, compute in listed:
        refusal = trust.judge_algorithm(compute, subject, legacy=context.policy.legacy_trust)
        _raise(refusal, named.part)


async def trusted_subject(
    context: Context,
    asked: PublishedAsked | RawAsked,
    algorithm: Named | None,
    computes: Sequence[Compute],
) -> trust.Algorithm:
    """Say what trust lists are compared with; files are hashed only if a list names a hash.

    Those of another provider are not ours to see, so only `*` fits them.
    """
    if algorithm is None:
        return RawAlgorithm()
    asset = algorithm.asset
    files = None
    is_remote = algorithm.remote is not None
    if not is_remote and any(_names_files(compute, asset.ddo.id) for compute in computes):
        try:
            async with context.inspecting:
                files = await context.ports.assets.files_checksum(asset, algorithm.service)
        except Refused as refused:
            raise PartRefused(refused.refusal, algorithm.part) from None
    return PublishedAlgorithm(
        did=asset.ddo.id,
        nft=asset.ddo.nft,
        owner=asset.nft.owner,
        service_id=algorithm.service.id,
        files_checksum=files,
        container_checksum=trust.container_checksum(container_of(asked, algorithm)),
    )


def _is_compute(named: Named) -> bool:
    """Say whether a dataset's lists count: a service for access has none."""
    return named.service.type == "compute"


def _names_files(compute: Compute, did: str) -> bool:
    return any(
        entry.did in (trust.ANYONE, did) and entry.files_checksum not in ("", trust.ANYONE)
        for entry in compute.trusted_algorithms or ()
    )


async def _judge_orders(
    context: Context, named: Sequence[Named], consumer: str, offering: Offering
) -> tuple[Judged, ...]:
    found = await in_order(judging.judge_order(context, one, consumer, offering) for one in named)
    judged = []
    for one, order in zip(named, found, strict=True):
        if isinstance(order, Refusal):
            raise PartRefused(order, one.part)
        judged.append(order)
    return tuple(judged)


async def ask_remote(
    context: Context, named: Named, offering: Offering, transaction: str = ""
) -> Initialized | None:
    """Ask the provider of an asset what a download needs; None where the asset is ours.

    It is asked for the environment, for whom we shall sign.

    Raises:
        PartRefused: We could not sign, or it refuses.
    """
    if named.remote is None:
        return None
    cluster, remotes = context.ports.cluster, context.ports.remotes
    try:
        await signing.key_of(cluster, context.keyring, offering.consumer, offering.key_secret)
        async with context.inspecting:
            return await remotes.initialize(named.remote, offering.consumer, transaction)
    except Refused as refused:
        raise PartRefused(refused.refusal, named.part) from None


async def _judge_remote(context: Context, judged: Judged, offering: Offering) -> None:
    """Judge whether an asset's own provider takes the order: it will be asked for the files."""
    named = judged.named
    found = await ask_remote(context, named, offering, judged.order.transaction)
    if found is not None and found.fee is not None:
        refusal = Refusal(
            Reason.ORDER_NOT_TAKEN, "the provider of the service does not take the order"
        )
        raise PartRefused(refusal, named.part)


def _wanted(
    context: Context,
    asked: Start,
    offering: Offering,
    judged: tuple[Judged, ...],
    paid: tuple[str, Payment | None],
) -> jobs.Wanted:
    consumer, payment = paid
    bought = tuple(_bought(one, payment) for one in judged)
    raw = isinstance(asked.algorithm, RawAsked)
    computes = [one.named.service.compute for one in (judged if raw else judged[:-1])]
    return jobs.Wanted(
        environment=offering.name,
        consumer=consumer,
        datasets=bought if raw else bought[:-1],
        algorithm=_code(asked.algorithm) if isinstance(asked.algorithm, RawAsked) else bought[-1],
        container=container_of(asked.algorithm, None if raw else judged[-1].named),
        custom_data=_custom_data(asked.algorithm, None if raw else judged[-1].named),
        max_duration=min(payment.fee.seconds, offering.max_duration) if payment else None,
        suspend=not all(one.is_confirmed(context.policy.orders) for one in judged),
        allow_network_access=offering.allows_network and trust.allows_network(computes),
    )


def _bought(judged: Judged, payment: Payment | None) -> jobs.Bought:
    named, order = judged.named, judged.order
    pays = payment is not None and any(fee.key == payment.fee.key for fee in order.fees)
    try:
        values = parameters.fill(named.service.parameters, named.asked.user_data, "userdata")
    except Refused as refused:
        raise PartRefused(refused.refusal, named.part) from None
    return jobs.Bought(
        named.asset.ddo.id,
        named.service.id,
        named.asset.ddo.chain_id,
        order.transaction,
        orders.valid_until((order,), payment.fee if payment and pays else None),
        values,
    )


def _code(asked: RawAsked) -> jobs.Code:
    if asked.file is None:
        return jobs.Code(asked.code)
    if not isinstance(asked.file, UrlFile):
        refuse(Reason.FILES_MALFORMED, "raw code can only come from a URL")
    return jobs.Code("", asked.file)


def _custom_data(asked: PublishedAsked | RawAsked, algorithm: Named | None) -> dict[str, Any]:
    metadata = algorithm.asset.ddo.algorithm if algorithm else None
    try:
        declared = metadata.parameters if metadata else ()
        return parameters.fill(declared, asked.custom_data, "algocustomdata")
    except Refused as refused:
        raise PartRefused(refused.refusal, _part(algorithm)) from None


async def _take(context: Context, accepted: Accepted) -> ComputeJob:
    """Take nonce and fee, and create the job.

    What the API server will not have frees its fee: no job came of it.
    """
    cluster = context.ports.cluster
    await authorizing.take_nonce(context, accepted.requester)
    name, payment = _name(accepted), accepted.payment
    if payment is not None:
        spent = await cluster.spend_fee(payment.chain_id, payment.fee)
        if isinstance(spent, Refusal):
            raise Refused(spent)
        name = spent
    try:
        return await _create(context, accepted, name)
    except Refused:
        if payment is not None:
            await cluster.free_fee(name)
        raise


async def _create(context: Context, accepted: Accepted, name: str) -> ComputeJob:
    """Create the job, again where nobody answered: its name makes that safe."""
    manifest = jobs.manifest(accepted.wanted, name, context.identity.seal_key)
    for attempt in range(1, _ATTEMPTS):
        try:
            return await context.ports.cluster.create_job(manifest)
        except UnavailableError:
            await asyncio.sleep(_PAUSE * 2**attempt)
    return await context.ports.cluster.create_job(manifest)


def _name(accepted: Accepted) -> str:
    return naming.job_name(
        accepted.chain_id,
        accepted.requester.address,
        list(accepted.orders),
        accepted.requester.nonce.text,
    )


def _part(algorithm: Named | None) -> Part:
    return algorithm.part if algorithm else _RAW


def _raise(refusal: Refusal | None, part: Part) -> None:
    if refusal is not None:
        raise PartRefused(refusal, part)

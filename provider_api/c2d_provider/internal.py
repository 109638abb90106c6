"""The loader's asset request: who asks, whether the job still may, and what it is handed.

Everything that let the job start is judged again, since it may have waited for days; time limits
are judged as of its creation, since waiting eats nothing that was paid for. Prices are not: what
was agreed stands, whatever the environment costs today.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import NoReturn, TypeVar

from c2d_api.asset_request import (
    MAX_ANSWER_BYTES,
    Denied,
    FileContent,
    FileOnRequest,
    FileRequest,
    Provided,
    ProvidedAsset,
    ProvidedFile,
    decode_request,
)
from c2d_api.computejob import ComputeJob
from c2d_provider import naming, orders, parameters, ports, remote, signing, strict_json, trust
from c2d_provider.credentials import access_lists, judge_credentials
from c2d_provider.ddo import Compute, Container, Service
from c2d_provider.loader_rules import Asking, Denial, Status, Wanted, denial, judge, wanted
from c2d_provider.naming import EnvironmentName
from c2d_provider.refusals import Reason, Refusal, Refused, refuse
from c2d_provider.signing import Keyring

_DIGEST = 64
_CHANGED = "the files of the algorithm were changed just now"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Means:
    """What the flow works with; `fee_addresses` and `urls` are the provider's own."""

    cluster: ports.Cluster
    chains: ports.Chains
    assets: ports.Assets
    seal_key: bytes = field(repr=False)
    cluster_hash: str
    fee_addresses: frozenset[str]
    policy: orders.Policy
    remotes: ports.Remotes
    keyring: Keyring
    urls: tuple[str, ...] = ()
    legacy_trust: bool = False


@dataclass(frozen=True)
class Answer:
    """A status number and a body of JSON, which is secret where the number is 200."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Asset:
    """An asset that a job wants, as it is published now; `remote` if another provider has it."""

    wanted: Wanted
    published: ports.Published
    service: Service
    nft: ports.Nft
    remote: ports.Remote | None = None


async def hand_out(means: Means, token: str, body: bytes) -> Answer:
    """Answer the loader: `token` is what it bears, "" for none, `body` what it sent."""
    try:
        encoded = (await _handed_out(means, token, body)).encode()
        if len(encoded) > MAX_ANSWER_BYTES:
            _deny(Status.FORBIDDEN, "the job's assets take more words than can be handed out")
        return Answer(200, encoded)
    except _DeniedError as denied:
        said = denied.denial
    except Refused as refused:
        said = Denial(Status.FORBIDDEN, refused.refusal.message)
    except ports.UnavailableError as error:
        said = Denial(Status.UNAVAILABLE, str(error))
    return Answer(said.status, Denied(said.message, said.kind).encode())


class _DeniedError(Exception):
    """Raised where nothing is to be handed out; `denial` says why."""

    def __init__(self, denied: Denial) -> None:
        super().__init__(denied.message)
        self.denial = denied


def _deny(status: Status, message: str) -> NoReturn:
    raise _DeniedError(Denial(status, message))


async def _handed_out(means: Means, token: str, body: bytes) -> Provided:
    caller = await means.cluster.caller(token)
    if caller is None:
        _deny(Status.UNAUTHORIZED, "the token is not that of a loader")
    try:
        request = decode_request(body)
    except ValueError as error:
        _deny(Status.FORBIDDEN, f"the request makes no sense: {error}")
    labels = await means.cluster.pod_labels(caller)
    if labels is None:
        _deny(Status.UNAUTHORIZED, "the loader that asks is gone")
    job = await means.cluster.job(request.job)
    if job is None:
        _deny(Status.NOT_FOUND, "there is no such job")
    denied = judge(Asking(request, caller, labels, job, means.seal_key))
    if denied is not None:
        raise _DeniedError(denied)
    if not await means.cluster.bind_seal(job):
        _deny(Status.FORBIDDEN, "the job is a copy of one that was created before")
    return await _assets(means, job, request.file)


async def _assets(means: Means, job: ComputeJob, file: FileOnRequest | None) -> Provided:
    """Judge all assets before any file is resolved: half a job is handed nothing."""
    found = [await _judged(means, job, asset) for asset in wanted(job)]
    algorithm, digests = await _algorithm(means, job, found)
    for asset in found:
        with _about(asset.wanted):
            _judge_trust(means, job, asset, algorithm)
    if file is not None:
        return Provided((await _file_on_request(means, job, found, file),))
    return Provided(tuple([await _provided_asset(means, job, one, digests) for one in found]))


@contextmanager
def _about(asset: Wanted) -> Iterator[None]:
    """Say of which asset a refusal is."""
    try:
        yield
    except Refused as refused:
        reason, message = refused.refusal.reason, refused.refusal.message
        raise _DeniedError(denial(reason, message, asset)) from None


async def _judged(means: Means, job: ComputeJob, wanted_asset: Wanted) -> Asset:
    with _about(wanted_asset):
        asset = await _published(means, wanted_asset)
        await _judge(means, job, asset)
        return asset


async def _published(means: Means, asset: Wanted) -> Asset:
    published = await means.assets.published(asset.did, asset.order.chain_id)
    if (published.ddo.id, published.ddo.chain_id) != (asset.did, asset.order.chain_id):
        refuse(Reason.ASSET_UNKNOWN, "the asset is not on the chain of its order")
    service = published.ddo.service(asset.service_id)
    if service is None:
        refuse(Reason.SERVICE_UNKNOWN, "the asset no longer has the service that was ordered")
    nft = _accepted(await means.chains.nft(published.ddo.chain_id, published.ddo.nft))
    place = remote.place(published.ddo.id, service, means.urls)
    if isinstance(place, Refusal):
        raise Refused(place)
    return Asset(asset, published, service, nft, place)


async def _judge(means: Means, job: ComputeJob, asset: Asset) -> None:
    """Judge an asset's state, its credentials and its order.

    Raises:
        Refused: It may not be used, by this consumer, or for this order.
    """
    ddo, consumer = asset.published.ddo, job.spec.consumer or ""
    _demand(trust.judge_state(asset.nft.state))
    if asset.wanted.kind == "algorithm":
        _demand(trust.judge_is_algorithm(ddo))
    else:
        _demand(trust.judge_dataset(asset.service, is_first=asset.wanted.position == 0))
    credentials = (*ddo.credentials, *asset.service.credentials)
    lists = access_lists(credentials, ddo.chain_id)
    held = await means.chains.lists_holding(consumer, lists) if lists else frozenset()
    _demand(judge_credentials(credentials, consumer, ddo.chain_id, held))
    await _judge_order(means, job, asset)


async def _judge_order(means: Means, job: ComputeJob, asset: Asset) -> None:
    ddo, service, order = asset.published.ddo, asset.service, asset.wanted.order
    facts = await means.chains.order_facts(
        ddo.chain_id, order.transaction, ddo.nft, service.datatoken
    )
    environment = EnvironmentName(job.namespace, job.spec.environment)
    asked = orders.Asked(
        transaction=order.transaction,
        consumer=job.spec.consumer or "",
        nft=ddo.nft,
        datatoken=service.datatoken,
        service_id=service.id,
        service_index=service.index,
        timeout=service.timeout,
        environments=frozenset(
            naming.environment_id(environment, cluster) for cluster in (None, means.cluster_hash)
        ),
        environment_consumer=_signer(job),
        fee_addresses=means.fee_addresses,
        is_remote=asset.remote is not None,
    )
    as_of_start = replace(facts, now=int(job.created.timestamp()))
    policy = replace(means.policy, wait_for_confirmations=False)
    _accepted(orders.judge(asked, as_of_start, policy))


async def _algorithm(
    means: Means, job: ComputeJob, found: list[Asset]
) -> tuple[trust.Algorithm, tuple[str, ...]]:
    """Describe the algorithm as it is now, with the digests of its files where a dataset asks.

    Its container is the one that will run. What a dataset trusts by digest, the loader checks
    once more: a server may answer the two of us differently.
    """
    asset = next((one for one in found if one.wanted.kind == "algorithm"), None)
    if asset is None:
        return trust.RawAlgorithm(), ()
    checksum = None
    if asset.remote is None and any(_names_files(one.service.compute) for one in found):
        with _about(asset.wanted):
            checksum = await means.assets.files_checksum(asset.published, asset.service)
    container = job.spec.algorithm.container
    runs = Container(
        container.image, container.tag or "", container.digest or "", container.entrypoint
    )
    algorithm = trust.PublishedAlgorithm(
        did=asset.wanted.did,
        nft=asset.published.ddo.nft,
        owner=asset.nft.owner,
        service_id=asset.service.id,
        files_checksum=checksum,
        container_checksum=trust.container_checksum(runs),
    )
    return algorithm, _digests(checksum)


def _names_files(compute: Compute | None) -> bool:
    """Say whether a dataset trusts algorithms by the digests of their files."""
    trusted = (compute.trusted_algorithms if compute else None) or ()
    return any(entry.files_checksum not in ("", trust.ANYONE) for entry in trusted)


def _digests(checksum: str | None) -> tuple[str, ...]:
    """Take a files checksum apart: it has the digest of each file, one after the other."""
    text = checksum or ""
    return tuple(text[at : at + _DIGEST] for at in range(0, len(text), _DIGEST))


def _judge_trust(means: Means, job: ComputeJob, asset: Asset, algorithm: trust.Algorithm) -> None:
    if asset.wanted.kind == "dataset" and job.spec.allow_network_access:
        _demand(trust.judge_network(asset.service.compute))
    if asset.wanted.kind == "dataset" and asset.service.type == "compute":
        compute = asset.service.compute or Compute()
        _demand(trust.judge_algorithm(compute, algorithm, legacy=means.legacy_trust))


def _signer(job: ComputeJob) -> str:
    """Name who stands for the job's environment in orders, as of its admission."""
    terms = job.status.environment
    return (terms.consumer if terms else None) or ""


async def _provided_asset(
    means: Means, job: ComputeJob, asset: Asset, digests: tuple[str, ...]
) -> ProvidedAsset:
    with _about(asset.wanted):
        kind = asset.wanted.kind
        if asset.remote is not None:
            files = await _files_on_request(means, job, asset, asset.remote)
        else:
            files = await _files(means, asset, digests if kind == "algorithm" else ())
        document = strict_json.compact(asset.published.document)
        return ProvidedAsset(asset.wanted.position, kind, files, document)


async def _files_on_request(
    means: Means, job: ComputeJob, asset: Asset, place: ports.Remote
) -> tuple[ProvidedFile, ...]:
    """Name the files of another provider: each is asked for again when it is to be sent.

    Requests that were all signed now would come too late: each is good until a later one of the
    environment, of whatever job, has come before it.
    """
    await _key(means, job)
    number = await means.remotes.count_files(place)
    kind, position = asset.wanted.kind, asset.wanted.position
    return tuple(FileOnRequest(kind, position, index) for index in range(number))


async def _file_on_request(
    means: Means, job: ComputeJob, found: list[Asset], file: FileOnRequest
) -> ProvidedAsset:
    """Sign the request of one file of another provider, good once."""
    named = (file.kind, file.position)
    asset = next((a for a in found if (a.wanted.kind, a.wanted.position) == named), None)
    place = asset.remote if asset else None
    if asset is None or place is None:
        _deny(Status.FORBIDDEN, "the job has no such file of another provider")
    with _about(asset.wanted):
        values = parameters.read_values(asset.wanted.user_data, "userdata")
        key, routes = await _key(means, job), await means.remotes.routes(place.endpoint)
        nonce = await means.cluster.issue_nonce(_signer(job))
        bought = (asset.wanted.order.transaction, file.number)
        request = remote.of_download(place, routes, bought, (key, nonce), values)
    return ProvidedAsset(file.position, file.kind, (_provided(request, None),))


async def _key(means: Means, job: ComputeJob) -> bytes:
    """Find the key of whom the orders of a job name, if the environment still has it."""
    environment = await means.cluster.environment(
        EnvironmentName(job.namespace, job.spec.environment)
    )
    consumer = environment.consumer if environment else None
    secret = consumer.key_secret if consumer else None
    return await signing.key_of(means.cluster, means.keyring, _signer(job), secret)


async def _files(means: Means, asset: Asset, digests: tuple[str, ...]) -> tuple[ProvidedFile, ...]:
    """Resolve the files of a service; where digests are known, each file must have its own."""
    values = parameters.read_values(asset.wanted.user_data, "userdata")
    listed = await means.assets.files(asset.published, asset.service)
    if digests and len(digests) != len(listed):
        refuse(Reason.FILES_CHECKSUM_MISMATCH, _CHANGED)
    expected = digests or (None,) * len(listed)
    resolved = [await means.assets.resolve(file, values) for file in listed]
    return tuple(map(_provided, resolved, expected))


def _provided(resolved: ports.Resolved, digest: str | None) -> ProvidedFile:
    if isinstance(resolved, ports.ResolvedRequest):
        return FileRequest(
            resolved.url,
            "POST" if resolved.method == "POST" else "GET",
            resolved.headers,
            resolved.body,
            digest,
            resolved.content_id,
        )
    if digest is not None and hashlib.sha256(resolved.content).hexdigest() != digest.lower():
        refuse(Reason.FILES_CHECKSUM_MISMATCH, _CHANGED)
    return FileContent(resolved.content)


def _demand(refusal: Refusal | None) -> None:
    if refusal is not None:
        raise Refused(refusal)


def _accepted(found: Result | Refusal) -> Result:
    if isinstance(found, Refusal):
        raise Refused(found)
    return found

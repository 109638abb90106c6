"""The world outside of the provider, in memory: chains, assets, a cluster, a store of results.

Each keeps one of `c2d_provider.ports`. What is decided by rules (nonces, fees) is decided by the
real ones; what needs an atomic write is atomic, after a turn of the event loop, so that requests
race here as they do in a cluster.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from eth_keys.datatypes import PrivateKey
from eth_utils.crypto import keccak

from c2d_api.computeenvironment import Environment, parse_environment
from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.results import ResultFile
from c2d_api.times import format_time
from c2d_provider import ddo, nonces, orders, signatures, spending, tokens
from c2d_provider.app import Manner, public_app
from c2d_provider.asked import Document
from c2d_provider.context import Context, Identity, Policy, Ports, identity
from c2d_provider.fees import Offer
from c2d_provider.files import FileObject, Headers, UrlFile
from c2d_provider.limiter import Limiter
from c2d_provider.naming import EnvironmentName
from c2d_provider.ports import (
    Caller,
    FileFacts,
    Initialized,
    Inline,
    Metadata,
    Nft,
    Opened,
    Published,
    Remote,
    Routes,
    Stored,
    UnavailableError,
)
from c2d_provider.refusals import Reason, Refusal, Refused, refuse
from c2d_provider.results import resolve
from c2d_provider.wire.exchange import Limits
from c2d_provider.wire.middlewares import Clients
from c2d_provider.wire.v2_answers import moment
from chain_facts import (
    CONSUMER,
    ENVIRONMENT_CONSUMER,
    FACTORY,
    PROVIDER_KEY,
    STRANGER,
    TOKEN,
    charged,
    offered,
    receipt,
    started,
)

Json = dict[str, Any]
CHAIN = 8996
NOW = 1_800_000_000
CONSUMER_KEY = bytes.fromhex("5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a")
PRICES = [{"chainId": CHAIN, "token": TOKEN, "perMinute": "0.6", "decimals": 18}]
REMOTE_ORDER = "0x" + "e0" * 32
SECRET_URL = "http://owner.example/secret-path?key=s3cr3t"  # noqa: S105 - what must never be told


def signed(text: str, key: bytes = CONSUMER_KEY) -> str:
    """Sign a text as Ocean's clients do."""
    digest = signatures.personal_digest(keccak(text=text))
    return f"0x{PrivateKey(key).sign_msg_hash(digest).to_bytes().hex()}"


@dataclass
class FakeChains:
    """Chains whose receipts are what a test puts there."""

    ids: tuple[int, ...] = (CHAIN,)
    receipts: dict[str, orders.Receipt] = field(default_factory=dict)
    nfts: dict[str, Nft] = field(default_factory=dict)
    held: set[tuple[int, str]] = field(default_factory=set)
    block: int = 120
    now: int = NOW
    is_down: bool = False
    asked: list[str] = field(default_factory=list)

    async def order_facts(
        self, chain_id: int, transaction: str, nft: str, datatoken: str
    ) -> orders.Facts:
        await self._turn(chain_id)
        self.asked.append(transaction)
        found = self.receipts.get(transaction)
        reused = orders.reused_orders(found, datatoken) if found else ()
        originals = {one: self.receipts[one] for one in reused if one in self.receipts}
        return orders.Facts(found, originals, self.block, self.now, FACTORY, True, True)

    async def head(self, chain_id: int) -> int:
        await self._turn(chain_id)
        return self.block

    async def nft(self, chain_id: int, address: str) -> Nft | Refusal:
        await self._turn(chain_id)
        found = self.nfts.get(address.lower())
        return found or Refusal(Reason.ASSET_NOT_FROM_OCEAN, "not from Ocean's factory")

    async def metadata(self, chain_id: int, nft: str) -> Metadata | None:
        await self._turn(chain_id)
        return None

    async def metadata_in(self, chain_id: int, nft: str, transaction: str) -> Metadata | None:
        await self._turn(chain_id)
        return None

    async def lists_holding(
        self, consumer: str, lists: tuple[tuple[int, str], ...]
    ) -> frozenset[tuple[int, str]]:
        await asyncio.sleep(0)
        return frozenset(self.held) & frozenset(lists)

    async def call_function(self, file: FileObject, values: Mapping[str, Any]) -> bytes:
        return b"{}"

    async def _turn(self, chain_id: int) -> None:
        await asyncio.sleep(0)
        if self.is_down:
            raise UnavailableError("the chain does not answer")
        if chain_id not in self.ids:
            refuse(Reason.CHAIN_UNKNOWN, "the chain is not served")


@dataclass
class FakeAssets:
    """Assets by DID; every service has `number` files behind a secret URL, one unless changed."""

    published_: dict[str, Published] = field(default_factory=dict)
    checksum: str | None = "0" * 64
    number: int = 1
    content: bytes = b"content"
    opened_with: list[Headers] = field(default_factory=list)
    chunks: Callable[[], AsyncIterator[bytes]] | None = None
    is_broken: bool = False
    gate: asyncio.Event | None = None
    inspecting: int = 0
    most_inspected: int = 0

    async def published(self, did: str, chain_id: int | None = None) -> Published:
        await asyncio.sleep(0)
        if self.is_broken:
            raise RuntimeError(f"connection to {SECRET_URL} failed")
        if did not in self.published_:
            refuse(Reason.ASSET_UNKNOWN, "there is no such asset")
        return self.published_[did]

    async def files(self, asset: Published, service: ddo.Service) -> tuple[FileObject, ...]:
        return (UrlFile(SECRET_URL, "GET", (("Authorization", "s3cr3t"),)),) * self.number

    async def files_checksum(self, asset: Published, service: ddo.Service) -> str | None:
        return self.checksum

    async def resolve(self, file: FileObject, values: Mapping[str, Any]) -> Inline:
        return Inline(self.content)

    async def inspect(
        self, file: FileObject, values: Mapping[str, Any], *, checksum: bool
    ) -> FileFacts:
        self.inspecting += 1
        self.most_inspected = max(self.most_inspected, self.inspecting)
        await (self.gate.wait() if self.gate else asyncio.sleep(0))
        self.inspecting -= 1
        digest = hashlib.sha256(self.content).hexdigest() if checksum else None
        return FileFacts(True, "text/csv", len(self.content), digest, "data.csv")

    async def open(self, file: FileObject, values: Mapping[str, Any], headers: Headers) -> Opened:
        self.opened_with.append(headers)
        sent = (("Content-Type", "text/csv"), ("Set-Cookie", "session=s3cr3t"))
        return Opened(200, sent, "data.csv", self.chunks() if self.chunks else self._chunks())

    async def _chunks(self) -> AsyncIterator[bytes]:
        yield self.content

    def encrypt(self, data: bytes) -> bytes:
        return b"\x04" + data[::-1]

    async def decrypt(self, document: Document, nft: str) -> bytes:
        return document.encrypted


@dataclass
class FakeCluster:
    """A cluster with one atomic store; `down` names methods that do not answer."""

    now: Callable[[], int] = lambda: NOW
    environments_: dict[EnvironmentName, Environment] = field(default_factory=dict)
    jobs_: dict[str, ComputeJob] = field(default_factory=dict)
    manifests: list[Json] = field(default_factory=list)
    shards: dict[int, nonces.Shard] = field(default_factory=dict)
    ledger_: spending.Ledger = field(default_factory=spending.Ledger)
    bound: dict[str, str] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    stops: list[tuple[str, str]] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    refuses: Refusal | None = None
    secrets: dict[tuple[str, str], Mapping[str, bytes]] = field(default_factory=dict)
    down: dict[str, int] = field(default_factory=dict)
    gate: asyncio.Event | None = None

    async def _turn(self, name: str) -> None:
        await asyncio.sleep(0)
        if self.down.get(name, 0) > 0:
            self.down[name] -= 1
            raise UnavailableError("the API server does not answer")

    def environments(self) -> tuple[Environment, ...]:
        return tuple(self.environments_.values())

    async def environment(self, name: EnvironmentName) -> Environment | None:
        await self._turn("environment")
        return self.environments_.get(name)

    async def job(self, name: str) -> ComputeJob | None:
        await self._turn("job")
        return self.jobs_.get(name)

    def jobs(self) -> tuple[ComputeJob, ...]:
        return tuple(self.jobs_.values())

    def jobs_of(self, consumer: str) -> tuple[ComputeJob, ...]:
        return tuple(job for job in self.jobs_.values() if job.spec.consumer == consumer)

    async def create_job(self, manifest: Mapping[str, Any]) -> ComputeJob:
        await self._turn("create_job")
        if self.gate is not None:
            await self.gate.wait()
        if self.refuses is not None:
            raise Refused(self.refuses)
        created = parse_job(served(manifest, self.now()))
        known = self.jobs_.setdefault(created.name, created)
        if known.seal != created.seal:
            refuse(Reason.JOB_REFUSED, "another job has this name")
        self.manifests.append(dict(manifest))
        return known

    async def stop_job(self, job: ComputeJob, reason: str) -> None:
        await self._turn("stop_job")
        self.stops.append((job.name, reason))
        self.jobs_[job.name] = replace(job, spec=replace(job.spec, stop=reason))

    async def resume_job(self, job: ComputeJob) -> None:
        await self._turn("resume_job")
        self.resumed.append(job.name)
        spec = replace(job.spec, suspend=False)
        self.jobs_[job.name] = replace(job, generation=job.generation + 1, spec=spec)

    async def delete_job(self, job: ComputeJob) -> None:
        await self._turn("delete_job")
        del self.jobs_[job.name]

    async def bind_seal(self, job: ComputeJob) -> bool:
        return self.bound.setdefault(job.name, job.uid) == job.uid

    async def use_nonce(
        self, address: str, nonce: nonces.Nonce, used: nonces.Use
    ) -> Refusal | None:
        await self._turn("use_nonce")
        number = nonces.shard_of(address)
        shard = self.shards.get(number, nonces.Shard())
        after = nonces.advance(shard, address, nonce, used, self.now())
        if isinstance(after, Refusal):
            return after
        self.shards[number] = after
        return None

    async def current_nonce(self, address: str) -> str:
        await self._turn("current_nonce")
        return nonces.current(self.shards.get(nonces.shard_of(address), nonces.Shard()), address)

    async def spent_fees(self) -> frozenset[str]:
        await self._turn("spent_fees")
        return self.ledger_.spent()

    async def spend_fee(self, chain_id: int, fee: orders.PaidFee) -> str | Refusal:
        await self._turn("spend_fee")
        found = spending.spend(self.ledger_, chain_id, fee, self.now())
        if isinstance(found, Refusal):
            return found
        self.ledger_, name = found
        return name

    async def free_fee(self, job: str) -> None:
        await self._turn("free_fee")
        self.ledger_ = spending.free(self.ledger_, job)

    async def ledger(self) -> spending.Ledger:
        await self._turn("ledger")
        return self.ledger_

    async def end_token(self, token: tokens.Token) -> None:
        self.ended.add(token.id)

    async def is_token_ended(self, token: tokens.Token) -> bool:
        await asyncio.sleep(0)
        return token.id in self.ended

    async def caller(self, token: str) -> Caller | None:
        if token == "down":  # noqa: S105 - no secret
            raise UnavailableError("the API server does not answer")
        return Caller("jobs", "loader", "pod", "uid") if token == "loader" else None  # noqa: S105 - as above

    async def pod_labels(self, caller: Any) -> Mapping[str, str] | None:
        return {}

    async def issue_nonce(self, address: str) -> str:
        await self._turn("issue_nonce")
        number = nonces.shard_of(address)
        found = nonces.issue(self.shards.get(number, nonces.Shard()), address, self.now() * 1000)
        assert not isinstance(found, Refusal)
        self.shards[number], nonce = found
        return nonce.text

    async def secret(self, namespace: str, name: str) -> Mapping[str, bytes] | None:
        return self.secrets.get((namespace, name))


@dataclass
class FakeRemotes:
    """Other providers: what they say is what a test puts there."""

    says: Initialized | Refusal = field(default_factory=lambda: Initialized(None, REMOTE_ORDER))
    files: int = 1
    asked: list[tuple[str, str, str, str]] = field(default_factory=list)

    async def routes(self, endpoint: str) -> Routes:
        await asyncio.sleep(0)
        return Routes("/f", "/i", "/d")

    async def count_files(self, place: Remote) -> int:
        await asyncio.sleep(0)
        return self.files

    async def initialize(self, place: Remote, consumer: str, transaction: str) -> Initialized:
        await asyncio.sleep(0)
        self.asked.append((place.endpoint, place.service_id, consumer, transaction))
        if isinstance(self.says, Refusal):
            raise Refused(self.says)
        return self.says


@dataclass
class FakeResults:
    """Results by the uid of their job: names and contents in the order of indices."""

    contents: dict[str, list[tuple[str, bytes]]] = field(default_factory=dict)
    pieces: Callable[[bytes], AsyncIterator[bytes]] | None = None
    expired: set[str] = field(default_factory=set)

    async def files(self, job: ComputeJob) -> tuple[ResultFile, ...] | Refusal:
        return tuple(
            ResultFile(name, "output", len(content), hashlib.sha256(content).hexdigest(), "")
            for name, content in self.contents.get(job.uid, [])
        )

    async def read(
        self, job: ComputeJob, index: int, span: tuple[int, int | None] | None
    ) -> Stored | Refusal:
        await asyncio.sleep(0)
        if job.uid in self.expired:
            return Refusal(Reason.RESULT_EXPIRED, "the results have expired")
        listed = self.contents.get(job.uid, [])
        if index >= len(listed):
            return Refusal(Reason.RESULT_UNKNOWN, "the job has no result of this index")
        name, content = listed[index]
        start, length = resolve(span, len(content))
        part = content[start : start + length]
        chunks = self.pieces(part) if self.pieces else _whole(part)
        digest = hashlib.sha256(content).hexdigest()
        return Stored(name, digest, len(content), start, length, chunks)


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content


def served(manifest: Mapping[str, Any], now: int, status: Json | None = None) -> Json:
    """Write what an API server makes of a manifest."""
    meta = manifest["metadata"]
    return {
        **manifest,
        "metadata": {
            **meta,
            "uid": f"uid-of-{meta['name']}",
            "resourceVersion": "1",
            "generation": 1,
            "creationTimestamp": format_time(moment(now)),
        },
        "status": status or {},
    }


def environment(name: str = "ocean-compute", **spec: Any) -> Environment:
    """Make an environment of the namespace `jobs` that accepts jobs."""
    quantities = {"cpu": "2", "memory": "4G", "disk": "10G"}
    body = {
        "metadata": {
            "namespace": "jobs",
            "name": name,
            "uid": "env-uid",
            "resourceVersion": "1",
            "generation": 1,
        },
        "spec": {
            "description": "a small one",
            "resources": {"default": quantities, "max": quantities},
            "maxJobs": 10,
            "maxJobDuration": 3600,
            "maxQueueDuration": 3600,
            "results": {"store": "s3://results/", "credentialsSecret": "result-store"},
            "pods": {"user": {}},
            "consumer": {"address": ENVIRONMENT_CONSUMER},
            **spec,
        },
        "status": {"runningJobs": 1, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    return parse_environment(body)


@dataclass
class World:
    """All of the outside, and a provider in it."""

    chains: FakeChains = field(default_factory=FakeChains)
    assets: FakeAssets = field(default_factory=FakeAssets)
    cluster: FakeCluster = field(default_factory=FakeCluster)
    results: FakeResults = field(default_factory=FakeResults)
    remotes: FakeRemotes = field(default_factory=FakeRemotes)
    who: Identity = field(default_factory=lambda: identity(PROVIDER_KEY))
    policy: Policy = field(default_factory=lambda: Policy(default_namespace="jobs"))
    now: int = NOW

    def __post_init__(self) -> None:
        """Let there be one free environment."""
        self.cluster.now = lambda: self.now
        self.chains.now = self.now
        self.offer(environment())

    def offer(self, one: Environment) -> None:
        """Let an environment be there."""
        self.cluster.environments_[EnvironmentName(one.namespace, one.name)] = one

    def context(self) -> Context:
        """Make what flows are given."""
        ports = Ports(self.chains, self.assets, self.cluster, self.results, self.remotes)
        return Context(ports, self.who, self.policy, lambda: self.now)

    def app(self, **manner: Any) -> Any:
        """Make the public application; nobody is limited unless a test says so."""
        clients = Clients(Limiter(1e6, 1e6))
        return public_app(
            self.context(),
            Manner(**{"clients": clients, "limits": Limits(), "watch_seconds": 3600, **manner}),
        )

    def publish(self, document: Json, *, owner: str = STRANGER, state: int = 0) -> Published:
        """Publish an asset."""
        parsed = ddo.parse(document)
        nft = Nft(parsed.nft, owner, state)
        metadata = Metadata(
            Document(b"", 0, "0x" + "00" * 32), "0x" + "11" * 32, 1, NOW, owner, "", False
        )
        published = Published(parsed, document, metadata, nft)
        self.assets.published_[parsed.id] = published
        self.chains.nfts[parsed.nft.lower()] = nft
        return published

    def order(self, transaction: str, asset: Published, service_id: str, **fee: Any) -> None:
        """Let a transaction have bought a service, for the environment's use of it."""
        service = asset.ddo.service(service_id)
        assert service is not None
        token = service.datatoken
        made = fee.pop("fee", None) or offered(
            address=self.who.address, offer=_offer(token, service_id)
        )
        bought = started(emitter=token, service_index=service.index, **fee)
        self.chains.receipts[transaction] = receipt(
            bought,
            charged(made, emitter=token),
            transaction=transaction,
            to=token,
            block_time=self.now - 60,
        )

    def pay(self, seconds: int = 600) -> None:
        """Let the dataset's order have paid for some seconds of compute, at `PRICES`."""
        offer = Offer(DATATOKENS[0], "compute", "jobs.ocean-compute", self.now - 100)
        fee = offered(
            address=self.who.address,
            token=TOKEN,
            amount=10**16 * seconds,
            offer=offer,
            valid_until=self.now - 100 + seconds,
        )
        self.order(DATASET_ORDER, self.publish(dataset()), "compute", fee=fee)


def _offer(datatoken: str, service_id: str) -> Any:
    return Offer(datatoken, service_id)


NFTS = ("0x8aCd85898458400f7Db866d53FCFF6f0D49741FF", "0x788F1E4a99fa704Edb43fAE71946cFFDDcC16ccB")
DATATOKENS = (
    "0xe082b26cEf079a095147F35c9647eC97c2401B83",
    "0x0Db1D0Cfcba97F7dc5AF76cfEC1a646c33cD9297",
)
DIGEST = "sha256:" + "ab" * 32


def dataset(**changes: Any) -> Json:
    """Write the DDO of a dataset with services `access` and `compute` that trust everything."""
    compute = {
        "allowRawAlgorithm": True,
        "publisherTrustedAlgorithms": [
            {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*"}
        ],
        "publisherTrustedAlgorithmPublishers": [],
        **changes.pop("compute", {}),
    }
    return _ddo(
        NFTS[0],
        "dataset",
        [
            _service("access", "access", DATATOKENS[0], **changes.pop("access", {})),
            _service("compute", "compute", DATATOKENS[0], compute=compute),
        ],
        **changes,
    )


def algorithm(**changes: Any) -> Json:
    """Write the DDO of an algorithm with a service `access`."""
    container = {
        "entrypoint": "python $ALGO",
        "image": "python",
        "tag": "3.11",
        "checksum": DIGEST,
        **changes.pop("container", {}),
    }
    metadata = {
        "algorithm": {"language": "python", "container": container, **changes.pop("metadata", {})}
    }
    services = [_service("access", "access", DATATOKENS[1])]
    return _ddo(NFTS[1], "algorithm", services, metadata=metadata, **changes)


def _ddo(nft: str, type_: str, services: list[Json], **changes: Any) -> Json:
    metadata = {"type": type_, "name": type_, **changes.pop("metadata", {})}
    return {
        "id": ddo.did(nft, CHAIN, "4.1.0"),
        "version": "4.1.0",
        "chainId": CHAIN,
        "nftAddress": nft,
        "metadata": metadata,
        "services": services,
        **changes,
    }


def _service(id_: str, type_: str, datatoken: str, **changes: Any) -> Json:
    return {
        "id": id_,
        "type": type_,
        "datatokenAddress": datatoken,
        "serviceEndpoint": "http://provider.example/v2",
        "files": "0x00",
        "timeout": 86400,
        **changes,
    }


DATASET_ORDER, ALGORITHM_ORDER = "0x" + "d1" * 32, "0x" + "a1" * 32


def market() -> World:
    """Make a world in which the consumer has bought a dataset and an algorithm."""
    world = World()
    world.order(DATASET_ORDER, world.publish(dataset()), "compute")
    world.order(ALGORITHM_ORDER, world.publish(algorithm()), "access")
    return world


def start_body(world: World, nonce: str = "1", key: bytes = CONSUMER_KEY, **changes: Any) -> Json:
    """Write a start of a job as ocean.js sends it."""
    did = ddo.did(NFTS[0], CHAIN, "4.1.0")
    consumer = changes.pop("consumerAddress", CONSUMER)
    return {
        "consumerAddress": consumer,
        "nonce": nonce,
        "signature": signed(f"{consumer}{did}{nonce}", key),
        "environment": "ocean-compute",
        "dataset": {"documentId": did, "serviceId": "compute", "transferTxId": DATASET_ORDER},
        "algorithm": {
            "documentId": ddo.did(NFTS[1], CHAIN, "4.1.0"),
            "serviceId": "access",
            "transferTxId": ALGORITHM_ORDER,
        },
        **changes,
    }


async def until(holds: Callable[[], bool], seconds: float = 5) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - what is waited for is a state, not an event
            await asyncio.sleep(0.005)

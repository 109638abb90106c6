"""What a loader is handed, and what it is told where everything is judged once more."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest

import chain_facts as chain
from asked_job import ALGORITHM, CALLER, DATASET, JOB, KEY, LABELS, resealed
from c2d_api.asset_request import MAX_ANSWER_BYTES, AssetRequest, FileOnRequest, decode_denied
from c2d_api.computeenvironment import Environment, parse_environment
from c2d_api.computejob import ComputeJob
from c2d_provider import fees, messages, ports, signatures
from c2d_provider.credentials import AccessList, Credentials, Entry
from c2d_provider.ddo import (
    AlgorithmMetadata,
    Compute,
    Container,
    Ddo,
    Service,
    TrustedAlgorithm,
)
from c2d_provider.files import FileObject, UrlFile
from c2d_provider.internal import Answer, Means, hand_out
from c2d_provider.naming import EnvironmentName
from c2d_provider.orders import Facts, Policy
from c2d_provider.refusals import Reason, Refusal, refuse
from c2d_provider.signing import Keyring
from fakes import environment_body
from provider_fakes import FakeRemotes

STRANGER = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
OTHER_NFT = "0x788F1E4a99fa704Edb43fAE71946cFFDDcC16ccB"
OWNER = "0x15d34AAf54267DB7D7c367839AAf71A00a2C6A65"
CODE = b"print('secret')"
CODE_DIGEST = hashlib.sha256(CODE).hexdigest()
CONTAINER_DIGEST = hashlib.sha256(f"python $ALGOsha256:{'5' * 64}".encode()).hexdigest()
TRUSTED = TrustedAlgorithm(ALGORITHM, "*", "*")
REQUEST = AssetRequest("jobs", "sum", 2).encode()
SIGNER = {"address": chain.ENVIRONMENT_CONSUMER, "keySecret": "environment-consumer"}
ENVIRONMENT_KEY = "0x7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
THERE = "https://other.example/secret"
CREATED = int(JOB.created.timestamp())


def service(datatoken: str, type_: str = "compute", **changes: Any) -> Service:
    made = Service(
        id=chain.SERVICE,
        index=1,
        type=type_,
        datatoken=datatoken,
        endpoint="",
        files="0x00",
        timeout=0,
        compute=Compute(trusted_algorithms=(TRUSTED,)) if type_ == "compute" else None,
        credentials=(),
        parameters=(),
    )
    return replace(made, **changes)


def ddo(did: str, nft: str, type_: str, service: Service) -> Ddo:
    metadata = AlgorithmMetadata(Container("", "", "", ""), ())
    algorithm = metadata if type_ == "algorithm" else None
    return Ddo(did, "4.1.0", 8996, nft, type_, algorithm, (service,), ())


def facts(datatoken: str, transaction: str, **changes: Any) -> Facts:
    """A good order of the service, made a minute before the job was created."""
    offer = fees.Offer(datatoken, chain.SERVICE)
    logs = (chain.started(emitter=datatoken), chain.charged(chain.offered(offer=offer), datatoken))
    receipt = {"transaction": transaction, "block_time": CREATED - 60}
    receipt |= {key: changes.pop(key) for key in list(changes) if key in ("logs", "succeeded")}
    read = Facts(
        receipt=chain.receipt(*logs, **receipt),
        originals={},
        head=chain.BLOCK,
        now=CREATED + 10**6,
        factory=chain.FACTORY,
        is_oceans=True,
        is_datatoken_of_nft=True,
    )
    return replace(read, **changes)


@dataclass
class World:
    """Cluster, chain and assets of a test, in one: a good job, and what the test changes of it."""

    job_: ComputeJob | None = JOB
    caller_: ports.Caller | None = CALLER
    labels: dict[str, str] | None = field(default_factory=lambda: dict(LABELS))
    bound: bool = True
    ddos: dict[str, Ddo] = field(
        default_factory=lambda: {
            DATASET: ddo(DATASET, chain.NFT, "dataset", service(chain.DATATOKEN)),
            ALGORITHM: ddo(
                ALGORITHM, OTHER_NFT, "algorithm", service(chain.OTHER_DATATOKEN, "access")
            ),
        }
    )
    states: dict[str, int] = field(default_factory=lambda: {chain.NFT: 0, OTHER_NFT: 0})
    read: dict[str, Facts] = field(
        default_factory=lambda: {
            chain.TRANSACTION: facts(chain.DATATOKEN, chain.TRANSACTION),
            chain.REUSE: facts(chain.OTHER_DATATOKEN, chain.REUSE),
        }
    )
    listed: dict[str, tuple[ports.Resolved, ...]] = field(
        default_factory=lambda: {
            DATASET: (
                ports.ResolvedRequest("https://a/secret", "POST", (("K", "secret"),), b"secret"),
                ports.Inline(b"secret"),
            ),
            ALGORITHM: (ports.ResolvedRequest("https://b/secret", "GET", ()),),
        }
    )
    checksum: str | None = CODE_DIGEST
    hashed: int = 0
    held: frozenset[AccessList] = frozenset()
    values: list[Any] = field(default_factory=list)
    broken: bool = False
    environment_: Environment | None = field(
        default_factory=lambda: parse_environment(environment_body(consumer=SIGNER))
    )
    secrets: dict[str, dict[str, bytes]] = field(
        default_factory=lambda: {"environment-consumer": {"key": ENVIRONMENT_KEY.encode()}}
    )
    issued: list[str] = field(default_factory=list)
    remotes: FakeRemotes = field(default_factory=FakeRemotes)

    async def caller(self, token: str) -> ports.Caller | None:
        assert token == "secret-token"  # noqa: S105 - a test's
        return self.caller_

    async def pod_labels(self, caller: ports.Caller) -> dict[str, str] | None:
        assert caller == self.caller_
        return self.labels

    async def job(self, name: str) -> ComputeJob | None:
        return self.job_ if self.job_ and name == self.job_.name else None

    async def environment(self, name: EnvironmentName) -> Environment | None:
        assert name == EnvironmentName(JOB.namespace, JOB.spec.environment)
        return self.environment_

    async def secret(self, namespace: str, name: str) -> dict[str, bytes] | None:
        assert namespace == "system"
        return self.secrets.get(name)

    async def issue_nonce(self, address: str) -> str:
        self.issued.append(address)
        return str(len(self.issued))

    async def bind_seal(self, job: ComputeJob) -> bool:
        assert job == self.job_
        return self.bound

    async def published(self, did: str, chain_id: int | None = None) -> ports.Published:
        if self.broken:
            raise ports.UnavailableError("the metadata cache does not answer")
        if did not in self.ddos:
            refuse(Reason.ASSET_UNKNOWN, "there is no such asset")
        found = self.ddos[did]
        stale = ports.Nft(found.nft, "", 3)
        return ports.Published(found, {"id": did, "ä": 1}, cast("ports.Metadata", None), stale)

    async def nft(self, chain_id: int, address: str) -> ports.Nft | Refusal:
        return ports.Nft(address, OWNER, self.states[address])

    async def lists_holding(
        self, consumer: str, lists: tuple[AccessList, ...]
    ) -> frozenset[AccessList]:
        assert consumer == chain.CONSUMER
        return self.held & frozenset(lists)

    async def order_facts(self, chain_id: int, transaction: str, nft: str, datatoken: str) -> Facts:
        return self.read[transaction]

    async def files_checksum(self, asset: ports.Published, service: Service) -> str | None:
        self.hashed += 1
        assert asset.ddo.id == ALGORITHM
        return self.checksum

    async def files(self, asset: ports.Published, service: Service) -> tuple[FileObject, ...]:
        return tuple(
            UrlFile(f"{asset.ddo.id} {number}", "GET", ())
            for number in range(len(self.listed[asset.ddo.id]))
        )

    async def resolve(self, file: FileObject, values: Any) -> ports.Resolved:
        assert isinstance(file, UrlFile)
        did, number = file.url.split(" ")
        self.values.append((did, dict(values)))
        return self.listed[did][int(number)]

    def change_ddo(self, did: str, **changes: Any) -> None:
        self.ddos[did] = replace(self.ddos[did], **changes)

    def change_service(self, did: str, **changes: Any) -> None:
        (only,) = self.ddos[did].services
        self.change_ddo(did, services=(replace(only, **changes),))

    def change_facts(self, transaction: str, **changes: Any) -> None:
        self.read[transaction] = replace(self.read[transaction], **changes)

    def trust(self, **trusted: Any) -> None:
        self.change_service(DATASET, compute=Compute(**trusted))


def means(world: World, **changes: Any) -> Means:
    made = Means(
        cluster=cast("ports.Cluster", world),
        chains=cast("ports.Chains", world),
        assets=cast("ports.Assets", world),
        seal_key=KEY,
        cluster_hash="0x" + "0" * 64,
        fee_addresses=frozenset({chain.PROVIDER}),
        policy=Policy(),
        remotes=world.remotes,
        keyring=Keyring("system", chain.PROVIDER, chain.PROVIDER_KEY),
    )
    return replace(made, **changes)


async def answered(world: World, body: bytes = REQUEST, **changes: Any) -> Answer:
    return await hand_out(means(world, **changes), "secret-token", body)


async def denied(world: World, **changes: Any) -> tuple[int, str, str]:
    answer = await answered(world, **changes)
    assert answer.status != 200
    assert b"secret" not in answer.body
    said = decode_denied(answer.body)
    return answer.status, said.error, said.kind


async def test_a_loader_is_handed_the_assets_of_its_job() -> None:
    world = World()
    answer = await answered(world)
    assert answer.status == 200
    assert json.loads(answer.body) == {
        "assets": [
            {
                "position": 0,
                "kind": "algorithm",
                "files": [{"request": {"url": "https://b/secret", "method": "GET", "headers": []}}],
                "ddo": f'{{"id":"{ALGORITHM}","ä":1}}',
            },
            {
                "position": 0,
                "kind": "dataset",
                "files": [
                    {
                        "request": {
                            "url": "https://a/secret",
                            "method": "POST",
                            "headers": [["K", "secret"]],
                            "body": "c2VjcmV0",
                        }
                    },
                    {"inline": "c2VjcmV0"},
                ],
                "ddo": f'{{"id":"{DATASET}","ä":1}}',
            },
        ]
    }
    assert world.values == [(ALGORITHM, {}), (DATASET, {"age": 7}), (DATASET, {"age": 7})]
    assert world.hashed == 0
    assert "secret" not in repr(answer)


async def test_each_request_is_answered_anew() -> None:
    world = World()
    await answered(world)
    world.listed[ALGORITHM] = (ports.ResolvedRequest("https://c/fresh", "GET", ()),)
    assert b"fresh" in (await answered(world)).body


def _named(**changes: str) -> Callable[[World], None]:
    entry = replace(TRUSTED, files_checksum=CODE_DIGEST, container_checksum=CONTAINER_DIGEST)
    return lambda world: world.trust(trusted_algorithms=(replace(entry, **changes),))


async def test_an_algorithm_that_is_trusted_by_digest_is_handed_with_its_digest() -> None:
    world = World()
    _named()(world)
    answer = json.loads((await answered(world)).body)
    assert [file["sha256"] for file in answer["assets"][0]["files"]] == [CODE_DIGEST]
    assert "sha256" not in answer["assets"][1]["files"][0]


async def test_content_that_no_request_brings_must_have_its_digest() -> None:
    world = World(listed={**World().listed, ALGORITHM: (ports.Inline(CODE),)})
    _named()(world)
    assert (await answered(world)).status == 200
    world.listed[ALGORITHM] = (ports.Inline(b"swapped"),)
    assert await denied(world) == (
        403,
        f"algorithm {ALGORITHM}: the files of the algorithm were changed just now",
        "algorithm",
    )


async def test_a_raw_algorithm_is_judged_as_such() -> None:
    raw = replace(
        JOB.spec.algorithm, id="", from_provider=False, order=None, raw_code="x", service_id=""
    )
    world = World(resealed(algorithm=raw))
    status, words, kind = await denied(world)
    assert (status, kind) == (403, "dataset")
    assert words == f"dataset {DATASET}: the dataset lets no raw code run"
    world.trust(allow_raw_algorithm=True)
    answer = await answered(world)
    assert [asset["kind"] for asset in json.loads(answer.body)["assets"]] == ["dataset"]


async def test_an_order_that_ended_since_the_start_still_counts() -> None:
    world = World()
    for did in (DATASET, ALGORITHM):
        world.change_service(did, timeout=61)
    assert world.read[chain.TRANSACTION].now > CREATED + 61
    assert (await answered(world)).status == 200
    world.change_service(DATASET, timeout=59)
    assert (await denied(world))[1] == f"dataset {DATASET}: The order has expired."


NETWORKED = resealed(
    allow_network_access=True,
    datasets=tuple(replace(one, allow_network_access=True) for one in JOB.spec.datasets),
)
"""The job as it is where environment and dataset gave its algorithm the network."""


async def test_a_dataset_that_still_allows_the_network_is_handed_out() -> None:
    world = World(NETWORKED)
    world.trust(trusted_algorithms=(TRUSTED,), allow_network_access=True)
    assert (await answered(world)).status == 200


@pytest.mark.parametrize("has_compute", [True, False])
async def test_a_dataset_that_no_longer_allows_the_network_is_not_handed_out(
    has_compute: bool,
) -> None:
    world = World(NETWORKED)
    compute = Compute(trusted_algorithms=(TRUSTED,)) if has_compute else None
    world.change_service(DATASET, compute=compute)
    assert await denied(world) == (
        403,
        f"dataset {DATASET}: the dataset no longer lets the algorithm use the network",
        "dataset",
    )
    assert world.values == []


async def test_the_algorithm_itself_has_no_say_in_the_network() -> None:
    world = World(NETWORKED)
    world.trust(trusted_algorithms=(TRUSTED,), allow_network_access=True)
    world.change_service(ALGORITHM, compute=Compute(allow_network_access=False))
    assert (await answered(world)).status == 200


CREDENTIALS = (Credentials(deny=(Entry("address", frozenset({chain.CONSUMER.lower()})),)),)
LIST = (8996, "0x" + "7" * 40)
LISTED = (Credentials(allow=(Entry("accessList", frozenset({LIST[1]})),)),)

ROWS: list[tuple[str, Callable[[World], Any], int, str]] = [
    ("nobody's token", lambda w: setattr(w, "caller_", None), 401, "the token is not"),
    ("a pod that is gone", lambda w: setattr(w, "labels", None), 401, "is gone"),
    ("no such job", lambda w: setattr(w, "job_", None), 404, "there is no such job"),
    (
        "somebody else's pod",
        lambda w: setattr(w, "caller_", replace(CALLER, pod_name="mine")),
        403,
        "only the loader of a job",
    ),
    (
        "a job that was changed",
        lambda w: setattr(w, "job_", replace(JOB, seal="v1:0")),
        403,
        "not created by this provider",
    ),
    ("a copy of a job", lambda w: setattr(w, "bound", False), 403, "a copy of one"),
    ("an asset that is gone", lambda w: w.ddos.pop(DATASET), 403, "there is no such asset"),
    (
        "an asset of another chain",
        lambda w: w.change_ddo(DATASET, chain_id=1),
        403,
        "not on the chain of its order",
    ),
    (
        "another asset",
        lambda w: w.change_ddo(DATASET, id=ALGORITHM),
        403,
        "not on the chain of its order",
    ),
    (
        "a service that is gone",
        lambda w: w.change_ddo(DATASET, services=()),
        403,
        "no longer has the service",
    ),
    (
        "a revoked dataset",
        lambda w: w.states.update({chain.NFT: 3}),
        403,
        "Asset is not consumable: it is revoked",
    ),
    (
        "a revoked algorithm",
        lambda w: w.states.update({OTHER_NFT: 1}),
        403,
        f"algorithm {ALGORITHM}: Asset is not consumable: it is end of life",
    ),
    (
        "an algorithm that is none",
        lambda w: w.change_ddo(ALGORITHM, type="dataset"),
        403,
        "the asset is not an algorithm",
    ),
    (
        "a dataset that is no longer for compute",
        lambda w: w.change_service(DATASET, type="access"),
        403,
        "the first dataset must be for compute",
    ),
    (
        "a consumer whom the asset denies by now",
        lambda w: w.change_ddo(DATASET, credentials=CREDENTIALS),
        403,
        "denies its use",
    ),
    (
        "a consumer whom the service denies by now",
        lambda w: w.change_service(ALGORITHM, credentials=CREDENTIALS),
        403,
        "denies its use",
    ),
    (
        "a consumer who is on no list",
        lambda w: w.change_service(DATASET, credentials=LISTED),
        403,
        "does not allow its use",
    ),
    ("no trust", lambda w: w.trust(), 403, "the dataset trusts no algorithm"),
    (
        "trust in others",
        lambda w: w.trust(trusted_publishers=(STRANGER,)),
        403,
        "does not trust the publisher",
    ),
    ("trust in other files", _named(files_checksum="0" * 64), 403, "not those that"),
    ("trust in another container", _named(container_checksum="0" * 64), 403, "not that which"),
    (
        "files that cannot be hashed",
        lambda w: (_named()(w), setattr(w, "checksum", None)),
        403,
        "not those that the dataset trusts",
    ),
    (
        "a file more than was hashed",
        lambda w: (_named()(w), w.listed.update({ALGORITHM: w.listed[ALGORITHM] * 2})),
        403,
        "changed just now",
    ),
    (
        "an order that a reorganisation took",
        lambda w: w.change_facts(chain.TRANSACTION, receipt=None),
        409,
        "the order transaction does not exist",
    ),
    (
        "an order with too few confirmations",
        lambda w: w.change_facts(chain.REUSE, head=chain.BLOCK - 1),
        409,
        "too few confirmations",
    ),
    (
        "an order that failed",
        lambda w: w.read.update(
            {chain.TRANSACTION: facts(chain.DATATOKEN, chain.TRANSACTION, succeeded=False)}
        ),
        403,
        "order transaction failed",
    ),
    (
        "an order of another asset",
        lambda w: w.read.update(
            {chain.TRANSACTION: facts(chain.OTHER_DATATOKEN, chain.TRANSACTION)}
        ),
        403,
        "Cannot find the event",
    ),
    (
        "an NFT of nobody",
        lambda w: w.change_facts(chain.TRANSACTION, is_oceans=False),
        403,
        "not made by Ocean's factory",
    ),
    (
        "an order that names an environment of another address",
        lambda w: setattr(
            w,
            "job_",
            replace(
                JOB,
                status=replace(
                    JOB.status, environment=replace(JOB.status.environment, consumer=STRANGER)
                ),
            ),
        ),
        403,
        "not the consumer/payer",
    ),
    (
        "an environment that names no address",
        lambda w: setattr(
            w,
            "job_",
            replace(
                JOB,
                status=replace(
                    JOB.status, environment=replace(JOB.status.environment, consumer=None)
                ),
            ),
        ),
        403,
        "not the consumer/payer",
    ),
    (
        "user data that are none",
        lambda w: setattr(
            w, "job_", resealed(datasets=(replace(JOB.spec.datasets[0], user_data="[]"),))
        ),
        403,
        "userdata must be an object",
    ),
    (
        "something outside that does not answer",
        lambda w: setattr(w, "broken", True),
        503,
        "the metadata cache does not answer",
    ),
    (
        "more than can be told",
        lambda w: w.listed.update({DATASET: (ports.Inline(bytes(MAX_ANSWER_BYTES)),)}),
        403,
        "more words than can be handed out",
    ),
]


@pytest.mark.parametrize(
    ("change", "status", "words"), [pytest.param(*row[1:], id=row[0]) for row in ROWS]
)
async def test_nothing_is_handed_out_for(
    change: Callable[[World], Any], status: int, words: str
) -> None:
    world = World()
    change(world)
    found, said, _ = await denied(world)
    assert (found, words in said) == (status, True), said


async def test_a_consumer_on_the_list_is_let_in() -> None:
    world = World(held=frozenset({LIST}))
    world.change_service(DATASET, credentials=LISTED)
    assert (await answered(world)).status == 200


async def test_nothing_is_resolved_before_everything_was_judged() -> None:
    world = World()
    world.trust()
    await denied(world)
    assert world.values == []


async def test_a_provider_of_the_old_rule_lets_empty_lists_allow() -> None:
    world = World()
    world.trust()
    assert (await answered(world, legacy_trust=True)).status == 200


@pytest.mark.parametrize("body", [b"", b"{}", b"[" * 4000, b'{"namespace": "secret"}'])
async def test_what_is_no_request_is_refused(body: bytes) -> None:
    answer = await answered(World(), body)
    assert answer.status == 403
    assert b"secret" not in answer.body


async def test_a_stranger_learns_nothing_of_what_jobs_there_are() -> None:
    world = World(caller_=None)
    there = await answered(world, REQUEST)
    not_there = await answered(world, AssetRequest("jobs", "none", 0).encode())
    assert there == not_there


def elsewhere() -> World:
    """A world in which another provider has the algorithm."""
    world = World()
    world.change_service(DATASET, endpoint="https://provider.example/v2")
    world.change_service(ALGORITHM, endpoint=f"{THERE}/")
    world.remotes.files = 2
    return world


async def fetched(world: World, file: FileOnRequest, **changes: Any) -> Answer:
    request = AssetRequest("jobs", "sum", 2, file).encode()
    return await answered(world, request, **{"urls": OURS, **changes})


OURS = ("https://provider.example",)
SECOND = FileOnRequest("algorithm", 0, 1)


async def test_files_of_another_provider_are_named_to_be_asked_for() -> None:
    world = elsewhere()
    answer = json.loads((await answered(world, urls=OURS)).body)
    algorithm, data = answer["assets"]
    assert algorithm["files"] == [
        {"onRequest": {"kind": "algorithm", "position": 0, "number": number}} for number in (0, 1)
    ]
    assert data["files"][1] == {"inline": "c2VjcmV0"}
    assert world.issued == [], "nothing is signed before it is to be sent"


async def test_a_file_of_another_provider_is_asked_for_anew_each_time() -> None:
    world = elsewhere()
    urls = []
    for _ in range(2):
        answer = await fetched(world, SECOND)
        assert answer.status == 200
        (asset,) = json.loads(answer.body)["assets"]
        (file,) = asset["files"]
        assert (asset["kind"], asset["position"], file["request"]["method"]) == (
            "algorithm",
            0,
            "GET",
        )
        urls.append(urlsplit(file["request"]["url"]))
        assert "secret" not in repr(answer)
    assert world.issued == [chain.ENVIRONMENT_CONSUMER] * 2
    for number, url in enumerate(urls, start=1):
        assert f"{url.scheme}://{url.netloc}{url.path}" == f"{THERE}/d"
        query = {name: value for name, (value,) in parse_qs(url.query).items()}
        signature = query.pop("signature")
        assert query == {
            "documentId": ALGORITHM,
            "serviceId": chain.SERVICE,
            "transferTxId": chain.REUSE,
            "fileIndex": "1",
            "consumerAddress": chain.ENVIRONMENT_CONSUMER,
            "nonce": str(number),
        }
        signed = signatures.verify(
            chain.ENVIRONMENT_CONSUMER, messages.download(ALGORITHM, str(number)), signature
        )
        assert not isinstance(signed, Refusal)
    assert world.values == [], "no file of ours is resolved along with it"


REMOTE_ROWS: list[tuple[str, Callable[[World], Any], str]] = [
    ("trust by digest", _named(), "not those that the dataset trusts"),
    (
        "no environment",
        lambda w: setattr(w, "environment_", None),
        "the environment has no key",
    ),
    ("no Secret", lambda w: w.secrets.clear(), "the environment has no key"),
    (
        "the key of another address",
        lambda w: w.secrets.update({"environment-consumer": {"key": b"11" * 32}}),
        "the environment has no key",
    ),
    (
        "a service for compute",
        lambda w: w.change_service(ALGORITHM, type="compute"),
        "offered by another provider",
    ),
    (
        "an endpoint that nobody is asked at",
        lambda w: w.change_service(ALGORITHM, endpoint=f"{THERE}?secret"),
        "offered by another provider",
    ),
    (
        "an order for the consumer",
        lambda w: w.read.update(
            {
                chain.REUSE: replace(
                    w.read[chain.REUSE],
                    receipt=chain.receipt(
                        chain.started(emitter=chain.OTHER_DATATOKEN, consumer=chain.CONSUMER),
                        transaction=chain.REUSE,
                        block_time=CREATED - 60,
                    ),
                )
            }
        ),
        "not the consumer/payer",
    ),
]


@pytest.mark.parametrize(
    ("change", "words"), [pytest.param(*row[1:], id=row[0]) for row in REMOTE_ROWS]
)
@pytest.mark.parametrize("file", [None, SECOND], ids=["all", "one file"])
async def test_nothing_is_signed_for(
    change: Callable[[World], Any], words: str, file: FileOnRequest | None
) -> None:
    world = elsewhere()
    change(world)
    body = AssetRequest("jobs", "sum", 2, file).encode()
    answer = await answered(world, body, urls=OURS)
    assert answer.status == 403
    assert b"secret" not in answer.body
    assert words in decode_denied(answer.body).error
    assert world.issued == []


@pytest.mark.parametrize(
    "file",
    [
        pytest.param(FileOnRequest("dataset", 0, 0), id="one of ours"),
        pytest.param(FileOnRequest("dataset", 7, 0), id="no such dataset"),
    ],
)
async def test_only_files_of_another_provider_are_asked_for_one_by_one(file: FileOnRequest) -> None:
    world = elsewhere()
    answer = await fetched(world, file)
    assert (answer.status, world.issued, world.values) == (403, [], [])


async def test_a_loader_of_another_job_has_nothing_signed() -> None:
    world = elsewhere()
    world.caller_ = replace(CALLER, pod_name="mine")
    assert (await fetched(world, SECOND)).status == 403
    assert world.issued == []


async def test_a_remote_order_needs_no_fee_of_ours() -> None:
    world = elsewhere()
    fee = chain.charged(
        chain.offered(address=STRANGER, offer=fees.Offer(chain.OTHER_DATATOKEN, chain.SERVICE)),
        chain.OTHER_DATATOKEN,
        chain.STRANGER_KEY,
    )
    receipt = chain.receipt(
        chain.started(emitter=chain.OTHER_DATATOKEN),
        fee,
        transaction=chain.REUSE,
        block_time=CREATED - 60,
    )
    world.change_facts(chain.REUSE, receipt=receipt)
    assert (await answered(world, urls=OURS)).status == 200
    world.change_service(ALGORITHM, endpoint="https://provider.example")
    assert (await answered(world, urls=OURS)).status == 403, "as one of ours, it does"

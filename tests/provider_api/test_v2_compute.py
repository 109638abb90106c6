"""Provider v2's compute routes over HTTP: jobs are started, told of, stopped, deleted."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from c2d_api.computejob import parse_job
from c2d_provider import jobs, orders
from c2d_provider.context import Policy
from c2d_provider.refusals import Reason, Refusal
from c2d_provider.wire.exchange import Limits
from chain_facts import CONSUMER, STRANGER, STRANGER_KEY
from provider_fakes import (
    ALGORITHM_ORDER,
    CHAIN,
    DATASET_ORDER,
    NOW,
    PRICES,
    World,
    algorithm,
    dataset,
    environment,
    market,
    served,
    signed,
    start_body,
)

COMPUTE = "/v2/api/services/compute"
OTHER_ORDER = "0x" + "d2" * 32
Client = TestClient[Any, Any]


@pytest.fixture
def world() -> World:
    return market()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(world.app())) as found:
        yield found


async def start(client: Client, body: dict[str, Any]) -> tuple[int, Any]:
    async with client.post(COMPUTE, json=body) as response:
        return response.status, await response.json()


async def test_a_start_makes_one_sealed_job(client: Client, world: World) -> None:
    body = start_body(world)
    body["dataset"]["userdata"] = {"year": "2020"}
    body["algorithm"]["algocustomdata"] = {"k": "v"}
    status, answer = await start(client, body)
    assert status == 200
    (job,) = world.cluster.jobs_.values()
    (told,) = answer
    assert (told["jobId"], told["owner"], told["status"]) == (job.name, CONSUMER, 1)
    assert told["agreementId"] == ALGORITHM_ORDER
    assert jobs.is_ours(job, world.who.seal_key)
    (manifest,) = world.cluster.manifests
    assert manifest["metadata"]["namespace"] == "jobs"
    spec = manifest["spec"]
    assert "suspend" not in spec
    assert "maxDuration" not in spec
    (bought,) = spec["datasets"]
    assert bought["source"] == {"provider": {}}
    assert bought["userData"] == '{"year":"2020"}'
    assert bought["order"] == {
        "chainId": CHAIN,
        "transactionHash": DATASET_ORDER,
        "validUntil": "2027-01-16T07:59:00Z",  # a day after the block of the purchase
    }
    assert spec["algorithm"]["container"] == {
        "image": "python",
        "tag": "3.11",
        "digest": "sha256:" + "ab" * 32,
        "entrypoint": "python $ALGO",
    }
    assert spec["algorithm"]["customData"] == '{"k":"v"}'


async def test_two_racing_starts_that_are_identical_make_one_job(
    client: Client, world: World
) -> None:
    body = start_body(world)
    answers = await asyncio.gather(*(start(client, body) for _ in range(8)))
    assert sorted(status for status, _ in answers) == [200, *[400] * 7]
    assert len(world.cluster.jobs_) == 1
    assert len(world.cluster.manifests) == 1


async def test_a_fee_that_two_starts_race_for_pays_for_one(client: Client, world: World) -> None:
    world.offer(environment(prices=PRICES))
    world.pay()
    answers = await asyncio.gather(
        *(start(client, start_body(world, nonce=str(n))) for n in range(1, 9))
    )
    assert [status for status, _ in answers].count(200) == 1
    assert len(world.cluster.jobs_) == 1
    refused = [body for status, body in answers if status != 200]
    fees, used = {"order": "fees_not_paid"}, "Invalid signature expected nonce"
    assert all(
        body.get("error") == fees or str(body["errors"]["signature"]).startswith(used)
        for body in refused
    )


async def test_a_paid_job_runs_as_long_as_was_paid_for(client: Client, world: World) -> None:
    world.offer(environment(prices=PRICES))
    world.pay()
    status, _ = await start(client, start_body(world))
    assert status == 200
    (job,) = world.cluster.jobs_.values()
    assert job.spec.max_duration == 600
    assert world.cluster.ledger_.spent() == {f"{DATASET_ORDER}-1"}
    order = job.spec.datasets[0].order
    assert order is not None
    # the fee's end, what it took to mine it, and the grace
    assert order.valid_until == NOW + 500 + 40 + 90


async def test_a_fee_of_another_chain_does_not_pay(client: Client, world: World) -> None:
    """Its token may be anything there; a fee does not say which chain it is for."""
    world.chains.ids = (CHAIN, 1)
    world.offer(environment(prices=[{**PRICES[0], "chainId": 1}]))
    world.pay()
    status, answer = await start(client, start_body(world))
    assert (status, answer) == (400, {"error": {"order": "fees_not_paid"}})
    assert world.cluster.jobs_ == {}


async def test_an_unpaid_fee_starts_nothing_and_takes_no_nonce(
    client: Client, world: World
) -> None:
    world.offer(environment(prices=PRICES))
    status, answer = await start(client, start_body(world))
    assert (status, answer) == (400, {"error": {"order": "fees_not_paid"}})
    assert world.cluster.shards == {}


async def test_a_job_that_the_api_server_refuses_frees_its_fee(
    client: Client, world: World
) -> None:
    world.offer(environment(prices=PRICES))
    world.pay()
    world.cluster.refuses = Refusal(Reason.JOB_REFUSED, "exceeded quota")
    status, answer = await start(client, start_body(world))
    assert (status, answer) == (400, {"error": "exceeded quota"})
    world.cluster.refuses = None
    status, _ = await start(client, start_body(world, nonce="2"))
    assert status == 200


async def test_an_api_server_that_fails_for_a_moment_costs_no_fee(
    client: Client, world: World
) -> None:
    world.offer(environment(prices=PRICES))
    world.pay()
    world.cluster.down["create_job"] = 2
    status, _ = await start(client, start_body(world))
    assert status == 200
    assert len(world.cluster.jobs_) == 1


async def test_an_order_with_too_few_confirmations_makes_a_suspended_job(world: World) -> None:
    world.policy = Policy(default_namespace="jobs", orders=orders.Policy(confirmations=22))
    async with TestClient(TestServer(world.app())) as client:
        status, _ = await start(client, start_body(world))
    assert status == 200
    (job,) = world.cluster.jobs_.values()
    assert job.spec.suspend
    assert jobs.is_ours(job, world.who.seal_key)


async def test_a_raw_algorithm_runs_where_it_may(client: Client, world: World) -> None:
    meta = {
        "rawcode": "print(1)",
        "container": {
            "image": "python",
            "entrypoint": "python $ALGO",
            "checksum": "sha256:" + "cd" * 32,
        },
    }
    status, _ = await start(client, start_body(world, algorithm={"meta": meta}))
    assert status == 200
    (manifest,) = world.cluster.manifests
    assert manifest["spec"]["algorithm"]["rawCode"] == "print(1)"
    world.publish(dataset(compute={"allowRawAlgorithm": False}))
    body = start_body(world, nonce="2", algorithm={"meta": meta})
    assert await start(client, body) == (400, {"error": {"dataset": "no_raw_algo_allowed"}})


def networks(world: World) -> tuple[bool, list[bool]]:
    """Read what the one job says of the network, and what its datasets do."""
    (job,) = world.cluster.jobs_.values()
    assert jobs.is_ours(job, world.who.seal_key)
    datasets = [one.allow_network_access for one in job.spec.datasets]
    return job.spec.allow_network_access, datasets


@pytest.mark.parametrize(
    ("environment_allows", "dataset_allows"),
    [(True, True), (True, False), (False, True), (False, False)],
)
async def test_an_algorithm_has_the_network_where_environment_and_dataset_allow_it(
    client: Client, world: World, environment_allows: bool, dataset_allows: bool
) -> None:
    world.offer(environment(allowNetworkAccess=environment_allows))
    world.publish(dataset(compute={"allowNetworkAccess": dataset_allows}))
    assert (await start(client, start_body(world)))[0] == 200
    both = environment_allows and dataset_allows
    assert networks(world) == (both, [both])


@pytest.mark.parametrize("second_allows", [True, False, None])
async def test_an_algorithm_has_the_network_where_every_dataset_allows_it(
    client: Client, world: World, second_allows: bool | None
) -> None:
    world.offer(environment(allowNetworkAccess=True))
    says = {} if second_allows is None else {"compute": {"allowNetworkAccess": second_allows}}
    body = start_body(world)
    two = dataset(compute={"allowNetworkAccess": True}, access=says)
    world.order(OTHER_ORDER, world.publish(two), "access")
    more = {**body["dataset"], "serviceId": "access", "transferTxId": OTHER_ORDER}
    status, answer = await start(client, {**body, "additionalDatasets": [more]})
    assert status == 200, answer
    allows = second_allows is True
    assert networks(world) == (allows, [allows, allows])


async def test_raw_code_has_the_network_as_published_code_has(client: Client, world: World) -> None:
    world.offer(environment(allowNetworkAccess=True))
    world.publish(dataset(compute={"allowNetworkAccess": True}))
    container = {"image": "a", "entrypoint": "python $ALGO", "checksum": "sha256:" + "cd" * 32}
    meta = {"rawcode": "print(1)", "container": container}
    assert (await start(client, start_body(world, algorithm={"meta": meta})))[0] == 200
    assert networks(world) == (True, [True])


async def test_a_consumer_cannot_ask_for_the_network(client: Client, world: World) -> None:
    world.offer(environment(allowNetworkAccess=True))
    body = start_body(world, allowNetworkAccess=True)
    for part in ("dataset", "algorithm"):
        body[part]["allowNetworkAccess"] = True
    body["algorithm"]["algocustomdata"] = {"allowNetworkAccess": True}
    assert (await start(client, body))[0] == 200
    assert networks(world) == (False, [False])


def renamed(name: str, **changes: Any) -> Any:
    def change(world: World, body: dict[str, Any]) -> None:
        body[name] = {**body[name], **changes}

    return change


def published(**changes: Any) -> Any:
    return lambda world, body: world.publish(dataset(**changes))


def trusting(**changes: Any) -> Any:
    return published(compute={"publisherTrustedAlgorithms": [changes] if changes else []})


ALGORITHM_DID = algorithm()["id"]
DATASET_DID = dataset()["id"]
UNKNOWN = "did:op:" + "00" * 32
DENIED = "Error: Access to asset {} was denied with code: ConsumableCodes.{}."
LISTED = {"allow": [{"type": "address", "values": [STRANGER]}]}
REFUSED: dict[str, tuple[Any, Any]] = {
    "an unknown dataset": (
        renamed("dataset", documentId=UNKNOWN),
        None,  # the DID is signed
    ),
    "an unknown algorithm": (
        renamed("algorithm", documentId=UNKNOWN),
        {"algorithm": "did_not_found"},
    ),
    "an unknown service": (
        renamed("dataset", serviceId="other"),
        {"dataset.serviceId": "not_found"},
    ),
    "a service for access alone": (
        renamed("dataset", serviceId="access"),
        {"dataset.serviceId": "main_service_compute"},
    ),
    "a dataset for an algorithm": (
        renamed("algorithm", documentId=DATASET_DID),
        {"algorithm": "not_algo"},
    ),
    "an order that does not exist": (
        renamed("dataset", transferTxId="0x" + "77" * 32),
        {"dataset.serviceId": "order_invalid"},
    ),
    "an order of something else": (
        renamed("dataset", transferTxId=ALGORITHM_ORDER),
        {"dataset.serviceId": "order_invalid"},
    ),
    "an algorithm's order of something else": (
        renamed("algorithm", transferTxId=DATASET_ORDER),
        {"algorithm": "in_use_or_not_on_chain"},
    ),
    "nobody trusted": (trusting(), {"dataset": "no_publisherTrustedAlgorithms"}),
    "another algorithm trusted": (
        trusting(did=UNKNOWN, filesChecksum="*", containerSectionChecksum="*"),
        {"dataset": "not_trusted_algo"},
    ),
    "other files trusted": (
        trusting(did=ALGORITHM_DID, filesChecksum="1" * 64, containerSectionChecksum="*"),
        {"dataset": "algorithm_file_checksum_mismatch"},
    ),
    "another container trusted": (
        trusting(did=ALGORITHM_DID, filesChecksum="0" * 64, containerSectionChecksum="1"),
        {"dataset": "algorithm_container_checksum_mismatch"},
    ),
    "a container without a digest": (
        lambda world, body: world.publish(algorithm(container={"checksum": "latest"})),
        {"algorithm.container": "checksum_prefix"},
    ),
    "a dataset that allows another": (
        published(credentials=LISTED),
        {"dataset": DENIED.format(DATASET_DID, "CREDENTIAL_NOT_IN_ALLOW_LIST")},
    ),
    "a retired dataset": (
        lambda world, body: world.publish(dataset(), state=1),
        {"dataset": DENIED.format(DATASET_DID, "ASSET_DISABLED")},
    ),
    "an environment that is none": (
        lambda world, body: body.update(environment="jobs.other"),
        "Compute environment does not exist",
    ),
    "a dataset named twice": (
        lambda world, body: body.update(additionalDatasets=[body["dataset"]]),
        {"datasets[1]": "the service is named twice"},
    ),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_start_is_refused_before_anything_is_written(
    client: Client, world: World, case: str
) -> None:
    change, error = REFUSED[case]
    body = start_body(world)
    change(world, body)
    status, answer = await start(client, body)
    assert status == 400
    if error is not None:
        assert answer == {"error": error}
    assert world.cluster.shards == {}
    assert world.cluster.jobs_ == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nonce": "2"}, ["Invalid signature provided. Please check the nonce or documentId."]),
        (
            {"consumerAddress": STRANGER},
            ["Invalid signature provided. Please check the nonce or documentId."],
        ),
        ({"signature": ""}, ["The signature field is required."]),
    ],
)
async def test_a_start_that_was_not_signed_is_refused(
    client: Client, world: World, change: dict[str, str], said: Any
) -> None:
    status, answer = await start(client, {**start_body(world), **change})
    assert (status, answer["errors"]["signature"]) == (400, said)
    assert world.cluster.shards == {}


async def test_a_stranger_cannot_use_an_order(client: Client, world: World) -> None:
    body = start_body(world, key=STRANGER_KEY, consumerAddress=STRANGER)
    status, answer = await start(client, body)
    assert (status, answer) == (400, {"error": {"dataset.serviceId": "order_invalid"}})


async def test_a_start_in_other_letter_case_is_the_same_start(client: Client, world: World) -> None:
    assert (await start(client, start_body(world)))[0] == 200
    lower = CONSUMER.lower()
    status, answer = await start(client, start_body(world, consumerAddress=lower))
    assert status == 400
    assert "expected nonce (1) > current nonce (1)" in answer["errors"]["signature"]
    assert len(world.cluster.jobs_) == 1


async def ask(client: Client, method: str, **asked: str) -> tuple[int, Any]:
    async with client.request(method, COMPUTE, params=asked) as response:
        return response.status, await response.json()


async def started_job(client: Client, world: World) -> str:
    assert (await start(client, start_body(world)))[0] == 200
    return str(next(iter(world.cluster.jobs_)))


async def test_a_job_is_told_to_who_names_its_consumer(client: Client, world: World) -> None:
    name = await started_job(client, world)
    status, answer = await ask(client, "GET", consumerAddress=CONSUMER, jobId=name)
    assert status == 200
    assert [(job["jobId"], job["status"]) for job in answer] == [(name, 1)]
    assert (await ask(client, "GET", consumerAddress=CONSUMER.lower()))[1] == answer
    assert await ask(client, "GET", consumerAddress=STRANGER, jobId=name) == (200, [])
    assert await ask(client, "GET", consumerAddress=STRANGER) == (200, [])
    assert await ask(client, "GET", consumerAddress=CONSUMER, jobId="0" * 32) == (200, [])


async def test_a_finished_job_lists_its_files(client: Client, world: World) -> None:
    name = await started_job(client, world)
    finish(world, name, count=2)
    world.results.contents[f"uid-of-{name}"] = [("a.csv", b"12345"), ("algorithm.log", b"")]
    _, (job,) = await ask(client, "GET", consumerAddress=CONSUMER, jobId=name)
    assert (job["status"], job["statusText"]) == (70, "Job finished")
    assert float(job["dateFinished"]) > float(job["dateCreated"])
    assert [(file["filename"], file["filesize"], file["index"]) for file in job["results"]] == [
        ("a.csv", 5, 0),
        ("algorithm.log", 0, 1),
    ]


def finish(world: World, name: str, count: int) -> None:
    """Let the operator have finished a job; its status lists fewer files than there are."""
    status = {
        "completionTime": "2027-01-15T09:00:00Z",
        "ocean": {"status": 70, "statusText": "Job finished"},
        "results": {
            "count": count,
            "totalBytes": 5,
            "manifestDigest": "sha256:" + "00" * 32,
            "files": [{"name": "a.csv", "size": 5, "type": "output"}],
        },
    }
    (manifest,) = (m for m in world.cluster.manifests if m["metadata"]["name"] == name)
    world.cluster.jobs_[name] = parse_job(served(manifest, NOW, status))


@pytest.mark.parametrize("has_nonce", [True, False], ids=["ocean.py", "ocean.js"])
async def test_a_job_is_stopped_by_its_owner(client: Client, world: World, has_nonce: bool) -> None:
    name = await started_job(client, world)
    did = DATASET_DID if has_nonce else ""
    text = f"{CONSUMER}{name}{did}{'2' if has_nonce else ''}"
    asked = {"consumerAddress": CONSUMER, "jobId": name, "nonce": "2", "signature": signed(text)}
    status, (job,) = await ask(client, "PUT", **asked, **({"documentId": did} if did else {}))
    assert (status, job["jobId"], job["stopreq"]) == (200, name, 1)
    assert world.cluster.stops == [(name, "Requested")]
    again = await ask(client, "PUT", **asked, **({"documentId": did} if did else {}))
    assert again[0] == (400 if has_nonce else 200)
    assert world.cluster.stops == [(name, "Requested")]


async def test_a_stop_sent_again_as_a_deletion_deletes_nothing(
    client: Client, world: World
) -> None:
    name = await started_job(client, world)
    asked = {"consumerAddress": CONSUMER, "jobId": name, "nonce": "2"}
    asked["signature"] = signed(f"{CONSUMER}{name}")
    assert (await ask(client, "PUT", **asked))[0] == 200
    assert (await ask(client, "DELETE", **asked))[0] == 400
    asked["documentId"] = DATASET_DID
    asked["signature"] = signed(f"{CONSUMER}{name}{DATASET_DID}2")
    assert (await ask(client, "PUT", **asked))[0] == 200
    status, answer = await ask(client, "DELETE", **asked)
    assert (status, answer["errors"]["signature"]) == (400, "the signature was used before")
    assert name in world.cluster.jobs_


async def test_a_job_is_deleted_by_its_owner_alone(client: Client, world: World) -> None:
    name = await started_job(client, world)
    mine = {"jobId": name, "documentId": DATASET_DID, "nonce": "2"}
    text = f"{STRANGER}{name}{DATASET_DID}2"
    theirs = {**mine, "consumerAddress": STRANGER, "signature": signed(text, STRANGER_KEY)}
    for method in ("PUT", "DELETE"):
        assert await ask(client, method, **theirs) == (404, {"error": "there is no such job"})
    mine |= {
        "consumerAddress": CONSUMER,
        "signature": signed(f"{CONSUMER}{name}{DATASET_DID}2"),
    }
    status, (job,) = await ask(client, "DELETE", **mine)
    assert (status, job["jobId"]) == (200, name)
    assert world.cluster.jobs_ == {}


async def test_a_start_that_is_given_up_half_way_comes_to_its_end(world: World) -> None:
    """The nonce is taken and the fee is spent: the job must come of it."""
    world.offer(environment(prices=PRICES))
    world.pay()
    world.cluster.gate = asyncio.Event()
    app = world.app(limits=Limits(answer_seconds=0.1))
    async with TestClient(TestServer(app)) as client:
        assert await start(client, start_body(world)) == (
            503,
            {"error": "The request took too long."},
        )
        assert world.cluster.jobs_ == {}
        world.cluster.gate.set()
    (job,) = world.cluster.jobs_.values()
    assert world.cluster.ledger_.spendings[f"{DATASET_ORDER}-1"].job == job.name


async def test_a_changed_job_is_not_ours(client: Client, world: World) -> None:
    await started_job(client, world)
    (job,) = world.cluster.jobs_.values()
    swapped = replace(job, spec=replace(job.spec, consumer=STRANGER))
    assert jobs.is_ours(job, world.who.seal_key)
    assert not jobs.is_ours(swapped, world.who.seal_key)

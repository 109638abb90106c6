"""Jobs with assets of another provider: what is asked of it, what is judged here, what is paid."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from c2d_provider import fees
from c2d_provider.confirming import Watcher
from c2d_provider.context import Policy
from c2d_provider.orders import Policy as OrderPolicy
from c2d_provider.ports import Initialized
from c2d_provider.refusals import Reason, Refusal
from chain_facts import (
    CONSUMER,
    ENVIRONMENT_CONSUMER,
    PROVIDER_KEY,
    STRANGER,
    STRANGER_KEY,
    TOKEN,
    offered,
)
from provider_fakes import (
    ALGORITHM_ORDER,
    DATASET_ORDER,
    DATATOKENS,
    NOW,
    PRICES,
    REMOTE_ORDER,
    World,
    algorithm,
    dataset,
    environment,
    market,
    start_body,
)

SERVICES = "/v2/api/services"
OURS, THERE = "http://provider.example", "https://other.example/v2"
ENVIRONMENT_KEY = b"7c852118294e51e653712a81e05800f419141751be58f605c371e15141b007a6"
SIGNER = {"address": ENVIRONMENT_CONSUMER, "keySecret": "environment-consumer"}
REMOTE_FEE = fees.sign(offered(address=STRANGER, amount=0), STRANGER_KEY)
Client = TestClient[Any, Any]


def remote_dataset(**access: Any) -> dict[str, Any]:
    return dataset(access={"serviceEndpoint": f"{THERE}/", **access})


def remote_algorithm() -> dict[str, Any]:
    found = algorithm()
    found["services"][0]["serviceEndpoint"] = THERE
    return found


def signing(world: World, **changes: Any) -> World:
    """Give the environment a key, and the provider a URL: what assets of others need."""
    world.policy = replace(world.policy, urls=(OURS,), system_namespace="system")
    world.cluster.secrets["system", "environment-consumer"] = {"key": ENVIRONMENT_KEY}
    world.offer(environment(consumer=SIGNER, **changes))
    return world


@pytest.fixture
def world() -> World:
    """A world in which the dataset's service for access is another provider's, and ordered."""
    world = signing(market())
    world.order(REMOTE_ORDER, world.publish(remote_dataset()), "access")
    return world


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(world.app())) as found:
        yield found


def body(world: World, **changes: Any) -> dict[str, Any]:
    """Write a start with the other provider's service beside the one that is computed on."""
    more = {
        "documentId": dataset()["id"],
        "serviceId": "access",
        "transferTxId": REMOTE_ORDER,
        "userdata": {},
    }
    return start_body(world, additionalDatasets=[more], **changes)


async def start(client: Client, sent: dict[str, Any]) -> tuple[int, Any]:
    async with client.post(f"{SERVICES}/compute", json=sent) as response:
        return response.status, await response.json()


async def test_a_dataset_of_another_provider_is_ordered_and_named_in_the_job(
    client: Client, world: World
) -> None:
    status, answer = await start(client, body(world))
    assert status == 200, answer
    (job,) = world.cluster.jobs_.values()
    second = job.spec.datasets[1]
    assert (second.service_id, second.from_provider) == ("access", True)
    assert second.order is not None
    assert second.order.transaction == REMOTE_ORDER
    assert "other.example" not in str(world.cluster.manifests)
    assert ENVIRONMENT_KEY.decode() not in str(world.cluster.manifests)
    assert world.remotes.asked == [(THERE, "access", ENVIRONMENT_CONSUMER, REMOTE_ORDER)]


@pytest.mark.parametrize(
    ("says", "has_network"),
    [
        pytest.param({"compute": {"allowNetworkAccess": True}}, True, id="it allows it"),
        pytest.param({"compute": {"allowNetworkAccess": False}}, False, id="it does not"),
        pytest.param({}, False, id="it says nothing"),
    ],
)
async def test_a_dataset_of_another_provider_says_whether_there_is_a_network(
    client: Client, world: World, says: dict[str, Any], has_network: bool
) -> None:
    signing(world, allowNetworkAccess=True)
    there = {"serviceEndpoint": f"{THERE}/", **says}
    two = dataset(compute={"allowNetworkAccess": True}, access=there)
    world.order(REMOTE_ORDER, world.publish(two), "access")
    status, answer = await start(client, body(world))
    assert status == 200, answer
    (job,) = world.cluster.jobs_.values()
    assert job.spec.allow_network_access is has_network


async def test_an_algorithm_of_another_provider_runs_where_anything_may(
    client: Client, world: World
) -> None:
    world.order(ALGORITHM_ORDER, world.publish(remote_algorithm()), "access")
    status, answer = await start(client, start_body(world))
    assert status == 200, answer


@pytest.mark.parametrize(
    "trusted",
    [
        pytest.param({"filesChecksum": "0" * 64}, id="by its files"),
        pytest.param({"filesChecksum": "0" * 64, "did": algorithm()["id"]}, id="by name and files"),
    ],
)
async def test_an_algorithm_whose_files_are_not_ours_to_see_fits_no_digest(
    client: Client, world: World, trusted: dict[str, str]
) -> None:
    entry = {"did": "*", "filesChecksum": "*", "containerSectionChecksum": "*", **trusted}
    lists = {"publisherTrustedAlgorithms": [entry]}
    world.order(DATASET_ORDER, world.publish(dataset(compute=lists)), "compute")
    status, answer = await start(client, start_body(world))
    assert status == 200, "ours is hashed, and fits"
    world.order(ALGORITHM_ORDER, world.publish(remote_algorithm()), "access")
    status, answer = await start(client, start_body(world, nonce="2"))
    assert (status, answer) == (400, {"error": {"dataset": "algorithm_file_checksum_mismatch"}})


def without_key(world: World) -> None:
    world.offer(environment())


def with_anothers_key(world: World) -> None:
    world.cluster.secrets["system", "environment-consumer"] = {"key": PROVIDER_KEY.hex().encode()}


def for_the_consumer(world: World) -> None:
    asset = world.publish(remote_dataset())
    world.order(REMOTE_ORDER, asset, "access", consumer=CONSUMER)


def of_another(world: World) -> None:
    asset = world.publish(remote_dataset())
    world.order(REMOTE_ORDER, asset, "access", payer=STRANGER)


def says(answer: Initialized | Refusal) -> Any:
    return lambda world: setattr(world.remotes, "says", answer)


OTHER_SERVICE = {"datasets[1].serviceId": "compute_services_not_in_same_provider"}


@pytest.mark.parametrize(
    ("change", "error"),
    [
        pytest.param(without_key, OTHER_SERVICE, id="an environment without a key"),
        pytest.param(with_anothers_key, OTHER_SERVICE, id="the key of another address"),
        pytest.param(
            for_the_consumer, {"datasets[1].serviceId": "order_invalid"}, id="not for the signer"
        ),
        pytest.param(of_another, {"datasets[1].serviceId": "order_invalid"}, id="another's order"),
        pytest.param(
            says(Initialized(REMOTE_FEE, None)),
            {"datasets[1].serviceId": "order_invalid"},
            id="an order that its provider does not take",
        ),
        pytest.param(
            says(Refusal(Reason.REMOTE_PROVIDER, "the asset's provider: refuses")),
            {"datasets[1]": "file_unavailable"},
            id="a provider that refuses",
        ),
        pytest.param(
            lambda world: world.publish(remote_dataset(serviceEndpoint="http://u@other.example")),
            OTHER_SERVICE,
            id="an endpoint that nobody is asked at",
        ),
        pytest.param(
            lambda world: world.publish(remote_dataset(type="compute")),
            OTHER_SERVICE,
            id="a service for compute, which stays with its provider",
        ),
    ],
)
async def test_a_start_with_an_asset_of_another_provider_is_refused(
    client: Client, world: World, change: Any, error: dict[str, str]
) -> None:
    change(world)
    status, answer = await start(client, body(world))
    assert (status, answer) == (400, {"error": error})
    assert world.cluster.manifests == []
    assert world.cluster.shards == {}, "no nonce is taken"


async def test_the_first_dataset_is_computed_on_here(client: Client, world: World) -> None:
    first = {"documentId": dataset()["id"], "serviceId": "access", "transferTxId": REMOTE_ORDER}
    status, answer = await start(client, start_body(world, dataset=first))
    assert (status, answer) == (400, {"error": {"dataset.serviceId": "main_service_compute"}})


async def test_what_another_provider_sold_pays_for_no_compute(client: Client, world: World) -> None:
    """Its fee goes to whom it likes, so whoever runs it could pay for compute with nothing."""
    signing(world, prices=PRICES)
    fee = offered(
        address=world.who.address,
        token=TOKEN,
        amount=10**16 * 600,
        offer=fees.Offer(DATATOKENS[0], "access", "jobs.ocean-compute", NOW - 100),
        valid_until=NOW + 500,
    )
    world.order(REMOTE_ORDER, world.publish(remote_dataset()), "access", fee=fee)
    status, answer = await start(client, body(world))
    assert (status, answer) == (400, {"error": {"order": "fees_not_paid"}})


@pytest.mark.parametrize("route", ["fileinfo", "initialize", "download"])
async def test_nothing_else_is_passed_on(client: Client, world: World, route: str) -> None:
    """Two providers that name each other would ask each other without an end."""
    named = {"serviceId": "access", "consumerAddress": CONSUMER, "fileIndex": "0", "nonce": "1"}
    sent = {"documentId": dataset()["id"], "transferTxId": REMOTE_ORDER, **named}
    if route == "fileinfo":
        asked = client.post(f"{SERVICES}/fileinfo", json={"did": dataset()["id"], **named})
    else:
        sent["signature"] = start_body(world)["signature"]
        asked = client.get(f"{SERVICES}/{route}", params=sent)
    async with asked as response:
        assert response.status == 400
    assert world.remotes.asked == []


async def test_without_urls_of_ours_nobody_else_is_asked(client: Client, world: World) -> None:
    world.policy = Policy(default_namespace="jobs")
    async with TestClient(TestServer(world.app())) as bare:
        status, answer = await start(bare, body(world))
    assert status == 200, answer
    assert world.remotes.asked == []


async def initialize(client: Client, transaction: str = "", **changes: Any) -> tuple[int, Any]:
    more = {"documentId": dataset()["id"], "serviceId": "access", "transferTxId": transaction}
    sent = {
        "datasets": [{"documentId": dataset()["id"], "serviceId": "compute"}, more],
        "algorithm": {"documentId": algorithm()["id"], "serviceId": "access"},
        "compute": {"env": "jobs.ocean-compute", "validUntil": NOW + 600},
        "consumerAddress": CONSUMER,
        **changes,
    }
    async with client.post(f"{SERVICES}/initializeCompute", json=sent) as response:
        return response.status, await response.json()


async def test_the_fee_of_an_asset_is_asked_of_its_own_provider(
    client: Client, world: World
) -> None:
    signing(world, prices=PRICES)
    world.remotes.says = Initialized(REMOTE_FEE, None)
    status, answer = await initialize(client)
    assert status == 200, answer
    item = answer["datasets"][1]
    assert item == {"datatoken": DATATOKENS[0], "providerFee": REMOTE_FEE.as_dict()}
    assert world.remotes.asked == [(THERE, "access", ENVIRONMENT_CONSUMER, "")]
    assert int(answer["datasets"][0]["providerFee"]["providerFeeAmount"]) > 0, "ours is paid"


async def test_an_order_must_do_for_both_providers(client: Client, world: World) -> None:
    status, answer = await initialize(client, REMOTE_ORDER)
    assert (status, answer["datasets"][1]) == (200, {"validOrder": REMOTE_ORDER})
    world.remotes.says = Initialized(REMOTE_FEE, REMOTE_ORDER)
    _, answer = await initialize(client, REMOTE_ORDER)
    assert answer["datasets"][1]["validOrder"] == REMOTE_ORDER
    assert answer["datasets"][1]["providerFee"] == REMOTE_FEE.as_dict()
    world.remotes.says = Initialized(REMOTE_FEE, "0x" + "99" * 32)
    _, answer = await initialize(client, REMOTE_ORDER)
    assert "validOrder" not in answer["datasets"][1], "an order that we know nothing of"
    for_the_consumer(world)
    world.remotes.says = Initialized(None, REMOTE_ORDER)
    status, answer = await initialize(client, REMOTE_ORDER)
    assert (status, answer) == (400, {"error": {"datasets[1]": "file_unavailable"}})
    assert world.remotes.asked[-1][3] == "", "an order that will not do here is not asked about"


async def test_a_job_that_waits_is_let_go_without_asking_its_provider(world: World) -> None:
    world.policy = replace(world.policy, orders=OrderPolicy(confirmations=50))
    async with TestClient(TestServer(world.app())) as client:
        status, answer = await start(client, body(world))
    assert status == 200, answer
    (job,) = world.cluster.jobs_.values()
    assert job.spec.suspend
    asked = len(world.remotes.asked)
    world.chains.block += 100
    await Watcher(world.context(), 1).look_at_all()
    assert world.cluster.resumed == [job.name]
    assert len(world.remotes.asked) == asked

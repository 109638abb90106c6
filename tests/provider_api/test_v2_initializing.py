"""What has to be ordered for a job or a download, as clients are told it; the fees are real."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from c2d_provider import fees
from c2d_provider.fees import Fee, Offer, SignedFee, read_offer
from c2d_provider.orders import Policy as OrderPolicy
from chain_facts import CONSUMER, ENVIRONMENT_CONSUMER, STRANGER, TOKEN, ZERO, offered
from chain_facts import reused as reused_log
from provider_fakes import (
    ALGORITHM_ORDER,
    CHAIN,
    DATASET_ORDER,
    DATATOKENS,
    NOW,
    PRICES,
    World,
    algorithm,
    charged,
    dataset,
    environment,
    market,
    receipt,
)

SERVICES = "/v2/api/services"
REUSE = "0x" + "e1" * 32
Client = TestClient[Any, Any]


@pytest.fixture
def world() -> World:
    return market()


@pytest.fixture
async def client(world: World) -> AsyncIterator[Client]:
    async with TestClient(TestServer(world.app())) as found:
        yield found


async def ask(client: Client, seconds: int = 600, **changes: Any) -> tuple[int, Any]:
    body = {
        "datasets": [{"documentId": dataset()["id"], "serviceId": "compute"}],
        "algorithm": {"documentId": algorithm()["id"], "serviceId": "access"},
        "compute": {"env": "jobs.ocean-compute", "validUntil": NOW + seconds},
        "consumerAddress": CONSUMER,
        **changes,
    }
    async with client.post(f"{SERVICES}/initializeCompute", json=body) as response:
        return response.status, await response.json()


def ordered(transaction: str, position: str = "dataset") -> dict[str, Any]:
    """Name an order for the dataset or for the algorithm."""
    if position == "algorithm":
        asset = {"documentId": algorithm()["id"], "serviceId": "access"}
        return {"algorithm": {**asset, "transferTxId": transaction}}
    asset = {"documentId": dataset()["id"], "serviceId": "compute"}
    return {"datasets": [{**asset, "transferTxId": transaction}]}


def fee_of(item: dict[str, Any]) -> SignedFee:
    """Read a fee as the contract gets it."""
    sent = item["providerFee"]
    fee = Fee(
        sent["providerFeeAddress"],
        sent["providerFeeToken"],
        int(sent["providerFeeAmount"]),
        bytes.fromhex(sent["providerData"][2:]),
        sent["validUntil"],
    )
    return SignedFee(fee, sent["v"], bytes.fromhex(sent["r"][2:]), bytes.fromhex(sent["s"][2:]))


async def test_a_free_environment_needs_orders_with_a_fee_of_nothing(
    client: Client, world: World
) -> None:
    status, answer = await ask(client)
    assert status == 200
    items = (*answer["datasets"], answer["algorithm"])
    assert [item["datatoken"] for item in items] == list(DATATOKENS)
    for item, service in zip(items, ("compute", "access"), strict=True):
        signed = fee_of(item)
        assert fees.signer(signed) == world.who.address
        assert (signed.fee.amount, signed.fee.token) == (0, ZERO)
        offer = read_offer(signed.fee.data)
        assert offer == Offer(item["datatoken"], service, "jobs.ocean-compute", NOW)
        assert "validOrder" not in item


async def test_one_asset_pays_for_the_time_that_is_asked_for(client: Client, world: World) -> None:
    world.offer(environment(prices=PRICES))
    _, answer = await ask(client, seconds=90_061)
    dataset_fee, algorithm_fee = fee_of(answer["datasets"][0]), fee_of(answer["algorithm"])
    # 0.6 tokens a minute, days included
    assert dataset_fee.fee.amount == 90_061 * 10**16
    assert (dataset_fee.fee.token, dataset_fee.fee.valid_until) == (TOKEN, NOW + 90_061)
    assert fees.signer(dataset_fee) == world.who.address
    assert algorithm_fee.fee.amount == 0


async def test_an_offered_fee_is_one_that_pays(client: Client, world: World) -> None:
    """What initializing offers is what starting takes: the two share their rules."""
    world.offer(environment(prices=PRICES))
    _, answer = await ask(client)
    asset = world.publish(dataset())
    world.order(DATASET_ORDER, asset, "compute", fee=fee_of(answer["datasets"][0]).fee)
    status, again = await ask(client, seconds=540, **ordered(DATASET_ORDER))
    assert (status, again["datasets"]) == (200, [{"validOrder": DATASET_ORDER}])
    assert fee_of(again["algorithm"]).fee.amount == 0


async def test_valid_orders_need_nothing_more(client: Client) -> None:
    body = {**ordered(DATASET_ORDER), **ordered(ALGORITHM_ORDER, "algorithm")}
    assert await ask(client, **body) == (
        200,
        {
            "datasets": [{"validOrder": DATASET_ORDER}],
            "algorithm": {"validOrder": ALGORITHM_ORDER},
        },
    )


async def test_a_valid_order_without_a_fee_is_reused_with_one(client: Client, world: World) -> None:
    world.offer(environment(prices=PRICES))
    body = ordered(ALGORITHM_ORDER, "algorithm")
    _, answer = await ask(client, **body)
    assert answer["algorithm"]["validOrder"] == ALGORITHM_ORDER
    assert fee_of(answer["algorithm"]).fee.amount == 6 * 10**18
    assert "validOrder" not in answer["datasets"][0]
    assert fee_of(answer["datasets"][0]).fee.amount == 0


@pytest.mark.parametrize("amount", [6 * 10**18, 0], ids=["its fee is over", "it paid no fee"])
async def test_a_reused_order_is_reused_by_its_first_transaction(
    client: Client, world: World, amount: int
) -> None:
    """The rules of orders follow one step only, so a reuse of a reuse would be worth nothing."""
    world.offer(environment(prices=PRICES))
    fee = offered(
        address=world.who.address,
        token=TOKEN,
        amount=amount,
        offer=Offer(DATATOKENS[0], "compute", "jobs.ocean-compute", NOW - 10_000),
        valid_until=NOW - 9_400,
    )
    world.chains.receipts[REUSE] = receipt(
        reused_log(DATASET_ORDER, emitter=DATATOKENS[0]),
        charged(fee, emitter=DATATOKENS[0]),
        transaction=REUSE,
        to=DATATOKENS[0],
        block_time=NOW - 9_900,
    )
    _, answer = await ask(client, **ordered(REUSE))
    (item,) = answer["datasets"]
    assert item["validOrder"] == DATASET_ORDER
    assert fee_of(item).fee.amount == 6 * 10**18


@pytest.mark.parametrize("consumer", [CONSUMER, ENVIRONMENT_CONSUMER])
async def test_who_may_use_the_assets_is_judged_for_a_consumer_that_is_known(
    client: Client, world: World, consumer: str
) -> None:
    """ocean.py sends the environment's address; a list that names it nowhere must not refuse."""
    allowed = {"allow": [{"type": "address", "values": [STRANGER]}]}
    world.publish(dataset(credentials=allowed))
    status, _ = await ask(client, consumerAddress=consumer)
    assert status == (400 if consumer == CONSUMER else 200)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"compute": {"env": "jobs.other", "validUntil": NOW + 1}}, "Compute environment does not"),
        ({"compute": {"env": "jobs.ocean-compute", "validUntil": NOW}}, "The validUntil value"),
        (
            {"algorithm": {"documentId": dataset()["id"], "serviceId": "compute"}},
            {"algorithm": "not_algo"},
        ),
        (
            {"datasets": [{"documentId": dataset()["id"], "serviceId": "other"}]},
            {"dataset.serviceId": "not_found"},
        ),
    ],
)
async def test_what_could_not_be_started_is_not_sold(
    client: Client, changes: dict[str, Any], error: Any
) -> None:
    status, answer = await ask(client, **changes)
    assert status == 400
    assert answer["error"] == error or str(answer["error"]).startswith(str(error))


async def test_an_algorithm_that_nobody_trusts_is_told_before_it_is_paid_for(
    client: Client, world: World
) -> None:
    world.publish(dataset(compute={"publisherTrustedAlgorithms": []}))
    assert await ask(client) == (400, {"error": {"dataset": "no_publisherTrustedAlgorithms"}})


async def test_a_paid_environment_is_not_sold_on_a_chain_without_a_price(
    client: Client, world: World
) -> None:
    world.offer(environment(prices=[{**PRICES[0], "chainId": 1}]))
    status, answer = await ask(client)
    assert (status, answer) == (
        400,
        {"error": "the environment is not offered on the assets' chain"},
    )


async def test_environments_are_listed_by_the_chains_that_they_are_offered_on(
    client: Client, world: World
) -> None:
    world.chains.ids = (CHAIN, 1)
    world.offer(environment("paid", prices=PRICES))
    async with client.get(f"{SERVICES}/computeEnvironments") as response:
        listed = await response.json()
    assert {chain: [one["id"] for one in found] for chain, found in listed.items()} == {
        "8996": ["jobs.ocean-compute", "jobs.paid"],
        "1": ["jobs.ocean-compute"],
    }
    free, paid = listed["8996"]
    assert (free["priceMin"], free["feeToken"], free["free"]) == (0, ZERO, True)
    assert (paid["priceMin"], paid["feeToken"], paid["free"]) == (0.6, TOKEN, False)
    assert (free["cpuNumber"], free["ramGB"], free["diskGB"]) == (2, 4, 10)
    assert free["consumerAddress"] == ENVIRONMENT_CONSUMER
    async with client.get(f"{SERVICES}/computeEnvironments?chainId=1") as response:
        assert list(await response.json()) == ["1"]


@pytest.mark.parametrize(
    ("results", "told"),
    [
        pytest.param({"retention": 60}, 60, id="as long as the environment keeps them"),
        pytest.param({}, 315360000, id="as long as anything can be kept where it is for ever"),
    ],
)
async def test_an_environment_tells_how_long_results_are_kept(
    client: Client, world: World, results: dict[str, int], told: int
) -> None:
    store = {"store": "s3://results/", "credentialsSecret": "result-store"}
    world.offer(environment(results={**store, **results}))
    async with client.get(f"{SERVICES}/computeEnvironments?chainId={CHAIN}") as response:
        (listed,) = (await response.json())[str(CHAIN)]
    assert listed["storageExpiry"] == told


async def initialize(client: Client, **changes: str) -> tuple[int, Any]:
    asked = {
        "documentId": dataset()["id"],
        "serviceId": "access",
        "consumerAddress": CONSUMER,
        **changes,
    }
    async with client.get(f"{SERVICES}/initialize", params=asked) as response:
        return response.status, await response.json()


async def test_a_download_is_ordered_with_a_fee_of_nothing(client: Client, world: World) -> None:
    status, answer = await initialize(client)
    assert (status, answer["datatoken"], answer["nonce"]) == (200, DATATOKENS[0], "0")
    signed = fee_of(answer)
    assert fees.signer(signed) == world.who.address
    assert (signed.fee.amount, signed.fee.valid_until) == (0, 0)
    order = "0x" + "d2" * 32
    asset = world.assets.published_[dataset()["id"]]
    world.order(order, asset, "access", fee=signed.fee, consumer=CONSUMER)
    assert await initialize(client, transferTxId=order) == (200, {"validOrder": order})


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"documentId": "did:op:" + "00" * 32}, "Provider Unknown: Cannot resolve DID"),
        ({"serviceId": "other"}, "Provider Ganache: Invalid serviceId."),
        (
            {"serviceId": "compute"},
            "Provider Ganache: Use the initializeCompute endpoint to initialize compute jobs.",
        ),
        ({"fileIndex": "1"}, "Provider Ganache: No such fileIndex"),
    ],
)
async def test_a_download_that_is_none_is_refused(
    client: Client, changes: dict[str, str], error: str
) -> None:
    assert await initialize(client, **changes) == (400, {"error": error})


async def test_an_order_that_is_not_confirmed_is_valid_to_be_used(world: World) -> None:
    """A job of it is created suspended; to order again would be to pay twice."""
    world.policy = type(world.policy)(
        default_namespace="jobs", orders=OrderPolicy(confirmations=1000)
    )
    async with TestClient(TestServer(world.app())) as client:
        _, answer = await ask(client, **ordered(DATASET_ORDER))
    assert answer["datasets"] == [{"validOrder": DATASET_ORDER}]

"""Compute that costs something: offered, paid on chain, run for as long as was paid, once."""

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from web3.exceptions import ContractLogicError

from chain import ONE, Asset, ProviderFee, signed_fee
from end_to_end.cluster import Json, Run, eventually
from end_to_end.market import TRUSTING, Market, Shelf, Sold, fee_of, publish_algorithm, shelf

COUNT = 'wc -l < "$(find "$INPUTS" -name 0)" | tee "$OUTPUTS/lines.txt"'
ENDLESS = 'echo begun > "$OUTPUTS/begun.txt"; while :; do sleep 1; done'
NUMBERS = "1\n2\n3\n"
NOT_PAID = {"error": {"order": "fees_not_paid"}}
INVALID = {"error": {"dataset.serviceId": "order_invalid"}}
GRACE = 90
"""Seconds after its end in which a fee may still be mined."""


@dataclass(frozen=True)
class Assets:
    """A dataset, and what may run on it."""

    files: Shelf
    numbers: Asset
    count: Asset
    endless: Asset


@pytest.fixture(scope="module")
def assets(run: Run, market: Market) -> Iterator[Assets]:
    with shelf(run, "paid", numbers=NUMBERS, count=COUNT, endless=ENDLESS) as served:
        numbers = market.publish(f"{served.url}/numbers", service={"compute": TRUSTING})
        count, endless = (
            publish_algorithm(market, run, f"{served.url}/{name}") for name in ("count", "endless")
        )
        yield Assets(served, numbers, count, endless)


@pytest.fixture(scope="module")
def paid(run: Run) -> str:
    return f"{run.stack.namespace}.local-paid"


@pytest.fixture(scope="module")
def others(run: Run) -> dict[str, str]:
    """Offer two more environments for which the same consumer stands: a paid and a free one."""
    spec = run.read("cenv", "local-paid")["spec"]
    consumer, prices = spec["consumer"], spec["prices"]
    run.create_environment("dear", consumer=consumer, prices=prices)
    run.create_environment("gratis", consumer=consumer)
    return {name: f"{run.stack.namespace}.{run.named(name)}" for name in ("dear", "gratis")}


def price(seconds: float) -> int:
    """Compute what some seconds cost at one token a minute."""
    return math.ceil(seconds * ONE / 60)


# Paying


@dataclass(frozen=True)
class Bought:
    """What was offered for a minute, within which time, and what the orders have cost."""

    sold: Sold
    fees: tuple[ProviderFee, ProviderFee]
    asked: tuple[float, float]
    cost: int


@pytest.fixture(scope="module")
def bought(market: Market, assets: Assets, paid: str) -> Bought:
    before = time.time()
    prepared = market.prepare(assets.numbers, assets.count, paid, 60)
    asked = before, time.time()
    assert prepared.status == 200, prepared.body
    fees = fee_of(prepared.json["datasets"][0]), fee_of(prepared.json["algorithm"])
    balance = market.balance()
    orders = (
        market.order(assets.numbers, fees[0], paid),
        market.order(assets.count, fees[1], paid),
    )
    sold = Sold(assets.numbers, assets.count, orders)
    return Bought(sold, fees, asked, balance - market.balance())


def test_a_minute_is_offered_for_its_price_and_paid_on_chain(
    market: Market, bought: Bought
) -> None:
    of_dataset, of_algorithm = bought.fees
    assert of_dataset.token == market.token.address
    before, after = bought.asked
    assert int(before) + 60 <= of_dataset.valid_until <= int(after) + 60
    dearest, cheapest = (of_dataset.valid_until - int(moment) for moment in (before, after))
    assert price(cheapest) <= of_dataset.amount <= price(dearest)
    assert of_algorithm.amount == 0
    assert bought.cost == of_dataset.amount


@pytest.fixture(scope="module")
def spoilt(market: Market, assets: Assets, bought: Bought, paid: str) -> Json:
    """Start while the owner's server has lost the file."""
    (assets.files.folder / "numbers").unlink()
    try:
        return market.ended(market.begin(bought.sold, paid))
    finally:
        (assets.files.folder / "numbers").write_text(NUMBERS)


@pytest.fixture(scope="module")
def second(market: Market, bought: Bought, paid: str, spoilt: Json) -> str:
    """Start once more, as soon as the fee is freed; it is refused until then, and afterwards."""

    def accepted() -> str:
        answer = market.start(bought.sold, paid)
        if answer.status == 200:
            return str(answer.json[0]["jobId"])
        assert answer.json == NOT_PAID
        return ""

    job: str = eventually(accepted, "the fee of a job that its consumer did not spoil", 30)
    while_it_runs = market.start(bought.sold, paid)
    assert (while_it_runs.status, while_it_runs.json) == (400, NOT_PAID)
    return job


def test_a_job_whose_data_could_not_be_fetched_is_not_its_consumers_fault(
    run: Run, spoilt: Json
) -> None:
    assert (spoilt["status"], spoilt["statusText"]) == (31, "Data provisioning failed")
    status = run.read("cjob", spoilt["jobId"])["status"]
    assert status["reason"] == "DataProvisioningFailed"
    assert "startTime" not in status.get("algorithm", {})


def test_its_fee_pays_for_one_more_attempt(market: Market, second: str, spoilt: Json) -> None:
    assert second != spoilt["jobId"]
    ended = market.ended(second)
    assert (ended["status"], ended["statusText"]) == (70, "Job finished")
    lines = market.named(second, "lines.txt")
    assert (lines.status, lines.body) == (200, b"3\n")


def test_a_fee_pays_for_no_second_job(
    market: Market, bought: Bought, paid: str, second: str
) -> None:
    market.ended(second)
    again = market.start(bought.sold, paid)
    assert (again.status, again.json) == (400, NOT_PAID)


# Running for as long as was paid


@pytest.fixture(scope="module")
def short(market: Market, assets: Assets, paid: str) -> tuple[str, int]:
    """Start what never ends, with some seconds paid; return the seconds by what they cost."""
    balance = market.balance()
    sold = market.buy(assets.numbers, assets.endless, paid, 4)
    seconds = (balance - market.balance()) * 60 // ONE
    assert seconds in (3, 4)
    return market.begin(sold, paid), seconds


@pytest.fixture(scope="module")
def reused(market: Market, bought: Bought, paid: str, second: str, short: tuple[str, int]) -> str:
    """Pay a new fee for the order whose fee is spent, and start with it."""
    needed = market.look_at(bought.sold, paid)
    item = needed["datasets"][0]
    assert item["validOrder"] == bought.sold.orders[0]
    assert needed["algorithm"] == {"validOrder": bought.sold.orders[1]}
    order = market.reuse(bought.sold.dataset, item["validOrder"], fee_of(item))
    return market.begin(replace(bought.sold, orders=(order, bought.sold.orders[1])), paid)


def test_an_order_that_is_paid_again_runs_again(market: Market, reused: str) -> None:
    ended = market.ended(reused)
    assert (ended["status"], ended["statusText"]) == (70, "Job finished")


def test_an_algorithm_is_stopped_when_its_paid_time_is_over(
    run: Run, market: Market, short: tuple[str, int]
) -> None:
    name, seconds = short
    ended = market.ended(name)
    job = run.read("cjob", name)
    assert job["spec"]["maxDuration"] == seconds
    conditions = {one["type"]: one for one in job["status"]["conditions"]}
    assert conditions["AlgorithmCompleted"]["reason"] == "DeadlineExceeded"
    assert f"the {seconds} s it was given" in conditions["AlgorithmCompleted"]["message"]
    assert ended["stopreq"] == 2
    assert market.named(name, "begun.txt").body == b"begun\n"


# Fees that do not pay


@pytest.fixture(scope="module")
def dear(market: Market, assets: Assets, others: dict[str, str]) -> Sold:
    return market.buy(assets.numbers, assets.count, others["dear"])


def is_paid(market: Market, sold: Sold, environment: str) -> bool:
    """Ask the provider whether it takes an order as it is; nothing is written by that."""
    return "providerFee" not in market.look_at(sold, environment, 1)["datasets"][0]


def test_a_fee_with_a_lower_amount_is_not_taken_by_the_contract(
    market: Market, assets: Assets, paid: str
) -> None:
    offered = fee_of(market.prepare(assets.numbers, assets.count, paid).json["datasets"][0])
    with pytest.raises(ContractLogicError):
        market.order(assets.numbers, replace(offered, amount=offered.amount // 2), paid)
    assert market.order(assets.numbers, offered, paid)


def test_a_fee_that_a_stranger_signed_does_not_pay(
    market: Market, assets: Assets, bought: Bought, paid: str
) -> None:
    offered = fee_of(market.prepare(assets.numbers, assets.count, paid).json["datasets"][0])
    forged = signed_fee(
        market.stranger,
        token=offered.token,
        amount=offered.amount,
        valid_until=offered.valid_until,
        data=offered.data,
    )
    order = market.order(assets.numbers, forged, paid)
    refused = market.start(replace(bought.sold, orders=(order, bought.sold.orders[1])), paid)
    assert (refused.status, refused.json) == (400, INVALID)


def test_a_fee_of_another_environment_does_not_pay(
    market: Market, dear: Sold, paid: str, others: dict[str, str]
) -> None:
    assert is_paid(market, dear, others["dear"])
    refused = market.start(dear, paid)
    assert (refused.status, refused.json) == (400, INVALID)


def test_orders_without_a_fee_start_nothing_where_it_is_not_free(
    market: Market, assets: Assets, paid: str, others: dict[str, str]
) -> None:
    sold = market.buy(assets.numbers, assets.count, others["gratis"])
    refused = market.start(sold, paid)
    assert (refused.status, refused.json) == (400, NOT_PAID)


def test_a_fee_that_is_less_than_todays_price_does_not_pay(
    run: Run, market: Market, dear: Sold, others: dict[str, str]
) -> None:
    assert is_paid(market, dear, others["dear"])
    (price,) = run.read("cenv", "local-paid")["spec"]["prices"]
    run.patch_environment("dear", prices=[{**price, "perMinute": "2"}])
    asked = range(8)  # of either replica, which do not learn of it together
    eventually(
        lambda: not any(is_paid(market, dear, others["dear"]) for _ in asked), "the new price", 30
    )
    refused = market.start(dear, others["dear"])
    assert (refused.status, refused.json) == (400, INVALID)
    run.patch_environment("dear", prices=[price])
    eventually(lambda: is_paid(market, dear, others["dear"]), "the old price", 30)


def test_nothing_is_offered_until_a_moment_that_is_past(
    market: Market, assets: Assets, paid: str
) -> None:
    refused = market.prepare(assets.numbers, assets.count, paid, seconds=-1)
    assert refused.status == 400
    assert refused.json == {"error": "The validUntil value is not correct."}


@contextmanager
def chain_ahead(market: Market, seconds: int) -> Iterator[None]:
    """Let the chain's clock be ahead of everybody's as long as the block runs."""
    market.tell_chain("evm_setNextBlockTimestamp", int(time.time()) + seconds)
    try:
        yield
    finally:
        market.tell_chain("evm_setTime", int(time.time()))


def test_a_fee_that_had_expired_when_it_was_mined_does_not_pay(
    market: Market, assets: Assets, bought: Bought, paid: str
) -> None:
    prepared = market.prepare(assets.numbers, assets.count, paid, seconds=5)
    with chain_ahead(market, 5 + GRACE + 5):
        late = market.order(assets.numbers, fee_of(prepared.json["datasets"][0]), paid)
    refused = market.start(replace(bought.sold, orders=(late, bought.sold.orders[1])), paid)
    assert (refused.status, refused.json) == (400, INVALID)
    in_time = market.buy(assets.numbers, assets.count, paid, seconds=5)
    assert is_paid(market, in_time, paid)

"""Orders: who may start a job with which transaction, and every look-alike that may not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import chain_facts as chain
from c2d_provider import fees
from c2d_provider.events import OrderStarted, decode
from c2d_provider.fees import Offer, Price
from c2d_provider.orders import (
    FEE_RULES,
    MAX_REUSES,
    ORDER_RULES,
    PURCHASE_RULES,
    Asked,
    Facts,
    Order,
    PaidFee,
    Policy,
    judge,
    payment,
    reused_orders,
    valid_until,
)
from c2d_provider.refusals import Reason, Refusal

ASKED = Asked(
    transaction=chain.TRANSACTION,
    consumer=chain.CONSUMER,
    nft=chain.NFT,
    datatoken=chain.DATATOKEN,
    service_id=chain.SERVICE,
    service_index=1,
    timeout=3600,
    environments=frozenset({chain.ENVIRONMENT, f"0x{'0' * 64}-{chain.ENVIRONMENT}"}),
    environment_consumer=chain.ENVIRONMENT_CONSUMER,
    fee_addresses=frozenset({chain.PROVIDER}),
)
FACTS = Facts(
    receipt=chain.receipt(chain.started(), chain.charged()),
    originals={},
    head=chain.BLOCK,
    now=chain.BLOCK_TIME + 10,
    factory=chain.FACTORY,
    is_oceans=True,
    is_datatoken_of_nft=True,
)
POLICY = Policy()
PAID = (chain.started(), chain.charged(chain.paid()))
PAID_ASKED = replace(ASKED, prices=(chain.PRICE,))


def seen(*logs: Any, originals: Any = (), **changes: Any) -> Facts:
    """Make facts of a receipt with these logs; what the receipt has not goes to the facts."""
    of_facts = {k: changes.pop(k) for k in list(changes) if k in Facts.__dataclass_fields__}
    return replace(
        FACTS,
        receipt=chain.receipt(*logs, **changes),
        originals={original.transaction: original for original in originals},
        **of_facts,
    )


def reusing(*logs: Any, original: Any = None, **changes: Any) -> tuple[Asked, Facts]:
    """Make the asked and the facts of a transaction that reuses `original`."""
    original = chain.receipt(chain.started()) if original is None else original
    asked = replace(ASKED, transaction=chain.REUSE)
    return asked, seen(*logs, originals=[original], transaction=chain.REUSE, **changes)


def accepted(asked: Asked, facts: Facts, policy: Policy = POLICY) -> Order:
    order = judge(asked, facts, policy)
    assert isinstance(order, Order), order
    return order


BATCH = {"to": chain.FACTORY, "sender": chain.CONSUMER}
OTHERS_OF_A_BATCH = (
    chain.started(emitter=chain.OTHER_DATATOKEN, service_index=0, payer=chain.FACTORY),
    chain.charged(
        chain.offered(offer=Offer(chain.OTHER_DATATOKEN, "other")), chain.OTHER_DATATOKEN
    ),
)


@pytest.mark.parametrize(
    ("asked", "facts"),
    [
        pytest.param(ASKED, FACTS, id="paid by who asks, for the environment"),
        pytest.param(
            replace(ASKED, consumer=chain.CONSUMER.lower()), FACTS, id="in other letter case"
        ),
        pytest.param(
            ASKED,
            seen(chain.started(consumer=chain.CONSUMER, payer=chain.STRANGER), chain.charged()),
            id="a present: for who asks, paid by another",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(payer=chain.FACTORY), chain.charged(), *OTHERS_OF_A_BATCH, **BATCH),
            id="a batch: the factory pays for the sender",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(service_index=0),
                chain.started(),
                chain.charged(chain.offered(offer=Offer(chain.DATATOKEN, "other"))),
                chain.charged(),
            ),
            id="two services of one datatoken",
        ),
        pytest.param(
            ASKED, replace(FACTS, now=chain.BLOCK_TIME + 3600), id="the last moment of the service"
        ),
        pytest.param(
            replace(ASKED, timeout=0),
            replace(FACTS, now=chain.BLOCK_TIME + 10**9),
            id="a service without an end",
        ),
        pytest.param(ASKED, replace(FACTS, now=chain.BLOCK_TIME - 5), id="a clock behind"),
        pytest.param(ASKED, replace(FACTS, head=chain.BLOCK - 3), id="a node behind, to be waited"),
        pytest.param(
            ASKED,
            seen(chain.started(amount=2 * 10**18), chain.charged()),
            id="more than one datatoken",
        ),
        pytest.param(PAID_ASKED, seen(*PAID), id="with a fee"),
        pytest.param(
            PAID_ASKED,
            seen(
                chain.started(), chain.charged(chain.paid(environment=f"0x{'0' * 64}-jobs.small"))
            ),
            id="with a fee for the environment's longer id",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(amount=10**30))),
            id="with more than enough",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(), chain.charged(chain.offered(valid_until=1))),
            id="an offer of nothing does not end",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(),
                chain.charged(chain.offered(offer=Offer(chain.DATATOKEN, chain.SERVICE, "x", 1))),
            ),
            id="an offer of nothing is for any environment",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(), chain.charged(chain.paid(environment="x"))),
            id="another environment's fee beside an offer of nothing",
        ),
        pytest.param(
            *reusing(chain.reused(), chain.charged()), id="a reused order, with its original"
        ),
        pytest.param(
            *reusing(chain.reused(caller=chain.STRANGER), chain.charged()),
            id="reused by a stranger, for who owns it",
        ),
        pytest.param(
            *reusing(
                chain.reused("0x" + "99" * 32),
                chain.reused(),
                chain.charged(),
                to=chain.FACTORY,
            ),
            id="reused in a batch with an order that is not there",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(payer=chain.FACTORY), **BATCH),
            ),
            id="a reused batch",
        ),
        pytest.param(
            ASKED,
            seen(chain.reused("0x" + "99" * 32), chain.started(), chain.charged()),
            id="an order beside a reuse of nothing",
        ),
    ],
)
def test_an_order_is_accepted(asked: Asked, facts: Facts) -> None:
    order = accepted(asked, facts)
    assert order.transaction == asked.transaction


@pytest.mark.parametrize(
    ("asked", "facts", "reason"),
    [
        pytest.param(ASKED, replace(FACTS, receipt=None), Reason.ORDER_UNKNOWN, id="no receipt"),
        pytest.param(
            replace(ASKED, transaction=chain.REUSE),
            FACTS,
            Reason.ORDER_UNKNOWN,
            id="the receipt of another transaction",
        ),
        pytest.param(
            ASKED,
            replace(FACTS, is_oceans=False),
            Reason.ASSET_NOT_FROM_OCEAN,
            id="an NFT that Ocean's factory never made",
        ),
        pytest.param(
            ASKED,
            replace(FACTS, is_datatoken_of_nft=False),
            Reason.ASSET_NOT_FROM_OCEAN,
            id="a datatoken of another NFT",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(), chain.charged(), succeeded=False),
            Reason.ORDER_FAILED,
            id="a transaction that was reverted",
        ),
        pytest.param(
            ASKED, seen(), Reason.ORDER_OF_OTHER_DATATOKEN, id="a transaction without events"
        ),
        pytest.param(
            ASKED,
            seen(chain.started(emitter=chain.STRANGER), chain.charged()),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="an order forged by another contract",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(emitter=chain.OTHER_DATATOKEN), chain.charged()),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="an order of another datatoken",
        ),
        pytest.param(
            ASKED,
            seen(replace(chain.started(), data=b"\x00" * 31), chain.charged()),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="an order that cannot be read",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(service_index=0), chain.charged()),
            Reason.ORDER_OF_OTHER_SERVICE,
            id="another service of the datatoken",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(service_index=2**256 - 1), chain.charged()),
            Reason.ORDER_OF_OTHER_SERVICE,
            id="a service index that would overflow",
        ),
        pytest.param(
            replace(ASKED, consumer=chain.STRANGER),
            FACTS,
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="another's order, spent by a stranger",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(consumer=chain.STRANGER), chain.charged()),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="paid by who asks, for another",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(payer=chain.STRANGER), chain.charged()),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="sent by who asks, paid by a stranger",
        ),
        pytest.param(
            replace(ASKED, consumer=chain.STRANGER),
            seen(chain.started(payer=chain.FACTORY), chain.charged(), **BATCH),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="a batch that another sent",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(payer=chain.FACTORY), chain.charged(), to=chain.STRANGER),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="a batch through a contract in between",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(payer=chain.FACTORY), chain.charged(), to=None),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="a batch that creates a contract",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(payer=chain.STRANGER), chain.charged(), **BATCH),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="a batch in which a stranger pays",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(amount=10**18 - 1), chain.charged()),
            Reason.ORDER_TOO_SMALL,
            id="almost a datatoken",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(amount=0), chain.charged()),
            Reason.ORDER_TOO_SMALL,
            id="no datatoken",
        ),
        pytest.param(
            ASKED,
            replace(FACTS, now=chain.BLOCK_TIME + 3601),
            Reason.ORDER_EXPIRED,
            id="a service that has ended",
        ),
        pytest.param(
            ASKED, seen(chain.started()), Reason.FEE_MISSING, id="without any provider fee"
        ),
        pytest.param(
            ASKED,
            seen(chain.started(), chain.charged(emitter=chain.STRANGER)),
            Reason.FEE_MISSING,
            id="a fee forged by another contract",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(),
                chain.charged(chain.offered(address=chain.STRANGER), key=b"\x22" * 32),
            ),
            Reason.FEE_NOT_OURS,
            id="a fee that a stranger signed for himself",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(), chain.charged(key=chain.STRANGER_KEY)),
            Reason.FEE_NOT_OURS,
            id="a fee that a stranger signed for us",
        ),
        pytest.param(
            ASKED,
            seen(chain.started(), chain.charged(chain.offered(address=chain.STRANGER))),
            Reason.FEE_NOT_OURS,
            id="a fee that we signed for a stranger",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(),
                chain.fee_log(
                    replace(fees.sign(chain.paid(), chain.PROVIDER_KEY), fee=chain.paid(amount=1))
                ),
            ),
            Reason.FEE_NOT_OURS,
            id="a fee altered after it was signed",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(),
                chain.charged(chain.offered(offer=Offer(chain.OTHER_DATATOKEN, chain.SERVICE))),
            ),
            Reason.FEE_OF_OTHER_SERVICE,
            id="a fee of another datatoken",
        ),
        pytest.param(
            ASKED,
            seen(
                chain.started(),
                chain.charged(chain.offered(offer=Offer(chain.DATATOKEN, chain.SERVICE.upper()))),
            ),
            Reason.FEE_OF_OTHER_SERVICE,
            id="a fee of a service in other letter case",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(environment="jobs.tiny"))),
            Reason.FEE_OF_OTHER_ENVIRONMENT,
            id="a fee for another environment",
        ),
        pytest.param(
            PAID_ASKED,
            seen(
                chain.started(),
                chain.charged(chain.paid(offer=Offer(chain.DATATOKEN, chain.SERVICE))),
            ),
            Reason.FEE_OF_OTHER_ENVIRONMENT,
            id="a fee for no environment",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(valid_until=0))),
            Reason.FEE_WITHOUT_END,
            id="a fee without an end",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(valid_until=chain.BLOCK_TIME - 60))),
            Reason.FEE_WITHOUT_END,
            id="a fee for no time",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(amount=6 * 10**18 - 1))),
            Reason.FEE_TOO_SMALL,
            id="a fee of almost enough",
        ),
        pytest.param(
            PAID_ASKED,
            seen(
                chain.started(),
                chain.charged(chain.paid(valid_until=chain.BLOCK_TIME + 540 + 24 * 3600)),
            ),
            Reason.FEE_TOO_SMALL,
            id="a fee that pays for ten minutes of a day",
        ),
        pytest.param(
            PAID_ASKED,
            seen(chain.started(), chain.charged(chain.paid(token=chain.STRANGER))),
            Reason.FEE_TOO_SMALL,
            id="a fee in worthless tokens",
        ),
        pytest.param(
            PAID_ASKED,
            seen(
                chain.started(),
                chain.charged(
                    chain.paid(offered_at=chain.BLOCK_TIME - 691, valid_until=chain.BLOCK_TIME - 91)
                ),
            ),
            Reason.FEE_EXPIRED,
            id="an offer that had expired when it was mined",
        ),
        pytest.param(
            PAID_ASKED,
            seen(*PAID, now=chain.BLOCK_TIME + 540 + 60 + 91),
            Reason.FEE_EXPIRED,
            id="a start after the time that was paid for",
        ),
        pytest.param(
            replace(ASKED, transaction=chain.REUSE),
            seen(chain.reused(), chain.charged(), transaction=chain.REUSE),
            Reason.ORDER_UNKNOWN,
            id="a reuse of an order that never was",
        ),
        pytest.param(
            replace(ASKED, transaction=chain.REUSE),
            seen(chain.reused(chain.REUSE), chain.charged(), transaction=chain.REUSE),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="a reuse of itself",
        ),
        pytest.param(
            *reusing(chain.reused(), chain.charged(), succeeded=False),
            Reason.ORDER_FAILED,
            id="a reuse that was reverted",
        ),
        pytest.param(
            *reusing(chain.reused(emitter=chain.STRANGER), chain.charged()),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="a reuse forged by another contract",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(emitter=chain.STRANGER)),
            ),
            Reason.ORDER_OF_OTHER_DATATOKEN,
            id="a reuse of a forged order",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(payer=chain.STRANGER)),
            ),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="a reuse, by who asks, of a stranger's order",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(), succeeded=False),
            ),
            Reason.ORDER_FAILED,
            id="a reuse of an order that was reverted",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(service_index=0)),
            ),
            Reason.ORDER_OF_OTHER_SERVICE,
            id="a reuse of another service's order",
        ),
        pytest.param(
            *reusing(
                chain.reused(),
                chain.charged(),
                original=chain.receipt(chain.started(), block_time=chain.BLOCK_TIME - 3600),
            ),
            Reason.ORDER_EXPIRED,
            id="a reuse buys no new time of the service",
        ),
        pytest.param(
            *reusing(chain.reused(), chain.charged(key=chain.STRANGER_KEY)),
            Reason.FEE_NOT_OURS,
            id="a reuse with a fee that its caller signed",
        ),
        pytest.param(
            *reusing(chain.reused(), original=chain.receipt(chain.started(), chain.charged())),
            Reason.FEE_MISSING,
            id="a reuse with the fee of its original",
        ),
    ],
)
def test_an_order_is_refused(asked: Asked, facts: Facts, reason: Reason) -> None:
    refusal = judge(asked, facts, POLICY)
    assert isinstance(refusal, Refusal), refusal
    assert refusal.reason == reason
    assert refusal.message


def test_every_rule_has_a_name_of_its_own() -> None:
    rules = [*ORDER_RULES, *PURCHASE_RULES, *FEE_RULES]
    assert len({rule.name for rule in rules}) == len(rules)


@pytest.mark.parametrize(
    ("head", "reason"),
    [
        pytest.param(chain.BLOCK + 1, Reason.ORDER_UNCONFIRMED, id="one too few"),
        pytest.param(chain.BLOCK - 9, Reason.ORDER_UNCONFIRMED, id="a node behind"),
        pytest.param(chain.BLOCK + 2, None, id="enough"),
    ],
)
def test_confirmations_are_demanded_where_nobody_waits(head: int, reason: Reason | None) -> None:
    policy = Policy(confirmations=3, wait_for_confirmations=False)
    found = judge(ASKED, replace(FACTS, head=head), policy)
    assert (found.reason if isinstance(found, Refusal) else None) == reason


def test_confirmations_count_for_both_transactions_of_a_reuse() -> None:
    asked, facts = reusing(
        chain.reused(),
        chain.charged(),
        original=chain.receipt(chain.started(), block_number=chain.BLOCK + 4),
    )
    order = accepted(asked, facts)
    assert [order.is_confirmed(chain.BLOCK + n, 2) for n in (1, 4, 5)] == [False, False, True]
    assert order.started_in == chain.TRANSACTION


def test_a_fee_says_what_it_pays_for() -> None:
    order = accepted(PAID_ASKED, seen(*PAID))
    assert order.fees == (
        PaidFee(
            key=f"{chain.TRANSACTION}-1",
            token=chain.TOKEN,
            amount=6 * 10**18,
            seconds=600,
            start_by=chain.BLOCK_TIME + 540 + 60 + 90,  # the end, the mining, the grace
        ),
    )
    assert order.expires == chain.BLOCK_TIME + 3600


def test_slow_mining_is_not_the_payers_loss() -> None:
    late = chain.paid(offered_at=chain.BLOCK_TIME - 600, valid_until=chain.BLOCK_TIME)
    order = accepted(
        PAID_ASKED, seen(chain.started(), chain.charged(late), now=chain.BLOCK_TIME + 690)
    )
    assert order.fees[0].seconds == 600


def test_a_fee_without_a_token_pays_nothing() -> None:
    """The contract takes nothing of the zero address, whatever the amount."""
    order = accepted(PAID_ASKED, seen(chain.started(), chain.charged(chain.paid(token=chain.ZERO))))
    assert order.fees == ()
    assert isinstance(payment([order]), Refusal)


def test_two_fees_of_one_batch_pay_for_two_jobs() -> None:
    short = chain.paid(valid_until=chain.BLOCK_TIME, amount=10**18)
    order = accepted(
        PAID_ASKED,
        seen(*PAID, chain.started(), chain.charged(short)),
    )
    first = payment([order])
    assert isinstance(first, PaidFee)
    assert first.seconds == 600
    second = payment([order], {first.key})
    assert isinstance(second, PaidFee)
    assert second.seconds == 60
    assert payment([order], {first.key, second.key}) == Refusal(
        Reason.FEE_SPENT, "the provider fee has paid for another job"
    )


def test_a_job_without_any_paid_fee_is_not_paid() -> None:
    free = accepted(ASKED, FACTS)
    for orders in ([free], []):
        found = payment(orders)
        assert isinstance(found, Refusal)
        assert found.reason == Reason.FEES_NOT_PAID


@pytest.mark.parametrize(
    ("timeouts", "with_fee", "end"),
    [
        pytest.param((0, 0), False, None, id="nothing ends"),
        pytest.param((0, 100), False, chain.BLOCK_TIME + 100, id="one service ends"),
        pytest.param((200, 100), False, chain.BLOCK_TIME + 100, id="the earlier end counts"),
        pytest.param((0, 0), True, chain.BLOCK_TIME + 690, id="the fee ends"),
        pytest.param((100, 0), True, chain.BLOCK_TIME + 100, id="the service ends before"),
    ],
)
def test_the_last_moment_to_start(
    timeouts: tuple[int, ...], with_fee: bool, end: int | None
) -> None:
    orders = [accepted(replace(PAID_ASKED, timeout=t), seen(*PAID)) for t in timeouts]
    fee = payment(orders) if with_fee else None
    assert not isinstance(fee, Refusal)
    assert valid_until(orders, fee) == end


def test_only_so_many_reused_orders_are_followed() -> None:
    logs = [chain.reused(f"0x{n:064x}") for n in (*range(1, 30), 1)]
    assert len(reused_orders(chain.receipt(*logs), chain.DATATOKEN)) == MAX_REUSES


def test_a_higher_price_in_another_token_is_no_obstacle() -> None:
    asked = replace(ASKED, prices=(Price(chain.STRANGER, fees.Decimal(1000), 18), chain.PRICE))
    assert accepted(asked, seen(*PAID)).fees


_ADDRESSES = st.sampled_from(
    [chain.CONSUMER, chain.STRANGER, chain.ENVIRONMENT_CONSUMER, chain.FACTORY]
)
_EMITTERS = st.sampled_from([chain.DATATOKEN, chain.OTHER_DATATOKEN, chain.STRANGER])
_STARTED = st.builds(
    chain.started,
    emitter=_EMITTERS,
    consumer=_ADDRESSES,
    payer=_ADDRESSES,
    amount=st.sampled_from([0, 10**18]),
    service_index=st.integers(0, 1),
)
_FEES = st.builds(
    chain.charged,
    st.sampled_from([chain.offered(), chain.paid(), chain.paid(environment="x")]),
    emitter=_EMITTERS,
    key=st.sampled_from([chain.PROVIDER_KEY, chain.STRANGER_KEY]),
)


@given(st.lists(_STARTED, max_size=3), st.lists(_FEES, max_size=2), _ADDRESSES, _ADDRESSES)
def test_no_order_is_accepted_that_nothing_bought(
    bought: list[Any], charged: list[Any], sender: str, to: str
) -> None:
    """Whatever is mixed: one log alone must satisfy every condition of a purchase."""
    order = judge(PAID_ASKED, seen(*bought, *charged, sender=sender, to=to), POLICY)
    if isinstance(order, Refusal):
        return
    started = [event for log in bought if isinstance(event := decode(log), OrderStarted)]
    assert any(
        event.emitter == chain.DATATOKEN
        and event.service_index == 1
        and event.amount >= 10**18
        and (
            event.consumer == chain.CONSUMER
            or (
                event.consumer == chain.ENVIRONMENT_CONSUMER
                and (
                    event.payer == chain.CONSUMER
                    or (event.payer, to, sender) == (chain.FACTORY, chain.FACTORY, chain.CONSUMER)
                )
            )
        )
        for event in started
    )


REMOTE = replace(ASKED, is_remote=True, fee_addresses=frozenset())
OF_OTHERS = chain.charged(chain.paid(address=chain.STRANGER), key=chain.STRANGER_KEY)


@pytest.mark.parametrize(
    "logs",
    [
        pytest.param((chain.started(), OF_OTHERS), id="a fee of another provider"),
        pytest.param((chain.started(), chain.charged(chain.paid())), id="even a fee of ours"),
        pytest.param((chain.started(),), id="no fee at all"),
    ],
)
def test_the_fee_of_a_remote_order_is_its_providers_and_pays_for_nothing(logs: Any) -> None:
    order = accepted(REMOTE, seen(*logs))
    assert order.fees == ()
    found = payment([order])
    assert isinstance(found, Refusal)
    assert found.reason == Reason.FEES_NOT_PAID


@pytest.mark.parametrize(
    ("asked", "facts", "reason"),
    [
        pytest.param(
            REMOTE,
            seen(chain.started(consumer=chain.CONSUMER), OF_OTHERS),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="ordered for who asks, whose signature we have not",
        ),
        pytest.param(
            REMOTE,
            seen(chain.started(payer=chain.STRANGER), OF_OTHERS),
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="paid by another",
        ),
        pytest.param(
            replace(REMOTE, environment_consumer=""),
            FACTS,
            Reason.ORDER_OF_OTHER_CONSUMER,
            id="an environment that nobody stands for",
        ),
        pytest.param(
            replace(REMOTE, service_index=0),
            FACTS,
            Reason.ORDER_OF_OTHER_SERVICE,
            id="another service",
        ),
        pytest.param(
            REMOTE,
            seen(chain.started(amount=1), OF_OTHERS),
            Reason.ORDER_TOO_SMALL,
            id="less than a datatoken",
        ),
        pytest.param(
            REMOTE,
            replace(FACTS, now=chain.BLOCK_TIME + 3601),
            Reason.ORDER_EXPIRED,
            id="a service that has ended",
        ),
    ],
)
def test_all_else_of_a_remote_order_is_judged(asked: Asked, facts: Facts, reason: Reason) -> None:
    found = judge(asked, facts, POLICY)
    assert isinstance(found, Refusal)
    assert found.reason == reason


def test_a_client_may_ask_in_the_name_of_the_environment() -> None:
    accepted(replace(REMOTE, consumer=chain.ENVIRONMENT_CONSUMER), FACTS)

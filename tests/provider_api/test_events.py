"""Logs, decoded: what Ocean's contracts write, and what only looks like it."""

from dataclasses import replace

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

import chain_facts as facts
from c2d_provider import events
from c2d_provider.events import OrderReused, OrderStarted, ProviderFee, RawLog, decode


@pytest.mark.parametrize(
    ("signature", "topic"),
    [
        (facts.ORDER_STARTED, events.ORDER_STARTED),
        (facts.ORDER_REUSED, events.ORDER_REUSED),
        (facts.PROVIDER_FEE, events.PROVIDER_FEE),
    ],
)
def test_a_topic_is_the_hash_of_its_signature(signature: str, topic: str) -> None:
    assert topic == f"0x{keccak(text=signature).hex()}"


def test_an_order_is_decoded() -> None:
    assert decode(facts.started(), 3) == OrderStarted(
        emitter=facts.DATATOKEN,
        position=3,
        consumer=facts.ENVIRONMENT_CONSUMER,
        payer=facts.CONSUMER,
        amount=10**18,
        service_index=1,
        timestamp=facts.BLOCK_TIME,
    )


def test_a_reused_order_is_decoded() -> None:
    assert decode(facts.reused()) == OrderReused(
        facts.DATATOKEN, 0, facts.TRANSACTION, facts.CONSUMER, facts.BLOCK_TIME
    )


def test_a_fee_is_decoded() -> None:
    event = decode(facts.charged(facts.paid()))
    assert isinstance(event, ProviderFee)
    assert (event.address, event.token) == (facts.PROVIDER, facts.TOKEN)
    assert (event.amount, event.valid_until) == (6 * 10**18, facts.BLOCK_TIME + 540)


STARTED = facts.started()
FEE = facts.charged()


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(replace(STARTED, topics=()), id="no topics"),
        pytest.param(replace(STARTED, topics=(bytes(32),)), id="another event"),
        pytest.param(replace(STARTED, topics=STARTED.topics[:2]), id="a topic too few"),
        pytest.param(replace(STARTED, topics=(*STARTED.topics, bytes(32))), id="one too many"),
        pytest.param(
            replace(STARTED, topics=(STARTED.topics[0], b"\x01" * 32, bytes(32))),
            id="a topic that is no address",
        ),
        pytest.param(
            replace(STARTED, topics=(STARTED.topics[0], bytes(20), bytes(32))), id="a short topic"
        ),
        pytest.param(replace(STARTED, data=b""), id="no data"),
        pytest.param(replace(STARTED, data=STARTED.data[:-1]), id="data cut short"),
        pytest.param(replace(STARTED, data=b"\xff" * 160), id="a payer that is no address"),
        pytest.param(replace(FEE, data=FEE.data[:32] + b"\xff" * 200), id="data beyond its end"),
        pytest.param(
            replace(FEE, data=FEE.data[:32] + (2**255).to_bytes(32, "big") + FEE.data[64:]),
            id="data at an impossible place",
        ),
        pytest.param(replace(STARTED, emitter="0x12"), id="no emitter"),
    ],
)
def test_what_is_malformed_is_no_event(log: RawLog) -> None:
    assert decode(log) is None


@given(
    st.sampled_from([events.ORDER_STARTED, events.ORDER_REUSED, events.PROVIDER_FEE]),
    st.lists(st.binary(min_size=30, max_size=33), max_size=4),
    st.binary(max_size=400),
)
def test_no_log_makes_it_fail(topic: str, topics: list[bytes], data: bytes) -> None:
    decode(RawLog(facts.DATATOKEN, (bytes.fromhex(topic[2:]), *topics), data))


def test_only_events_of_the_emitter_asked_for_are_listed() -> None:
    forged = replace(STARTED, emitter=facts.OTHER_DATATOKEN)
    listed = list(events.emitted_by((forged, STARTED, FEE), facts.DATATOKEN.lower()))
    assert [event.position for event in listed] == [1, 2]

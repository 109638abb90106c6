"""Fees: their price, their signature, and what is read back from the chain."""

import json
from decimal import Decimal

import pytest
from eth_account import Account
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

import chain_facts as facts
from c2d_provider.fees import (
    Fee,
    Offer,
    Price,
    SignedFee,
    by_minute,
    by_second,
    digest,
    fee_of,
    read_offer,
    sign,
    signer,
)

# Hash and signature of this fee were made with provider v2's own code.
OFFER = Offer("0x5555555555555555555555555555555555555555", "svc-1", "ocean-compute", 1_700_000_000)
FEE = Fee(
    "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
    "0x4444444444444444444444444444444444444444",
    10**18,
    OFFER.encode(),
    1_700_003_600,
)


def test_the_offer_is_written_as_provider_v2_writes_it() -> None:
    assert OFFER.encode() == (
        b'{"environment":"ocean-compute","timestamp":1700000000.0,'
        b'"dt":"0x5555555555555555555555555555555555555555","id":"svc-1"}'
    )


def test_the_offer_is_written_as_the_node_writes_it() -> None:
    """From an answer that ocean.js 8.6.2 took (recorded requests, initializeCompute)."""
    written = (
        "7b226474223a22307830446231443043666362613937463764633541463736636645433161363436633333"
        "634439323937222c226964223a226234373063633039623763356430653864646639653339623833613736"
        "6633663062303464353763323733636437636166633339643962663930363464326264227d"
    )
    offer = Offer(
        facts.OTHER_DATATOKEN, "b470cc09b7c5d0e8ddf9e39b83a76f3f0b04d57c273cd7cafc39d9bf9064d2bd"
    )
    assert offer.encode().hex() == written
    assert read_offer(bytes.fromhex(written)) == offer


def test_the_hash_is_that_of_the_contract() -> None:
    expected = "2ecf552828f4997d38576457fc1cf23ddb23314f0e29c3f133581384ca715c43"
    assert digest(FEE).hex() == expected


def test_the_signature_is_that_of_provider_v2() -> None:
    assert sign(FEE, facts.PROVIDER_KEY).as_dict() == {
        "providerFeeAddress": "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A",
        "providerFeeToken": "0x4444444444444444444444444444444444444444",
        "providerFeeAmount": "1000000000000000000",
        "providerData": "0x" + OFFER.encode().hex(),
        "v": 28,
        "r": "0xbd5d1a59234b3514a74e952c242fc3067c7bf173a140bb5a1058470786ef472b",
        "s": "0x6bf011b0343fc8916f1d21088b5856f07ab421e0699724ef971320382e235446",
        "validUntil": 1700003600,
    }


def test_the_signer_of_a_fee_is_known() -> None:
    assert signer(sign(FEE, facts.PROVIDER_KEY)) == facts.PROVIDER
    assert signer(sign(FEE, facts.STRANGER_KEY)) == facts.STRANGER
    assert signer(SignedFee(FEE, 27, bytes(32), bytes(32))) is None


@given(st.integers(0, 2**256 - 1), st.integers(0, 2**256 - 1), st.binary(max_size=40))
def test_signing_agrees_with_eth_account(amount: int, end: int, data: bytes) -> None:
    fee = Fee(facts.PROVIDER, facts.TOKEN, amount, data, end)
    message = encode_defunct(primitive=digest(fee))
    theirs = Account.sign_message(message, facts.PROVIDER_KEY)
    ours = sign(fee, facts.PROVIDER_KEY)
    assert (ours.v, ours.r, ours.s) == (
        theirs.v,
        theirs.r.to_bytes(32, "big"),
        theirs.s.to_bytes(32, "big"),
    )


DAY = 24 * 3600


@pytest.mark.parametrize(
    ("seconds", "per_minute", "decimals", "amount"),
    [
        pytest.param(0, "1", 18, 0, id="no time"),
        pytest.param(-5, "1", 18, 0, id="less than no time"),
        pytest.param(60, "1", 18, 10**18, id="a minute"),
        pytest.param(90, "1", 18, 15 * 10**17, id="a minute and a half"),
        pytest.param(DAY + 5, "1", 18, (DAY + 5) * 10**18 // 60 + 1, id="a day and five seconds"),
        pytest.param(25 * 3600, "1", 6, 1500 * 10**6, id="25 hours are not one"),
        pytest.param(400 * DAY, "0.1", 6, 400 * 24 * 60 * 10**5, id="more than a year"),
        pytest.param(1, "0.000001", 6, 1, id="what has a price is not free"),
        pytest.param(60, "0", 18, 0, id="a free environment"),
        pytest.param(60, "0.3", 18, 3 * 10**17, id="tenths are exact"),
    ],
)
def test_every_second_is_priced(seconds: int, per_minute: str, decimals: int, amount: int) -> None:
    assert by_second(seconds, Price(facts.TOKEN, Decimal(per_minute), decimals)) == amount


@pytest.mark.parametrize(
    ("seconds", "least", "amount"),
    [
        pytest.param(0, 0, 0, id="no time"),
        pytest.param(1, 0, 5, id="a begun minute"),
        pytest.param(60, 0, 5, id="a whole minute"),
        pytest.param(61, 0, 10, id="another begun minute"),
        pytest.param(1, 300, 25, id="the least duration"),
        pytest.param(DAY + 1, 0, 5 * 1441, id="a day and a second"),
    ],
)
def test_the_node_prices_begun_minutes(seconds: int, least: int, amount: int) -> None:
    assert by_minute(seconds, Price(facts.TOKEN, Decimal(5), 0), least) == amount


def test_a_fee_has_the_price_of_its_time() -> None:
    fee = fee_of(
        OFFER, facts.PROVIDER.lower(), Price(facts.TOKEN, Decimal("0.5"), 18), 1_700_086_460
    )
    assert (fee.address, fee.token) == (facts.PROVIDER, facts.TOKEN)
    assert fee.amount == 1441 * 10**18 // 2  # a day and a minute


@pytest.mark.parametrize(
    ("offer", "price"),
    [
        pytest.param(OFFER, None, id="a free environment, or an order that carries none"),
        pytest.param(OFFER, Price(facts.TOKEN, Decimal(0), 18), id="a price of nothing"),
        pytest.param(OFFER, Price(facts.ZERO, Decimal(1), 18), id="no token"),
        pytest.param(
            Offer(facts.DATATOKEN, "1"), Price(facts.TOKEN, Decimal(1), 18), id="the node's"
        ),
    ],
)
def test_an_offer_of_nothing_is_a_fee_all_the_same(offer: Offer, price: Price | None) -> None:
    signed = sign(fee_of(offer, facts.PROVIDER, price, 1_700_003_600), facts.PROVIDER_KEY)
    assert (signed.fee.amount, signed.fee.token) == (0, facts.ZERO)
    assert signer(signed) == facts.PROVIDER


@pytest.mark.parametrize("offer", [OFFER, Offer(facts.DATATOKEN, "ünïcode \u2713")])
def test_an_offer_is_read_back(offer: Offer) -> None:
    assert read_offer(offer.encode()) == offer


GOOD = json.loads(OFFER.encode())


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"\xff", id="no text"),
        pytest.param(b"{" * 50, id="too deep"),
        pytest.param(json.dumps({"dt": GOOD["dt"]}).encode(), id="no service"),
        pytest.param(json.dumps({**GOOD, "id": 1}).encode(), id="a service that is a number"),
        pytest.param(json.dumps({**GOOD, "dt": "0x12"}).encode(), id="no datatoken"),
        pytest.param(json.dumps({**GOOD, "more": 1}).encode(), id="another key"),
        pytest.param(json.dumps({**GOOD, "timestamp": True}).encode(), id="a time that is true"),
        pytest.param(json.dumps({**GOOD, "timestamp": "1"}).encode(), id="a time that is text"),
        pytest.param(json.dumps({**GOOD, "timestamp": -1}).encode(), id="a time before all"),
        pytest.param(json.dumps({**GOOD, "timestamp": 1e300}).encode(), id="a time after all"),
        pytest.param(json.dumps({**GOOD, "timestamp": None}).encode(), id="no time"),
        pytest.param(json.dumps({**GOOD, "environment": None}).encode(), id="no environment"),
        pytest.param(
            OFFER.encode().replace(b'"svc-1"', b'"svc-1","id":"svc-2"'), id="two services"
        ),
    ],
)
def test_what_we_never_wrote_is_no_offer(data: bytes) -> None:
    assert read_offer(data) is None

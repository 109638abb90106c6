"""Nonces: strictly rising, per address, in a bounded store that forgets without forgiving."""

from dataclasses import replace
from decimal import Decimal
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from c2d_provider.nonces import (
    CAPACITY,
    COUNTABLE,
    MAX_DIGITS,
    REPEATABLE_SECONDS,
    SHARDS,
    Nonce,
    Shard,
    advance,
    current,
    decode,
    issue,
    parse,
    shard_of,
    use,
)
from c2d_provider.refusals import Reason, Refusal, Refused

ADDRESS = "0x19E7E376E7C213B7E7e7e46cc70A5dD086DAff2A"
NOW = 1_800_000_000
EMPTY = Shard()


def advanced(shard: Shard, nonce: object, address: str = ADDRESS, signature: str = "") -> Shard:
    text = str(nonce)
    found = advance(shard, address, parse(text), use(signature or f"{address}{text}", "GET"), NOW)
    assert isinstance(found, Shard), found
    return found


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        pytest.param("0", "0", id="zero"),
        pytest.param("1", "1", id="one"),
        pytest.param(1, "1", id="a JSON number, by ocean.py"),
        pytest.param("1" * MAX_DIGITS, "1" * MAX_DIGITS, id="a digit more each time, ocean.js 3.1"),
        pytest.param("1700000000000", "1700000000000", id="milliseconds"),
        pytest.param(2**70, str(2**70), id="a large JSON number"),
        pytest.param("1700000000.123456", "1700000000.123456", id="a fraction of a second"),
        pytest.param("0.5", "0.5", id="less than one"),
    ],
)
def test_a_nonce_is_read(sent: object, text: str) -> None:
    assert parse(sent).text == text


@pytest.mark.parametrize(
    ("before", "least", "expected"),
    [
        pytest.param(EMPTY, 1000, "1000", id="the clock's"),
        pytest.param(advanced(EMPTY, 1000), 1000, "1001", id="above the last"),
        pytest.param(advanced(EMPTY, "1000.5"), 7, "1001", id="a clock that lags, a fraction"),
        pytest.param(advanced(EMPTY, 10**30), 7, str(10**30 + 1), id="above a huge one"),
        pytest.param(replace(EMPTY, floor=parse("5000")), 7, "5001", id="above what was forgotten"),
    ],
)
def test_a_nonce_is_issued_above_all_that_were_used(
    before: Shard, least: int, expected: str
) -> None:
    found = issue(before, ADDRESS.lower(), least)
    assert not isinstance(found, Refusal)
    after, nonce = found
    assert nonce.text == expected
    again = advance(after, ADDRESS, nonce, use("0x12", "GET"), NOW)
    assert isinstance(again, Refusal), "what was issued is used"
    assert decode(after.encode()).entries[ADDRESS].nonce == nonce


def test_issuing_forgets_no_repeat() -> None:
    before = advanced(EMPTY, 5)
    found = issue(before, ADDRESS, 6)
    assert not isinstance(found, Refusal)
    assert found[0].entries[ADDRESS].repeats == before.entries[ADDRESS].repeats


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param(True, id="true"),
        pytest.param(1.0, id="a float"),
        pytest.param(-1, id="negative"),
        pytest.param("-1", id="a negative text"),
        pytest.param("+1", id="a sign"),
        pytest.param("1e3", id="an exponent"),
        pytest.param("01", id="a leading zero"),
        pytest.param("00", id="two zeros"),
        pytest.param(".5", id="no digit before the point"),
        pytest.param("1.", id="no digit behind the point"),
        pytest.param("1_000", id="an underscore"),
        pytest.param("1,000", id="a comma"),
        pytest.param("0x10", id="hexadecimal"),
        pytest.param(" 1", id="a space"),
        pytest.param("1\n", id="a line feed"),
        pytest.param("\u0661", id="an Arabic digit"),
        pytest.param("\uff11", id="a full-width digit"),
        pytest.param("\u00b2", id="a superscript"),
        pytest.param("NaN", id="NaN"),
        pytest.param("Infinity", id="infinity"),
        pytest.param("1/2", id="a quotient"),
        pytest.param("1" * (MAX_DIGITS + 1), id="too long"),
        pytest.param(10**MAX_DIGITS, id="too large"),
        pytest.param("0." + "1" * 19, id="too fine"),
        pytest.param(["1"], id="a list"),
    ],
)
def test_what_is_no_nonce(sent: object) -> None:
    with pytest.raises(Refused) as refused:
        parse(sent)
    assert refused.value.refusal.reason == Reason.INVALID_NONCE


@pytest.mark.parametrize(
    ("before", "after", "accepted"),
    [
        pytest.param("5", "6", True, id="one more"),
        pytest.param("5", "5", False, id="the same"),
        pytest.param("5", "4", False, id="less"),
        pytest.param("9", "10", True, id="as a number, not as a text"),
        pytest.param("11", "111", True, id="a digit appended"),
        pytest.param("5", "5.0", False, id="the same in another spelling"),
        pytest.param("5", "5.000000000000000001", True, id="a fraction more"),
        pytest.param("9007199254740992", "9007199254740993", True, id="beyond doubles"),
        pytest.param("1" * 127, "1" * 128, True, id="very large"),
        pytest.param("1" * 128, "1" * 127, False, id="very large, less"),
    ],
)
def test_only_a_higher_nonce_is_taken(before: str, after: str, accepted: bool) -> None:
    shard = advanced(EMPTY, before)
    found = advance(shard, ADDRESS, parse(after), use("another", "GET"), NOW)
    assert isinstance(found, Shard) == accepted
    if isinstance(found, Refusal):
        assert found.reason == Reason.NONCE_USED
        assert found.message == (
            f"Invalid signature expected nonce ({before}) > current nonce ({after})."
        )


def test_other_letter_case_is_the_same_address() -> None:
    shard = advanced(EMPTY, 5)
    found = advance(shard, ADDRESS.lower(), parse("5"), use("another", "GET"), NOW)
    assert isinstance(found, Refusal)
    assert shard_of(ADDRESS) == shard_of(ADDRESS.lower())
    assert current(shard, ADDRESS.lower()) == "5"


def test_addresses_have_nonces_of_their_own() -> None:
    shard = advanced(EMPTY, 5)
    assert len(advanced(shard, 1, "0x" + "22" * 20).entries) == 2


SIGNATURE = "0x" + "ab" * 64 + "1b"
DOWNLOAD = use(SIGNATURE, "GET /computeResult job 12", may_repeat=True)


@pytest.mark.parametrize(
    ("used", "later", "accepted"),
    [
        pytest.param(DOWNLOAD, 1, True, id="the very same download"),
        pytest.param(DOWNLOAD, REPEATABLE_SECONDS - 1, True, id="within ten minutes"),
        pytest.param(DOWNLOAD, REPEATABLE_SECONDS, False, id="after ten minutes"),
        pytest.param(
            use(SIGNATURE[:-2] + "00", "GET /computeResult job 12", may_repeat=True),
            1,
            True,
            id="with v in another spelling",
        ),
        pytest.param(
            use(SIGNATURE, "GET /computeResult job 1", may_repeat=True), 1, False, id="another file"
        ),
        pytest.param(
            use("0x" + "ab" * 63 + "ac1b", "GET /computeResult job 12", may_repeat=True),
            1,
            False,
            id="another signature",
        ),
        pytest.param(
            use(SIGNATURE, "GET /computeResult job 12"), 1, False, id="where nothing may repeat"
        ),
    ],
)
def test_a_download_can_be_resumed(used: object, later: int, accepted: bool) -> None:
    shard = advance(EMPTY, ADDRESS, parse("3"), DOWNLOAD, NOW)
    assert isinstance(shard, Shard)
    between = advance(shard, ADDRESS, parse("4"), use("next", "PUT"), NOW)
    assert isinstance(between, Shard)
    for known in (shard, between):
        found = advance(known, ADDRESS, parse("3"), used, NOW + later)  # type: ignore[arg-type]  # a wide type of the table
        assert (found is known) == accepted
        if not accepted:
            assert isinstance(found, Refusal)


def test_one_signature_has_one_reading() -> None:
    """Index 12 with nonce 3 and index 1 with nonce 23 are one signed text in provider v2."""
    shard = advance(EMPTY, ADDRESS, parse("3"), DOWNLOAD, NOW)
    assert isinstance(shard, Shard)
    other = use(SIGNATURE, "GET /computeResult job 1", may_repeat=True)
    found = advance(shard, ADDRESS, parse("23"), other, NOW + 1)
    assert found == Refusal(Reason.NONCE_USED, "the signature was used before")


def test_a_start_cannot_be_repeated() -> None:
    start = use(SIGNATURE, "POST /compute")
    shard = advance(EMPTY, ADDRESS, parse("3"), start, NOW)
    assert isinstance(shard, Shard)
    assert isinstance(advance(shard, ADDRESS, parse("3"), start, NOW + 1), Refusal)


@pytest.mark.parametrize(
    "nonce",
    [
        *("1", "41", "0.5", "1700000000.25", "1800000000000000001", "9" * 20, "1" * 60),
        *(str(2**53), str(2**53 + 1), str(2**60 + 3), str(10**20 - 1), "8" * MAX_DIGITS),
    ],
)
def test_clients_that_count_on_from_the_answer_get_above_it(nonce: str) -> None:
    shard = advanced(EMPTY, nonce)
    answer = current(shard, ADDRESS)
    python = ceil(float(answer)) + 1  # ocean.py
    javascript = Decimal(repr(float(answer) + 1))  # ocean.js, whose digits are Python's
    assert python > parse(nonce).value
    assert javascript > parse(nonce).value
    assert isinstance(advance(shard, ADDRESS, parse(str(python)), use("x", ""), NOW), Shard)


def test_an_unknown_address_starts_at_the_floor() -> None:
    assert current(EMPTY, ADDRESS) == "0"
    assert current(Shard(floor=parse("41.5")), ADDRESS) == "42"


def test_a_shard_is_read_back_as_it_was_written() -> None:
    shard = advance(advanced(EMPTY, "12.5"), ADDRESS, parse("13"), DOWNLOAD, NOW)
    assert isinstance(shard, Shard)
    shard = replace(shard, floor=parse("7.25"))
    assert decode(shard.encode()) == shard
    assert set(shard.encode()) == {ADDRESS, "floor"}


@pytest.mark.parametrize(
    "data",
    [
        pytest.param({ADDRESS: "x"}, id="no nonce"),
        pytest.param({"x": "1"}, id="no address"),
        pytest.param({ADDRESS: "1 a:b"}, id="half a use"),
        pytest.param({ADDRESS: "1", "floor": "x"}, id="no floor"),
    ],
)
def test_a_broken_store_is_no_empty_store(data: dict[str, str]) -> None:
    with pytest.raises(Refused):
        decode(data)


def test_a_full_shard_fits_an_object() -> None:
    entry = EMPTY
    for last in range(4):
        nonce = "9" * (MAX_DIGITS - 1) + str(last) + "." + "1" * 18
        entry = advanced(entry, nonce, signature=str(last))
    (key, value), _ = entry.encode().items()
    assert len(entry.entries[ADDRESS].repeats) == 4
    assert CAPACITY * (len(key) + len(value)) < 250_000


def address(number: int) -> str:
    return f"0x{number:040x}"


def test_addresses_are_spread_over_the_shards() -> None:
    found = [shard_of(address(n)) for n in range(20 * SHARDS)]
    assert set(found) == set(range(SHARDS))


def test_huge_nonces_take_half_of_a_shard_at_most() -> None:
    shard = EMPTY
    for n in range(4):
        shard = grown(shard, n, COUNTABLE + 1 + n)
    refusal = advance(shard, address(9), parse(str(COUNTABLE + 1)), use("x", ""), NOW, 8)
    assert isinstance(refusal, Refusal)
    assert refusal.reason == Reason.NONCE_STORE_FULL
    shard = grown(shard, 0, COUNTABLE + 50)  # who has a place keeps it
    for n in range(10, 30):
        shard = grown(shard, n, 1000 + n)
    assert len(shard.entries) == 8
    assert shard.floor.value < COUNTABLE


def grown(shard: Shard, who: int, nonce: int) -> Shard:
    found = advance(shard, address(who), parse(str(nonce)), use(f"{who} {nonce}", ""), NOW, 8)
    assert isinstance(found, Shard), found
    return found


class Replayers(RuleBasedStateMachine):
    """Many addresses, few places, and somebody who saw every request."""

    def __init__(self) -> None:
        super().__init__()
        self.shard = EMPTY
        self.seen: list[tuple[int, Nonce]] = []

    @rule(who=st.integers(0, 9), nonce=st.integers(0, 40) | st.integers(COUNTABLE, COUNTABLE + 9))
    def request(self, who: int, nonce: int) -> None:
        self._try(who, parse(str(nonce)))

    @rule(who=st.integers(0, 9))
    def count_on(self, who: int) -> None:
        """Who counts on from the answer gets in, whoever else did what."""
        before, nonce = self.shard, parse(str(int(current(self.shard, address(who))) + 1))
        self._try(who, nonce)
        assert self.shard is not before or nonce.value > COUNTABLE

    @precondition(lambda self: self.seen)
    @rule(data=st.data(), later=st.integers(0, 10**6))
    def replay(self, data: st.DataObject, later: int) -> None:
        who, nonce = data.draw(st.sampled_from(self.seen))
        used = use(f"{who} {nonce.text}", "POST")
        found = advance(
            self.shard, address(who).upper().replace("X", "x"), nonce, used, NOW + later, 4
        )
        assert isinstance(found, Refusal)

    @invariant()
    def is_bounded(self) -> None:
        assert len(self.shard.entries) <= 4
        huge = [e for e in self.shard.entries.values() if e.nonce.value > COUNTABLE]
        assert len(huge) <= 2
        assert decode(self.shard.encode()) == self.shard

    def _try(self, who: int, nonce: Nonce) -> None:
        used = use(f"{who} {nonce.text}", "POST")
        found = advance(self.shard, address(who), nonce, used, NOW, 4)
        if isinstance(found, Shard):
            self.shard = found
            self.seen.append((who, nonce))


TestReplayers = Replayers.TestCase


@given(st.integers(1, 10**30))
def test_the_answer_is_above_for_every_size(number: int) -> None:
    shard = advanced(EMPTY, number)
    answer = current(shard, ADDRESS)
    assert int(answer) >= number
    assert ceil(float(answer)) + 1 > number
    assert Decimal(repr(float(answer) + 1)) > number

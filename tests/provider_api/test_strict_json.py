"""JSON from strangers: one meaning, bounded, or refused."""

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_provider import fields
from c2d_provider.refusals import Reason, Refused
from c2d_provider.strict_json import MAX_DEPTH, compact, parse

LIMIT = 1000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", Reason.MALFORMED, id="nothing"),
        pytest.param(b"{", Reason.MALFORMED, id="half"),
        pytest.param(b"{} {}", Reason.MALFORMED, id="two documents"),
        pytest.param(b'{"a":1,"a":2}', Reason.MALFORMED, id="two values for one key"),
        pytest.param(b'{"a":1,"\\u0061":2}', Reason.MALFORMED, id="one key in two spellings"),
        pytest.param(b'[{"a":{"b":1,"b":1}}]', Reason.MALFORMED, id="deep, two values for a key"),
        pytest.param(b'{"a":NaN}', Reason.MALFORMED, id="NaN"),
        pytest.param(b"[Infinity]", Reason.MALFORMED, id="infinity"),
        pytest.param(b"[-Infinity]", Reason.MALFORMED, id="minus infinity"),
        pytest.param(b"[1e999]", Reason.MALFORMED, id="infinity, written as a number"),
        pytest.param(b"1" * 81, Reason.MALFORMED, id="an endless number"),
        pytest.param(b'["\\ud800"]', Reason.MALFORMED, id="a lone surrogate"),
        pytest.param(b'{"\\udfff":1}', Reason.MALFORMED, id="a lone surrogate as key"),
        pytest.param(b"\xff\xfe{\x00}\x00", Reason.MALFORMED, id="UTF-16"),
        pytest.param(b"\xef\xbb\xbf{}", Reason.MALFORMED, id="a byte order mark"),
        pytest.param(b'"' + b"a" * LIMIT + b'"', Reason.TOO_LARGE, id="too large"),
        pytest.param(b"[" * 60 + b"]" * 60, Reason.MALFORMED, id="too deep"),
        pytest.param("\ud800", Reason.MALFORMED, id="text that is no Unicode"),
    ],
)
def test_a_hostile_document_is_refused(data: bytes | str, reason: Reason) -> None:
    with pytest.raises(Refused) as refused:
        parse(data, LIMIT)
    assert refused.value.refusal.reason == reason


def test_very_deep_nesting_does_not_exhaust_the_stack() -> None:
    with pytest.raises(Refused):
        parse("[" * 200_000, 10**6)
    with pytest.raises(Refused):
        parse('["\\\\",' * 200_000, 10**7)


def test_brackets_in_texts_are_no_depth() -> None:
    assert parse(json.dumps(['"[' * 100, "\\"]), LIMIT) == ['"[' * 100, "\\"]


def test_the_allowed_depth_is_read() -> None:
    parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, LIMIT)


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**70), 10**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=10,
)


@given(_VALUES)
def test_what_is_fit_to_read_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value), 10**6) == value
    assert parse(compact(value), 10**6) == value


@given(st.binary(max_size=100) | st.text(max_size=100))
def test_nothing_but_a_refusal_comes_out(data: bytes | str) -> None:
    with contextlib.suppress(Refused):
        parse(data, 50)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(lambda: fields.text({}, "a"), id="missing text"),
        pytest.param(lambda: fields.text({"a": ""}, "a"), id="empty text"),
        pytest.param(lambda: fields.text({"a": 1}, "a"), id="a number for a text"),
        pytest.param(lambda: fields.text({"a": "b" * 9}, "a", most=8), id="too long"),
        pytest.param(lambda: fields.integer({"a": True}, "a"), id="true for a number"),
        pytest.param(lambda: fields.integer({"a": 1.0}, "a"), id="1.0 for a whole number"),
        pytest.param(lambda: fields.integer({"a": "1"}, "a"), id="a text for a number"),
        pytest.param(lambda: fields.integer({"a": -1}, "a"), id="too small"),
        pytest.param(lambda: fields.integer({"a": 2**63}, "a"), id="too large"),
        pytest.param(lambda: fields.flag({"a": "false"}, "a"), id="a text for false"),
        pytest.param(lambda: fields.flag({"a": 0}, "a"), id="zero for false"),
        pytest.param(lambda: fields.mapping([], "a"), id="a list for an object"),
        pytest.param(lambda: fields.sequence({}, "a"), id="an object for a list"),
        pytest.param(lambda: fields.sequence("ab", "a"), id="a text for a list"),
        pytest.param(lambda: fields.sequence([1, 2], "a", 1), id="a list that is too long"),
    ],
)
def test_a_field_of_another_type_is_refused(read: Any) -> None:
    with pytest.raises(Refused) as refused:
        read()
    assert refused.value.refusal.message.startswith("a ")

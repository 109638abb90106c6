"""A sealed job is bound to one object, as long as a copy of it could be of use."""

import pytest

from c2d_provider.bindings import Binding, Bindings, bind, decode, shard_of
from c2d_provider.refusals import Refused

NOW = 1000
KNOWN = Bindings({"job": Binding("first", 2000), "old": Binding("ended", 999)})


@pytest.mark.parametrize(
    ("name", "uid", "now", "stored"),
    [
        pytest.param("new", "u", NOW, {"job": "first 2000", "new": "u 1500"}, id="a new job"),
        pytest.param("old", "u", NOW, {"job": "first 2000", "old": "u 1500"}, id="one that ended"),
        pytest.param("job", "other", 2000, None, id="a copy, in the last second"),
        pytest.param("job", "other", 2001, {"job": "other 1500"}, id="a copy that is too late"),
        pytest.param("job", "other", NOW, None, id="a copy"),
    ],
)
def test_the_first_object_is_bound(
    name: str, uid: str, now: int, stored: dict[str, str] | None
) -> None:
    after = bind(KNOWN, name, Binding(uid, 1500), now)
    assert (after.encode() if after else None) == stored


def test_the_same_object_again_needs_no_write() -> None:
    assert bind(KNOWN, "job", Binding("first", 2000), NOW) is KNOWN


def test_what_is_stored_is_read_back() -> None:
    assert decode(KNOWN.encode()) == KNOWN
    assert decode({}) == Bindings()


@pytest.mark.parametrize("text", ["", "uid", "uid soon", "uid 1 2", "uid -1", "uid ²"])
def test_what_makes_no_sense_is_not_taken_for_nothing(text: str) -> None:
    with pytest.raises(Refused):
        decode({"job": text})


def test_jobs_are_spread_over_the_shards() -> None:
    assert {shard_of(f"{number:032x}") for number in range(5000)} == set(range(256))

"""What is swept: the rules as tables, and what a sweep may never do whatever it finds."""

from contextlib import suppress
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.results import MANIFEST
from c2d_api.times import format_time
from c2d_pods.retention import (
    DamagedError,
    Entry,
    Rules,
    is_left_over,
    is_own,
    is_uid,
    understood,
)
from c2d_pods.sweeper import Sweep
from sweeping import FILES, FUTURE, NOW, PAST, Shelf, manifest, uid_of

MARGIN, AGE = timedelta(minutes=5), timedelta(days=8)
RULES = Rules(NOW, MARGIN, AGE)
OLD, YOUNG = NOW - timedelta(days=9), NOW - timedelta(days=7)
SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("name", "of_a_job"),
    [
        ("6b1f3c7e-0000-4000-8000-000000000001", True),
        ("6B1F3C7E-0000-4000-8000-000000000001", False),
        ("6b1f3c7e-0000-4000-8000-00000000001", False),
        ("6b1f3c7e-0000-4000-8000-000000000001\n", False),
        ("..", False),
        ("", False),
        ("backups", False),
    ],
)
def test_which_folders_are_jobs(name: str, of_a_job: bool) -> None:
    assert is_uid(name) is of_a_job


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("manifest.json", True),
        ("results/00000", True),
        ("results/123456", True),
        ("adminlogs/loading.log", True),
        ("adminlogs/publishing.log", True),
        ("results/00000#1", True),
        ("results/notes.txt", False),
        ("results/00000/../../x", False),
        ("results", False),
        ("other/results/00000", False),
        ("manifest.json\n", False),
        ("adminlogs/other.log", False),
    ],
)
def test_which_names_publishers_give(name: str, own: bool) -> None:
    assert is_own(name) is own


@pytest.mark.parametrize(
    ("entries", "left"),
    [
        pytest.param([("results/00000", OLD)], True, id="all of it is old"),
        pytest.param([("results/00000", NOW - AGE)], True, id="it is just old enough"),
        pytest.param([("results/00000", NOW - AGE + SECOND)], False, id="it is not yet old enough"),
        pytest.param(
            [("results/00000", OLD), ("results/00001", YOUNG)], False, id="a publisher is at it"
        ),
        pytest.param([("results/00000", OLD), ("photo.jpg", OLD)], False, id="it is not ours"),
        pytest.param([("results/00000", NOW + AGE)], False, id="the store's clock is ahead"),
        pytest.param([], False, id="there is nothing"),
    ],
)
def test_what_is_left_over(entries: list[tuple[str, datetime]], left: bool) -> None:
    found = (Entry(name, 1, modified) for name, modified in entries)
    assert is_left_over(found, RULES) is left


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        manifest(uid_of(1), FUTURE).replace(b"T00:00:00Z", b"T00:00:00"),
        manifest(uid_of(1), "tomorrow"),
        manifest(uid_of(2), FUTURE),
    ],
)
def test_a_manifest_that_cannot_be_acted_on_is_damaged(data: bytes) -> None:
    with pytest.raises(DamagedError):
        understood(uid_of(1), data)


MOMENT = st.integers(-30, 30).map(lambda days: NOW + timedelta(days=days))
HELD = st.dictionaries(
    st.sampled_from([*FILES, "results/00002#1", "photo.jpg"]), MOMENT, min_size=1
)
JOB = st.tuples(st.none() | st.just("no") | MOMENT.map(format_time), HELD)


@given(st.lists(JOB, max_size=4))
def test_a_sweep_removes_what_is_over_and_nothing_else(
    jobs: list[tuple[str | None, dict[str, datetime]]],
) -> None:
    """`None` is a manifest without an expiry, `no` is no manifest."""
    shelf = Shelf()
    for number, (expires, held) in enumerate(jobs):
        for name, modified in held.items():
            shelf.put(uid_of(number), name, modified=modified)
        if expires != "no":
            shelf.put(uid_of(number), MANIFEST, manifest(uid_of(number), expires))
    before = {uid: dict(held) for uid, held in shelf.content.items()}
    assert Sweep(shelf, RULES, dry_run=True).run() == 0
    assert shelf.content == before
    assert Sweep(shelf, RULES).run() == 0
    for number, (expires, held) in enumerate(jobs):
        left = set(shelf.content[uid_of(number)])
        if expires == "no":
            over = "photo.jpg" not in held and max(held.values()) <= NOW - AGE
        else:
            over = expires is not None and expires <= format_time(NOW - MARGIN)
        assert left == ({"photo.jpg"} & set(held) if over else set(before[uid_of(number)]))
    shelf.removed.clear()
    assert Sweep(shelf, RULES).run() == 0
    assert shelf.removed == []


@given(st.integers(0, 8), st.permutations(FILES))
def test_a_sweep_that_dies_leaves_no_manifest_that_lies_and_a_later_one_completes_it(
    patience: int, names: list[str]
) -> None:
    shelf = Shelf(patience=patience)
    for number in (1, 2):
        for name in names:
            shelf.put(uid_of(number), name, modified=OLD)
        shelf.put(uid_of(number), MANIFEST, manifest(uid_of(number), PAST))
    with suppress(KeyboardInterrupt):
        Sweep(shelf, RULES).run()
    assert shelf.is_honest()
    shelf.patience = None
    assert Sweep(shelf, RULES).run() == 0
    assert list(shelf.jobs()) == []

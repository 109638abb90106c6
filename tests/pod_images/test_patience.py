"""How often and how long a file is tried."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_pods.content import TransientError
from c2d_pods.patience import Pace, Patience, Tried, asked_pause

NOW = datetime(2025, 10, 1, 10, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("failures", "asked", "luck", "seconds"),
    [
        (1, 0, 1, 1), (2, 0, 1, 2), (4, 0, 1, 8), (20, 0, 1, 60), (1, 7, 1, 7), (1, 9999, 1, 60),
        (3, 1, 1, 4), (3, 0, 0, 2), (3, 0, 0.5, 3), (1, 7, 0, 7),
    ],
)  # fmt: skip
def test_pauses_grow_and_are_bounded(
    failures: int, asked: float, luck: float, seconds: float
) -> None:
    assert Patience().pause(failures, asked, luck) == seconds


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        ("0", 0),
        ("9" * 5000, 999_999_999),
        ("Wed, 01 Oct 2025 10:00:30 GMT", 30),
        ("Wed, 01 Oct 2025 09:00:00 GMT", 0),
        ("Wed, 01 Oct 2025 10:00:30", 0),
        ("Wed, 01 Oct 2025 10:00:30 +9" + "9" * 30, 0),
        ("-1", 0),
        ("soon", 0),
        ("", 0),
    ],
)
def test_a_server_asks_for_a_pause_in_two_forms(header: str, seconds: float) -> None:
    assert asked_pause({"Retry-After": header}, NOW) == seconds


def test_only_what_was_never_reached_gives_new_attempts() -> None:
    tried = Tried()
    seen = []
    for reached in (0, 9, 10, 15, 19, 20, 0, 20, 29, 30):
        tried = tried.failed(reached, 10)
        seen.append(tried.failures)
    assert seen == [1, 2, 1, 2, 3, 1, 2, 3, 4, 1]


@given(st.lists(st.integers(0, 1000), max_size=400))
def test_a_file_of_some_size_has_a_limit_of_attempts(reached: list[int]) -> None:
    tried, made = Tried(), 0
    for size in reached:
        tried = tried.failed(size, 100)
        made += 1
        if tried.failures >= 6:
            break
    assert made <= 6 * (1000 // 100 + 1)


def test_a_server_that_drips_is_too_slow() -> None:
    patience = Patience(window=60, least=1000)
    begun = Pace(0, 500)
    assert begun.kept(59, 501, patience) == begun
    assert begun.kept(60, 1500, patience) == Pace(60, 1500)
    with pytest.raises(TransientError, match="too slowly"):
        begun.kept(60, 1499, patience)

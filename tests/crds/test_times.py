"""Kubernetes timestamps."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c2d_api.times import format_micro_time, format_time, parse_time

MOMENTS = st.datetimes(
    datetime(1970, 1, 1),  # noqa: DTZ001 - the zone is the strategy's
    datetime(2200, 1, 1),  # noqa: DTZ001 - as above
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]),
)


@given(MOMENTS)
def test_whole_seconds_are_cut(moment: datetime) -> None:
    assert timedelta(0) <= moment - parse_time(format_time(moment)) < timedelta(seconds=1)


@given(MOMENTS)
def test_microseconds_are_kept(moment: datetime) -> None:
    assert parse_time(format_micro_time(moment)) == moment


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (datetime(2030, 1, 2, 3, 4, 5, 999999, tzinfo=UTC), "2030-01-02T03:04:05Z"),
        (
            datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2))),
            "2030-01-02T01:04:05Z",
        ),
    ],
)
def test_times_are_written_in_utc(moment: datetime, text: str) -> None:
    assert format_time(moment) == text

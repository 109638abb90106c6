"""Lines of progress: what a pod writes is read back, and anything else is no line."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as some

from c2d_api.progress import MAX_LINE_CHARACTERS, Tally, latest_tally

COUNT = some.integers(0, 2**63 - 1)
TALLIES = some.builds(Tally, COUNT, COUNT, COUNT, some.none() | COUNT)
LINE = '{"progress": {"files": 1, "of": 2, "bytes": 30, "ofBytes": null}}'


@given(TALLIES, some.text(), some.text())
def test_what_is_written_is_read_among_anything_else(tally: Tally, before: str, after: str) -> None:
    later = latest_tally(after)
    text = f"{before}\n{tally.encode()}\n{after}"
    assert latest_tally(text) == (later or tally)


def test_the_last_line_counts() -> None:
    first, last = Tally(0, 3, 1000, 2000), Tally(1, 3, 10, 2000)
    assert latest_tally(f"{first.encode()}\n{last.encode()}\nAttempt 2: it failed\n") == last


def test_a_line_without_a_total_is_understood() -> None:
    assert latest_tally('{"progress": {"files": 1, "of": 2, "bytes": 30}}') == Tally(1, 2, 30)


def test_of_a_line_that_is_cut_off_the_one_before_counts() -> None:
    assert latest_tally(f"{LINE}\n{LINE[:40]}") == Tally(1, 2, 30)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "null",
        "1",
        '"progress"',
        "[]",
        "{}",
        '{"progress": null}',
        '{"progress": []}',
        '{"progress": "files"}',
        "[" * (MAX_LINE_CHARACTERS - 1),
        LINE + " " * MAX_LINE_CHARACTERS,
        *(
            json.dumps({"progress": {"files": 1, "of": 2, "bytes": 3, "ofBytes": 4} | {name: bad}})
            for name in ("files", "of", "bytes", "ofBytes")
            for bad in (-1, 2**63, 10**100, 1.0, True, "1", [1], {"a": 1}, float("nan"))
        ),
        *(LINE.replace(f'"{name}"', '"other"') for name in ("files", "of", "bytes", "progress")),
    ],
)
def test_what_does_not_fit_is_no_line(line: str) -> None:
    assert latest_tally(line) is None

"""What a pod leaves as its termination message fits and is read back."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from c2d_api.exits import (
    FILES_SHOWN,
    MESSAGE_BYTES,
    LauncherExit,
    PodExit,
    Report,
    decode_report,
)
from examples import DIGEST
from schemas import fields, schema_of

ANY_TEXT = st.text(st.characters(codec=None), max_size=3000)
NUMBER = st.integers(0, 2**63 - 1)


def file(name: str, size: int = 1) -> dict[str, Any]:
    return {"name": name, "type": "output", "size": size}


REPORT = st.builds(
    Report,
    message=ANY_TEXT,
    count=NUMBER,
    total_bytes=NUMBER,
    manifest_digest=st.sampled_from(["", DIGEST]),
    files=st.lists(st.builds(file, ANY_TEXT, NUMBER), max_size=5).map(tuple),
    omitted=NUMBER,
)


@given(REPORT)
@example(Report("\U0001f512" * 3000))
@example(Report("\ud800" * 3000, files=(file("\udcff" * 3000),)))
@example(Report("\0" * 3000, files=tuple(file("ä" * 20) for _ in range(500))))
def test_a_report_always_fits(report: Report) -> None:
    text = report.encode()
    assert len(text.encode()) <= MESSAGE_BYTES
    read = decode_report(text)
    assert report.message.startswith(read.message)
    assert bool(read.message) == bool(report.message)
    assert (read.count, read.total_bytes) == (report.count, report.total_bytes)
    assert (read.manifest_digest, read.omitted) == (report.manifest_digest, report.omitted)
    assert report.files[: len(read.files)] == read.files


def test_a_small_report_is_whole() -> None:
    report = Report("All is there", 2, 30, DIGEST, (file("a/b.csv", 10), file("Größe", 20)))
    assert decode_report(report.encode()) == report


def test_a_report_from_before_omissions_were_counted_is_read() -> None:
    body = json.loads(Report("x", 2, 30, DIGEST).encode())
    del body["omitted"]
    assert decode_report(json.dumps(body)) == Report("x", 2, 30, DIGEST)


def test_files_give_way_before_the_message() -> None:
    report = Report("m" * 1000, files=tuple(file(f"{i:0100}") for i in range(50)))
    read = decode_report(report.encode())
    assert read.message == report.message
    assert 0 < len(read.files) < 50


def test_no_more_files_are_shown_than_a_status_takes() -> None:
    read = decode_report(Report(files=(file("a"),) * 150).encode())
    limit = dict(fields(schema_of("ComputeJob")))["status.results.files"]["maxItems"]
    assert len(read.files) == FILES_SHOWN == limit


BROKEN = {
    "nothing": None,
    "empty": "",
    "no JSON": "Killed",
    "another type": "[]",
    "a number": "7",
    "no fields": "{}",
    "a file without a name": Report(files=(file("a"),)).encode().replace('"name"', '"n"'),
    "files that are none": Report().encode().replace("[]", "[1]"),
    "no number": Report().encode().replace('"count":0', '"count":"many"'),
    "infinite": Report().encode().replace('"count":0', '"count":Infinity'),
    "deep": "[" * 100_000,
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_message_that_is_not_ours_is_an_empty_report(text: str | None) -> None:
    assert decode_report(text) == Report()


@given(st.text() | st.from_type(dict[str, int]).map(json.dumps))
def test_no_message_breaks_the_reader(text: str) -> None:
    assert isinstance(decode_report(text), Report)


def test_exit_codes_are_free_of_those_with_a_meaning() -> None:
    codes = [*PodExit, *LauncherExit]
    assert len(set(codes)) == len(codes)
    for code in set(codes) - {PodExit.DONE}:
        assert code not in {1, 2, 126, 127}
        assert not 128 <= code <= 128 + 64

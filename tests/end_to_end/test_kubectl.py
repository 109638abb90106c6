"""What a person reads: kubectl is the admin's user interface."""

import re

import pytest

from end_to_end.cluster import Run, dataset, inline

STEPS = [
    "PlaceGranted",
    "Bound",
    "Loaded",
    "ExitedWithZero",
    "Published",
    "NothingLeft",
    "Succeeded",
]
FIELDS = [
    "cjob.spec",
    "cjob.spec.datasets.source.files.url",
    "cjob.spec.algorithm.container.entrypoint",
    "cjob.spec.stop.reason",
    "cjob.status.conditions",
    "cenv.spec.egress",
    "cenv.spec.deadlines.starting",
]


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run) -> None:
    run.start(good=run.job("true", dataset("data", inline("1"))), bad=run.job("exit 4"))


def test_a_job_can_be_waited_for(run: Run) -> None:
    good, bad = run.named("good"), run.named("bad")
    run.kubectl("wait", "--for=condition=Complete", f"cjob/{good}", "--timeout=120s")
    run.kubectl("wait", "--for=condition=Failed", f"cjob/{bad}", "--timeout=120s")


def test_the_table_tells_how_jobs_are(run: Run) -> None:
    run.finished("good")
    run.finished("bad")
    header, *rows = run.kubectl("get", "cjob", run.named("good"), run.named("bad")).splitlines()
    assert header.split() == ["NAME", "PHASE", "REASON", "ENVIRONMENT", "RESULTS", "AGE"]
    good, bad = (row.split() for row in rows)
    tests = run.named("tests")
    assert good[:5] == [run.named("good"), "Complete", "Succeeded", tests, "1"]
    assert bad[:5] == [run.named("bad"), "Failed", "AlgorithmFailed", tests, "1"]
    assert re.fullmatch(r"\d+[sm]\d*s?", good[5])
    wide = run.kubectl("get", "cjob", run.named("bad"), "--output=wide").splitlines()
    assert wide[0].split()[6:] == ["EXIT", "LOADED", "STARTED", "COMPLETED", "CONSUMER"]
    assert wide[1].split()[6:8] == ["4", str(len("# nothing"))]


def test_the_table_of_environments_tells_whether_they_take_jobs(run: Run) -> None:
    header, row = run.kubectl("get", "cenv", run.named("tests")).splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "RUNNING", "QUEUED", "MAX", "AGE"]
    assert row.split()[:2] == [run.named("tests"), "True"]


def test_events_tell_the_steps_in_their_order(run: Run) -> None:
    run.finished("good")
    events = run.events("good")
    assert [one["reason"] for one in events if one["reason"] in STEPS] == STEPS
    assert {one["type"] for one in events} == {"Normal"}
    warnings = [one for one in run.events("bad") if one["type"] == "Warning"]
    assert {one["reason"] for one in warnings} == {"AlgorithmFailed"}
    assert "exit code 4" in warnings[0]["message"]


def test_describe_shows_conditions_and_events(run: Run) -> None:
    run.finished("bad")
    text = run.kubectl("describe", "cjob", run.named("bad"))
    for words in ("Conditions:", r"Exit Code: +4\n", "the algorithm ended with exit code 4"):
        assert re.search(words, text), words
    events = text.partition("\nEvents:")[2]
    assert "AlgorithmFailed" in events
    assert "NothingLeft" in events


@pytest.mark.parametrize("field", FIELDS)
def test_every_field_is_explained(run: Run, field: str) -> None:
    text = run.kubectl("explain", field)
    description = text.partition("DESCRIPTION:")[2].partition("FIELDS:")[0].strip()
    assert len(description) > 20
    assert "<empty>" not in text


def test_conditions_are_all_there_and_final(run: Run) -> None:
    good, bad = run.finished("good"), run.finished("bad")
    assert list(good.conditions) == list(bad.conditions)
    assert [one["status"] for one in good.conditions.values()] == ["True"] * 7 + ["False"]
    assert {one["status"] for one in bad.conditions.values()} == {"True", "False"}
    assert good.status["completionTime"] >= good.status["startTime"]

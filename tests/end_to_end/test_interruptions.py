"""Jobs that are deleted, stopped or held back, at moments when it matters."""

import json
from pathlib import Path

import pytest

from c2d_api.computejob import JOB_LABEL
from end_to_end.cluster import Run, dataset, eventually, inline

ENDLESS = 'echo started; echo partial > "$OUTPUTS/partial.txt"; while :; do sleep 1; done'
STUBBORN = f"trap 'echo not yet' TERM INT; {ENDLESS}"


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run) -> None:
    data = dataset("data", inline("1"))
    run.start(
        deleted=run.job(ENDLESS, data),
        stopped=run.job(ENDLESS, data),
        stubborn=run.job(STUBBORN, data),
        suspended=run.job("true", data, spec={"suspend": True}),
        brief=run.job("true", data, spec={"ttlSecondsAfterFinished": 0}),
    )


def folder_of(volume: dict[str, dict[str, dict[str, str]]]) -> Path:
    spec = volume["spec"]
    return Path((spec.get("hostPath") or spec.get("local") or {"path": "/not/seen"})["path"])


def test_standard_output_can_be_followed_while_the_algorithm_runs(run: Run) -> None:
    pod = run.running("stopped", "started")
    assert run.kubectl("logs", pod["metadata"]["name"], "--container=algorithm") == "started\n"


def test_a_job_deleted_while_it_runs_leaves_nothing(run: Run) -> None:
    run.running("deleted", "started")
    (volume,) = run.volumes("deleted")
    folder = folder_of(volume)
    seen = folder.exists()
    run.kubectl("delete", "cjob", run.named("deleted"), "--timeout=30s")
    eventually(lambda: not run.children("deleted"), "the end of pods and claim", 60)
    eventually(lambda: not run.volumes("deleted"), "the end of the volume", 60)
    assert not folder.exists(), f"the data is still there (it was seen before: {seen})"
    everything = run.read("all,persistentvolumeclaims,secrets,configmaps")["items"]
    left = [
        one["metadata"]["name"]
        for one in everything
        if one["metadata"].get("labels", {}).get(JOB_LABEL) == run.named("deleted")
    ]
    assert left == []


@pytest.mark.parametrize("name", ["stopped", "stubborn"])
def test_a_running_job_stops_when_its_consumer_asks(run: Run, name: str) -> None:
    run.running(name, "started")
    stop = json.dumps({"spec": {"stop": {"reason": "Requested"}}})
    run.kubectl("patch", "cjob", run.named(name), "--type=merge", f"--patch={stop}")
    ended = run.finished(name)
    assert ended.outcome == ("Failed", "Stopped")
    assert ended.message == "the job was stopped by its consumer"
    assert ended.status["ocean"] == {"status": 70, "statusText": "Job finished"}
    assert ended.text("partial.txt") == "partial\n"
    assert ended.lines("algorithm.log")[0] == "started"


def test_a_suspended_job_waits_until_it_is_let_go(run: Run) -> None:
    run.until("suspended", "{.status.reason}", "Suspended", limit=30)
    assert run.children("suspended") == []
    run.kubectl(
        "patch",
        "cjob",
        run.named("suspended"),
        "--type=merge",
        '--patch={"spec":{"suspend":false}}',
    )
    assert run.finished("suspended").outcome == ("Complete", "Succeeded")


def test_a_job_whose_time_to_live_is_over_is_deleted(run: Run) -> None:
    def is_gone() -> bool:
        found = run.kubectl(
            "get", "cjob", run.named("brief"), "--ignore-not-found", "--output=name"
        )
        return not found

    eventually(is_gone, "the deletion of the job")
    assert run.children("brief") == []


def test_what_a_job_asks_for_cannot_be_changed(run: Run) -> None:
    patch = json.dumps({"spec": {"maxDuration": 1}})
    with pytest.raises(AssertionError, match="the spec of a job cannot change"):
        run.kubectl("patch", "cjob", run.named("stopped"), "--type=merge", f"--patch={patch}")

"""Ten jobs at once: none in another's way, nothing left, and no secret told on the way."""

import json
from functools import partial
from pathlib import Path

import pytest

from end_to_end.cluster import Run, dataset, eventually, inline, recorded, without_changes
from results import Results, open_store

NAMES = [f"many{number}" for number in range(10)]


@pytest.fixture(scope="module")
def seen(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the jobs and record all that is to be seen of pods, jobs and claims meanwhile."""
    folder = tmp_path_factory.mktemp("seen")
    kinds = ("pods", "computejobs", "persistentvolumeclaims")
    watches = [recorded(run, kind, "--output=yaml", into=folder / kind) for kind in kinds]
    try:
        run.start(
            **{
                name: run.job(
                    'cat "$INPUTS/data/0" | tee "$OUTPUTS/mine.txt"', dataset("data", inline(name))
                )
                for name in NAMES
            }
        )
        for name in NAMES:
            run.finished(name)
    finally:
        for watch in watches:
            watch.terminate()
            watch.wait(10)
    return folder


def test_every_job_ends_with_its_own_results(run: Run, seen: Path) -> None:
    for name in NAMES:
        ended = run.finished(name)
        assert ended.outcome == ("Complete", "Succeeded"), ended.message
        assert ended.text("mine.txt") == ended.text("algorithm.log") == name


def test_every_algorithm_ran_once(run: Run, seen: Path) -> None:
    for name in NAMES:
        started = [one for one in run.events(name) if one["reason"] == "Running"]
        assert len(started) <= 1
        assert run.finished(name).status["attempts"] == {"loading": 0, "publishing": 0}


def test_the_places_are_free_again(run: Run, seen: Path) -> None:
    def idle() -> bool:
        status = run.read("cenv", run.named("tests"))["status"]
        return (status.get("runningJobs", 0), status.get("queuedJobs", 0)) == (0, 0)

    eventually(idle, "an environment without jobs", 30)


def no_volume(run: Run, name: str) -> bool:
    return not run.volumes(name)


def test_no_volume_is_left(run: Run, seen: Path) -> None:
    for name in NAMES:
        eventually(partial(no_volume, run, name), f"the end of {name}'s volume", 90)


def test_no_key_of_the_store_is_told(run: Run, seen: Path) -> None:
    keys = [run.value("AWS_ACCESS_KEY_ID"), run.value("AWS_SECRET_ACCESS_KEY")]
    assert all(len(key) > 8 for key in keys)
    told = [path.read_text() for path in sorted(seen.iterdir())]
    assert all(f"{run.named(name)}-publisher-0" in told[-1] for name in NAMES), "the watch saw all"
    visible = (
        "all,computejobs,computeenvironments,events,configmaps,serviceaccounts,networkpolicies"
    )
    told += [
        run.kubectl("get", visible, f"--namespace={namespace}", "--output=yaml")
        for namespace in (run.stack.namespace, "c2d-system")
    ]
    told.append(run.kubectl("logs", "--namespace=c2d-system", "deployment/c2d-operator"))
    for name in NAMES:
        ended = run.finished(name)
        store = open_store(ended.status["environment"]["results"], run.stack.values)
        told.append(json.dumps(dict(Results(store, ended.uid).admin_logs())))
    assert "Publishing the results" in told[-1]
    assert all(
        any(word in text for text in told) for word in ("result-store", *map(run.named, NAMES))
    )
    for key in keys:
        assert not any(key in text for text in told)


def test_what_has_ended_does_not_change_any_more(run: Run, seen: Path) -> None:
    assert without_changes(run, run.ended) == []

"""Algorithms that take all they can: each ends in its reason, and what it left does no harm."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from end_to_end.cluster import Ended, Run, dataset, eventually, url
from results import Results, open_store

LOG_LIMIT = 64 * 2**20
NOTICE = f"\nlauncher: the log ends here, at its limit of {LOG_LIMIT} bytes\n"
FULL = "launcher: the disk is full; the algorithm ended with exit code "
PIDS = 4096
LONG = f"head -c {LOG_LIMIT + 1000000} /dev/zero"
FAST = {"resources": {"cpu": "500m"}}
SMALL = {"resources": {"disk": "64Mi"}}
TINY = {"resources": {"disk": "16Mi"}}
SIZES = {"64Mi": 64 * 2**20, "16Mi": 16 * 2**20}
MANY = {"resources": {"cpu": "1", "memory": "1Gi"}, "maxDuration": 120}
FILES = "n=0; while echo -n >$OUTPUTS/$n; do n=$((n + 1)); done; exit 3"
COUNT = "n=0; while sleep 600 & do n=$((n + 1)); echo $n >$OUTPUTS/count; done"
BOMB = "bomb() { bomb | bomb & }; echo begun; bomb; sleep 10; exit 5"


@pytest.fixture(scope="module")
def large(run: Run) -> Iterator[str]:
    """Serve a file that is larger than the smallest volume."""
    name = run.named("large-file")
    path = Path(run.value("FILES_DIR"), name)
    path.write_bytes(bytes(SIZES["16Mi"]))
    yield f"{run.value('FILES_URL').rstrip('/')}/{name}"
    path.unlink()


@pytest.fixture(scope="module", autouse=True)
def jobs(run: Run, large: str) -> None:
    begin = "echo begun; echo kept >$OUTPUTS/partial.txt; "
    run.start(
        full_outputs=run.job(f"{begin}cat /dev/zero >$OUTPUTS/big", spec=SMALL),
        full_of_files=run.job(FILES, spec=TINY),
        full_at_success=run.job(f"{begin}cat /dev/zero >$OUTPUTS/big; exit 0", spec=SMALL),
        full_from_the_start=run.job("true", dataset("data", url(large)), spec=TINY),
        full_tmp=run.job(f"{begin}head -c 2000m /dev/zero >/tmp/big; sleep 300", spec=FAST),
        long_log=run.job(LONG, spec=FAST),
        long_log_failed=run.job(f"{LONG}; exit 7", spec=FAST),
        endless_log=run.job("yes", spec={"maxDuration": 20}),
    )
    run.start(
        many_processes=run.job(COUNT, spec=MANY),
        fork_bomb=run.job(BOMB, spec=MANY),
        much_memory=run.job(
            "head -c 2000m /dev/zero | tail", spec={"resources": {"memory": "64Mi"}}
        ),
    )


def outcome(ended: Ended) -> tuple[str, str, int]:
    return (*ended.outcome, ended.status["ocean"]["status"])


@pytest.mark.parametrize(
    ("name", "size"), [("full-outputs", "64Mi"), ("full-of-files", "16Mi")], ids=["bytes", "files"]
)
def test_an_algorithm_that_fills_its_volume_is_told_so(run: Run, name: str, size: str) -> None:
    ended = run.finished(name)
    assert outcome(ended) == ("Failed", "DiskQuotaExceeded", 42), ended.message
    assert ended.status["ocean"]["statusText"] == "Error: disk quota exceeded"
    assert f"it was given {size} for inputs and outputs" in ended.message
    assert sum(one.file.size for one in ended.results.values()) < SIZES[size]


def test_what_lies_on_a_full_volume_is_published(run: Run) -> None:
    ended = run.finished("full-outputs")
    assert ended.files == {"partial.txt", "big", "algorithm.log"}
    assert ended.text("partial.txt") == "kept\n"
    assert ended.results["big"].file.size > SIZES["64Mi"] // 2
    lines = ended.lines("algorithm.log")
    assert (lines[0], lines[-1][:-1]) == ("begun", FULL)
    store = open_store(ended.status["environment"]["results"], run.stack.values)
    logs = dict(Results(store, ended.uid).admin_logs())
    assert "Loading the assets" in logs["loading.log"]


def test_all_of_many_files_are_published(run: Run) -> None:
    ended = run.finished("full-of-files")
    files = ended.files - {"algorithm.log"}
    assert len(files) > 1000
    assert files == {str(number) for number in range(len(files))}


def test_an_algorithm_that_copes_with_a_full_volume_succeeds(run: Run) -> None:
    ended = run.finished("full-at-success")
    assert ended.outcome[0] == "Complete", ended.message
    assert ended.text("partial.txt") == "kept\n"


def test_a_dataset_that_the_volume_has_no_room_for_ends_the_job_at_once(run: Run) -> None:
    ended = run.finished("full-from-the-start")
    assert outcome(ended) == ("Failed", "DataProvisioningFailed", 31)
    assert "do not fit on the job's volume" in ended.message
    assert ended.status["attempts"]["loading"] == 0


def test_an_algorithm_that_floods_its_scratch_space_is_told_so(run: Run) -> None:
    ended = run.finished("full-tmp")
    assert outcome(ended) == ("Failed", "DiskQuotaExceeded", 42), ended.message
    assert 'EmptyDir volume "tmp"' in ended.message
    assert ended.text("partial.txt") == "kept\n"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("long-log", ("Complete", "Succeeded", 70)),
        ("long-log-failed", ("Failed", "AlgorithmFailed", 41)),
    ],
)
def test_a_log_ends_at_its_limit_and_the_algorithm_does_not(
    run: Run, name: str, expected: tuple[str, str, int]
) -> None:
    ended = run.finished(name)
    assert outcome(ended) == expected, ended.message
    assert ended.results["algorithm.log"].file.size == LOG_LIMIT + len(NOTICE)
    assert ended.text("algorithm.log").endswith(NOTICE)


def test_an_endless_log_ends_with_the_algorithms_time(run: Run) -> None:
    ended = run.finished("endless-log")
    assert ended.outcome == ("Failed", "DeadlineExceeded"), ended.message
    assert 0 < ended.results["algorithm.log"].file.size <= LOG_LIMIT + len(NOTICE)


def test_processes_are_bounded(run: Run) -> None:
    ended = run.finished("many-processes")
    assert ended.outcome == ("Failed", "AlgorithmFailed"), ended.message
    assert PIDS // 2 < int(ended.text("count")) < PIDS
    assert "can't fork" in ended.text("algorithm.log")


def test_a_fork_bomb_ends_with_its_job(run: Run) -> None:
    ended = run.finished("fork-bomb")
    assert ended.outcome[0] == "Failed"
    assert ended.outcome[1] in ("AlgorithmFailed", "DeadlineExceeded", "OutOfMemory")
    assert ended.lines("algorithm.log")[0] == "begun"


def test_memory_is_bounded(run: Run) -> None:
    ended = run.finished("much-memory")
    assert outcome(ended) == ("Failed", "OutOfMemory", 41), ended.message


def test_after_all_of_them_the_node_is_well_and_takes_another_job(run: Run) -> None:
    for name in ("full-outputs", "full-of-files", "full-tmp", "endless-log", "fork-bomb"):
        run.finished(name)
        eventually(lambda name=name: not run.volumes(name), f"the end of the volume of {name}", 60)
    run.start(afterwards=run.job("echo well >$OUTPUTS/said.txt", spec=SMALL))
    ended = run.finished("afterwards")
    assert ended.outcome == ("Complete", "Succeeded"), ended.message
    assert ended.text("said.txt") == "well\n"
    for node in run.read("nodes")["items"]:
        conditions = {one["type"]: one["status"] for one in node["status"]["conditions"]}
        assert conditions.pop("Ready") == "True"
        assert set(conditions.values()) == {"False"}, conditions

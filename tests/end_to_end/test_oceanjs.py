"""Ocean's JavaScript client, unmodified, does whole workflows against the provider."""

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from end_to_end import clients
from end_to_end.cluster import Json, Run
from end_to_end.market import shelf
from local_stack import settings

CLIENT = Path(__file__).parents[1] / "clients/oceanjs3"
COUNT = 'find "$INPUTS" -name 0 | xargs cat | wc -l | tee "$OUTPUTS/lines.txt"'


@pytest.fixture(scope="module")
def client() -> Path:
    """Install the client by its lock file, once for all runs, without any script of a package."""
    digest = hashlib.sha256((CLIENT / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = settings.CACHE / "clients" / digest
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(CLIENT / name, folder)
        command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True, timeout=300)
        (folder / "complete").touch()
    shutil.copy(CLIENT / "flow.js", folder)
    return folder


@pytest.fixture(scope="module")
def seen(run: Run, client: Path) -> Json:
    """What the client saw, by flow."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    with shelf(run, "oceanjs", three="1\n2\n3\n", two="4\n5\n", code=COUNT) as served:
        files = {
            "datasets": [f"{served.url}/three", f"{served.url}/two"],
            "code": f"{served.url}/code",
        }
        given = json.dumps(clients.terms(run) | files)
        return clients.seen(clients.printed(["node", "flow.js", given], {}, client))


@pytest.mark.parametrize(
    ("flow", "lines"),
    [("free", 3), ("reused", 3), ("two_datasets", 5), ("paid", 3), ("paid_again", 3)],
)
def test_a_published_algorithm_is_bought_run_and_fetched(seen: Json, flow: str, lines: int) -> None:
    assert seen[flow] == {
        **clients.DONE,
        "results": {"lines.txt": f"{lines}\n", "algorithm.log": f"{lines}\n"},
    }


def test_prices_are_told(seen: Json) -> None:
    assert seen["priced"] is True


def test_an_order_that_is_good_is_used_again(seen: Json) -> None:
    assert seen["ordered_anew"] is False


def test_raw_code_is_run_where_the_dataset_allows_it(seen: Json) -> None:
    assert seen["raw"] == {**clients.DONE, "results": {"raw.txt": "raw\n", "algorithm.log": ""}}


def test_a_stopped_job_is_finished(seen: Json) -> None:
    stopped = seen["stopped"]
    assert (stopped["status"], stopped["text"]) == (70, "Job finished")
    assert set(stopped["results"]) <= {"algorithm.log"}


@pytest.mark.parametrize("flow", ["paid_twice", "stolen"])
def test_a_start_that_was_not_paid_is_refused(seen: Json, flow: str) -> None:
    assert seen[flow] is None  # all that this client tells of a refused start


def test_an_algorithm_that_is_not_trusted_is_refused(seen: Json) -> None:
    assert "no_publisherTrustedAlgorithms" in seen["not_trusted"]

"""Ocean's Python client, unmodified, does whole workflows against the provider."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from end_to_end import clients
from end_to_end.cluster import Json, Run
from end_to_end.market import shelf
from local_stack import settings

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "tests/clients/oceanpy/flow.py"
EXAMPLE = ROOT / "examples/oceanpy"
COUNT = 'wc -l < "$(find "$INPUTS" -name 0)" | tee "$OUTPUTS/lines.txt"'


@pytest.fixture(scope="module")
def python() -> Path:
    """Install the client by its lock file, once for all runs; it needs packages of its own age."""
    lock = EXAMPLE / "requirements.txt"
    digest = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = settings.CACHE / "clients" / f"oceanpy-{digest}"
    program = folder / "bin/python"
    if not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", folder], check=True, timeout=120)
        command = [program, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--require-hashes", "-r", lock], check=True, timeout=600)
        (folder / "complete").touch()
    return program


@pytest.fixture(scope="module")
def seen(run: Run, python: Path) -> Json:
    """What the client saw, by flow."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    with shelf(run, "oceanpy", numbers="1\n2\n3\n", code=COUNT) as served:
        files = {"dataset": f"{served.url}/numbers", "code": f"{served.url}/code"}
        given = json.dumps(clients.terms(run) | files)
        return clients.seen(clients.printed([python, FLOW, given], run.stack.values))


@pytest.mark.parametrize("flow", ["free", "reused", "paid"])
def test_a_published_algorithm_is_bought_run_and_fetched(seen: Json, flow: str) -> None:
    assert seen[flow] == {**clients.DONE, "results": {"lines.txt": "3\n", "algorithm.log": "3\n"}}


def test_an_order_that_is_good_is_used_again(seen: Json) -> None:
    assert seen["ordered anew"] is False


def test_raw_code_is_run_where_the_dataset_allows_it(seen: Json) -> None:
    assert seen["raw"] == {**clients.DONE, "results": {"raw.txt": "raw\n", "algorithm.log": ""}}


def test_a_stopped_job_is_finished(seen: Json) -> None:
    stopped = seen["stopped"]
    assert (stopped["status"], stopped["text"]) == (70, "Job finished")
    assert set(stopped["results"]) <= {"algorithm.log"}


@pytest.mark.parametrize(
    ("flow", "words"),
    [
        ("paid twice", "{'order': 'fees_not_paid'}"),
        ("another's order", "{'dataset.serviceId': 'order_invalid'}"),
        ("not trusted", "{'dataset': 'no_publisherTrustedAlgorithms'}"),
    ],
)
def test_what_was_not_bought_is_refused(seen: Json, flow: str, words: str) -> None:
    assert seen[flow].endswith(words)


def test_the_example_of_a_consumer_finds_the_worst_month(
    run: Run, python: Path, tmp_path: Path
) -> None:
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    told = clients.printed([python, EXAMPLE / "consumer.py", "--into", tmp_path], run.stack.values)
    assert "Job finished" in told
    assert (tmp_path / "delays.csv").read_text().splitlines()[0] == "month,flights,mean_delay"

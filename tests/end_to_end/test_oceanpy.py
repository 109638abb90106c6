"""Ocean's Python client, unmodified, does whole workflows against the provider."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from end_to_end.cluster import Run
from local_stack import settings

ROOT = Path(__file__).parents[2]
FLOW = ROOT / "tests/clients/oceanpy/flow.py"
EXAMPLE = ROOT / "examples/oceanpy"
COUNT = 'wc -l < "$(find "$INPUTS" -name 0)" | tee "$OUTPUTS/lines.txt"'
DONE = {"status": 70, "text": "Job finished"}
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


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


def environment(run: Run) -> dict[str, str]:
    """What a consumer's shell has who has read the stack's file; no proxy stands between."""
    own = {name: value for name, value in os.environ.items() if name not in PROXIES}
    return own | dict(run.stack.values)


@pytest.fixture(scope="module")
def seen(run: Run, python: Path) -> dict[str, Any]:
    """What the client saw, by flow."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    folder = Path(run.value("FILES_DIR")) / f"oceanpy-{run.mark}"
    folder.mkdir()
    (folder / "numbers").write_text("1\n2\n3\n")
    (folder / "code").write_text(COUNT)
    files = f"{run.value('FILES_URL')}/{folder.name}"
    image, _, digest = run.image("BUSYBOX").partition("@")
    place = f"{run.stack.namespace}.{run.value('ENVIRONMENT')}"
    given = {
        "rpc": run.value("RPC_URL"),
        "provider": f"{run.value('PROVIDER_URL')}/v2",
        "publisher": run.value("PUBLISHER_PRIVATE_KEY"),
        "consumer": run.value("CONSUMER_PRIVATE_KEY"),
        "environment": place,
        "paid": f"{place}-paid",
        "dataset": f"{files}/numbers",
        "code": f"{files}/code",
        "container": {"image": image, "tag": "", "checksum": digest, "entrypoint": "sh $ALGO"},
    }
    done = subprocess.run(
        [python, FLOW, json.dumps(given)],
        env=environment(run),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize("flow", ["free", "reused", "paid"])
def test_a_published_algorithm_is_bought_run_and_fetched(seen: dict[str, Any], flow: str) -> None:
    assert seen[flow] == {**DONE, "results": {"lines.txt": "3\n", "algorithm.log": "3\n"}}


def test_an_order_that_is_good_is_used_again(seen: dict[str, Any]) -> None:
    assert seen["ordered anew"] is False


def test_raw_code_is_run_where_the_dataset_allows_it(seen: dict[str, Any]) -> None:
    assert seen["raw"] == {**DONE, "results": {"raw.txt": "raw\n", "algorithm.log": ""}}


def test_a_stopped_job_is_finished(seen: dict[str, Any]) -> None:
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
def test_what_was_not_bought_is_refused(seen: dict[str, Any], flow: str, words: str) -> None:
    assert seen[flow].endswith(words)


def test_the_example_of_a_consumer_finds_the_worst_month(
    run: Run, python: Path, tmp_path: Path
) -> None:
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    done = subprocess.run(
        [python, EXAMPLE / "consumer.py", "--into", tmp_path],
        env=environment(run),
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "Job finished" in done.stdout
    assert (tmp_path / "delays.csv").read_text().splitlines()[0] == "month,flights,mean_delay"

"""Ocean's JavaScript client, unmodified, does whole workflows against the provider."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from end_to_end.cluster import Run
from local_stack import settings

CLIENT = Path(__file__).parents[1] / "clients/oceanjs3"
COUNT = 'find "$INPUTS" -name 0 | xargs cat | wc -l | tee "$OUTPUTS/lines.txt"'
DONE = {"status": 70, "text": "Job finished"}
PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")


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
def seen(run: Run, client: Path) -> dict[str, Any]:
    """What the client saw, by flow."""
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    folder = Path(run.value("FILES_DIR")) / f"oceanjs-{run.mark}"
    folder.mkdir()
    (folder / "three").write_text("1\n2\n3\n")
    (folder / "two").write_text("4\n5\n")
    (folder / "code").write_text(COUNT)
    files = f"{run.value('FILES_URL')}/{folder.name}"
    image, _, digest = run.image("BUSYBOX").partition("@")
    place = f"{run.stack.namespace}.{run.value('ENVIRONMENT')}"
    given = {
        "rpc": run.value("RPC_URL"),
        "addresses": run.value("ADDRESS_FILE"),
        "provider": f"{run.value('PROVIDER_URL')}/v2",
        "publisher": run.value("PUBLISHER_PRIVATE_KEY"),
        "consumer": run.value("CONSUMER_PRIVATE_KEY"),
        "environment": place,
        "paid": f"{place}-paid",
        "datasets": [f"{files}/three", f"{files}/two"],
        "code": f"{files}/code",
        "container": {"image": image, "tag": "", "checksum": digest, "entrypoint": "sh $ALGO"},
    }
    done = subprocess.run(
        ["node", "flow.js", json.dumps(given)],
        cwd=client,
        env={name: value for name, value in os.environ.items() if name not in PROXIES},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    ("flow", "lines"),
    [("free", 3), ("reused", 3), ("two_datasets", 5), ("paid", 3), ("paid_again", 3)],
)
def test_a_published_algorithm_is_bought_run_and_fetched(
    seen: dict[str, Any], flow: str, lines: int
) -> None:
    assert seen[flow] == {
        **DONE,
        "results": {"lines.txt": f"{lines}\n", "algorithm.log": f"{lines}\n"},
    }


def test_prices_are_told(seen: dict[str, Any]) -> None:
    assert seen["priced"] is True


def test_an_order_that_is_good_is_used_again(seen: dict[str, Any]) -> None:
    assert seen["ordered_anew"] is False


def test_raw_code_is_run_where_the_dataset_allows_it(seen: dict[str, Any]) -> None:
    assert seen["raw"] == {**DONE, "results": {"raw.txt": "raw\n", "algorithm.log": ""}}


def test_a_stopped_job_is_finished(seen: dict[str, Any]) -> None:
    stopped = seen["stopped"]
    assert (stopped["status"], stopped["text"]) == (70, "Job finished")
    assert set(stopped["results"]) <= {"algorithm.log"}


@pytest.mark.parametrize("flow", ["paid_twice", "stolen"])
def test_a_start_that_was_not_paid_is_refused(seen: dict[str, Any], flow: str) -> None:
    assert seen[flow] is None  # all that this client tells of a refused start


def test_an_algorithm_that_is_not_trusted_is_refused(seen: dict[str, Any]) -> None:
    assert "no_publisherTrustedAlgorithms" in seen["not_trusted"]

"""Ocean's JavaScript client, unmodified, does the whole workflow against the provider."""

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from end_to_end.cluster import Run
from local_stack import settings

CLIENT = Path(__file__).parents[1] / "clients/oceanjs3"
COUNT = 'wc -l < "$(find "$INPUTS" -name 0)" | tee "$OUTPUTS/lines.txt"'
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


def test_a_job_is_bought_run_and_fetched_by_oceanjs_3(run: Run, client: Path) -> None:
    if not run.stack.values.get("AUDIT_LOG"):
        pytest.skip("the provider of a cluster that was given has no address for this machine")
    folder = Path(run.value("FILES_DIR")) / f"oceanjs-{run.mark}"
    folder.mkdir()
    (folder / "numbers").write_text("1\n2\n3\n")
    (folder / "code").write_text(COUNT)
    files = f"{run.value('FILES_URL')}/{folder.name}"
    image, _, digest = run.image("BUSYBOX").partition("@")
    given = {
        "rpc": run.value("RPC_URL"),
        "addresses": run.value("ADDRESS_FILE"),
        "provider": f"{run.value('PROVIDER_URL')}/v2",
        "publisher": run.value("PUBLISHER_PRIVATE_KEY"),
        "consumer": run.value("CONSUMER_PRIVATE_KEY"),
        "environment": f"{run.stack.namespace}.{run.value('ENVIRONMENT')}",
        "dataset": f"{files}/numbers",
        "code": f"{files}/code",
        "container": {"image": image, "tag": "", "checksum": digest, "entrypoint": "sh $ALGO"},
    }
    done = subprocess.run(
        ["node", "flow.js", json.dumps(given)],
        cwd=client,
        env={name: value for name, value in os.environ.items() if name not in PROXIES},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert (seen["job"]["status"], seen["job"]["statusText"]) == (70, "Job finished")
    assert seen["results"] == {"lines.txt": "3\n", "algorithm.log": "3\n"}

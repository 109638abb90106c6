"""Ocean's own clients, unmodified, as programs that do whole flows and tell what they saw."""

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from end_to_end.cluster import Json, Run
from end_to_end.market import runs_in

DONE = {"status": 70, "text": "Job finished"}
_PROXIES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
_LIMIT = 400


def terms(run: Run) -> Json:
    """Write what every client is given: where all is, keys, environments, and a container."""
    place = f"{run.stack.namespace}.{run.value('ENVIRONMENT')}"
    return {
        "rpc": run.value("RPC_URL"),
        "addresses": run.value("ADDRESS_FILE"),
        "provider": f"{run.value('PROVIDER_URL')}/v2",
        "publisher": run.value("PUBLISHER_PRIVATE_KEY"),
        "consumer": run.value("CONSUMER_PRIVATE_KEY"),
        "environment": place,
        "paid": f"{place}-paid",
        "container": runs_in(run),
    }


def shell(values: Mapping[str, str]) -> dict[str, str]:
    """Give a program this shell's variables and some more; no proxy stands between."""
    own = {name: value for name, value in os.environ.items() if name not in _PROXIES}
    return own | dict(values)


def printed(
    command: Sequence[str | Path], values: Mapping[str, str], cwd: Path | None = None
) -> str:
    """Run a client's program, which must end well; returns what it printed."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=shell(values),
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def seen(text: str) -> Json:
    """Read the last line that a flow printed."""
    return dict(json.loads(text.splitlines()[-1]))

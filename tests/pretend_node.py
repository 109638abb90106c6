"""A pretended node for integration tests: it moves pods along on a real API server.

No pod runs: each one's container is reported started and ended as a script says. What real
pods do is shown end to end.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

from c2d_api.computejob import JOB_LABEL, PHASE_LABEL
from c2d_api.exits import Report
from c2d_operator.cluster import Cluster, ConflictError, NotFoundError

Json = Mapping[str, Any]
Script = Callable[[str, str], int | None]
"""From job and phase to the exit code of the container; None keeps it running."""

LOADED = Report(count=2, total_bytes=10).encode()
PUBLISHED = Report(
    count=1,
    total_bytes=5,
    manifest_digest=f"sha256:{'0' * 64}",
    files=({"name": "algorithm.log", "type": "algorithmLog", "size": 5},),
).encode()
_MESSAGES = {"loading": LOADED, "publishing": PUBLISHED, "algorithm": ""}


def succeed(_job: str, _phase: str) -> int | None:
    """End every container with code 0."""
    return 0


@asynccontextmanager
async def node(
    cluster: Cluster, namespace: str, script: Script, complaint: str = ""
) -> AsyncIterator[None]:
    """Run every pod of a namespace that has no gate by a script; those that fail complain."""
    task = asyncio.create_task(_run(cluster, namespace, script, complaint))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _run(cluster: Cluster, namespace: str, script: Script, complaint: str) -> None:
    while True:
        async for page, _ in cluster.pages("Pod", namespace, JOB_LABEL):
            for pod in page:
                await _move(cluster, pod, script, complaint)
        await asyncio.sleep(0.05)


async def _move(cluster: Cluster, pod: Json, script: Script, complaint: str) -> None:
    meta, states = pod["metadata"], pod["status"].get("containerStatuses", [])
    if pod["spec"].get("schedulingGates") or (states and "terminated" in states[0]["state"]):
        return
    labels = meta["labels"]
    code = script(labels[JOB_LABEL], labels[PHASE_LABEL])
    if states and code is None:
        return
    message = Report(complaint).encode() if code and complaint else _MESSAGES[labels[PHASE_LABEL]]
    state = _running() if not states else _terminated(code, message)
    status = {"containerStatuses": [_container(pod, state)]}
    try:
        await cluster.write_status(
            "Pod", meta["namespace"], meta["name"], meta["resourceVersion"], status
        )
    except (ConflictError, NotFoundError):
        return


def _container(pod: Json, state: Json) -> Json:
    container = pod["spec"]["containers"][0]
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "ready": False,
        "restartCount": 0,
        "state": state,
    }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _running() -> Json:
    return {"running": {"startedAt": _now()}}


def _terminated(code: int | None, message: str) -> Json:
    return {
        "running": None,
        "terminated": {
            "exitCode": code,
            "reason": "Error" if code else "Completed",
            "message": message,
            "startedAt": _now(),
            "finishedAt": _now(),
        },
    }

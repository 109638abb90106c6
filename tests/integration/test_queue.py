"""Two hundred jobs at once for five places: never more than five, first come first served."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

import pytest

from c2d_api.computejob import JOB_LABEL
from c2d_operator.cluster import Cluster, connect
from operator_stack import (
    JOBS,
    Stack,
    children,
    environment,
    eventually,
    job,
    operator_stack,
    until,
)
from pretend_node import node, succeed

Json = Mapping[str, Any]
COUNT, PLACES = 200, 5


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("queue") / "cluster"
    with operator_stack(folder, volumes=COUNT + 60) as stack:
        few = json.dumps(environment("few", maxJobs=PLACES))
        stack.kubectl("apply", "-f", "-", stdin=few)
        stack.start(18110)
        stack.kubectl("wait", "--for=condition=Ready", "-n", JOBS, "cenv/few", "cenv/env")
        yield stack
        assert stack.stop() == 0


@pytest.fixture
async def cluster(stack: Stack) -> AsyncIterator[Cluster]:
    async with connect(1000, 1000, 10, str(stack.kubeconfig)) as cluster:
        yield cluster


async def listed(cluster: Cluster, kind: str) -> list[Json]:
    return [body async for page, _ in cluster.pages(kind, JOBS) for body in page]


async def test_places_are_never_overbooked_and_go_in_the_order_of_creation(
    stack: Stack, cluster: Cluster
) -> None:
    most = 0

    async def count_claims() -> None:
        """See how many jobs have a volume at a time; each has it from its place's beginning."""
        nonlocal most
        while True:
            claims = [
                body["metadata"]["name"]
                for body in await listed(cluster, "PersistentVolumeClaim")
                if body["metadata"]["labels"][JOB_LABEL].startswith("crowd")
            ]
            most = max(most, len(claims))
            await asyncio.sleep(0.02)

    names = [f"crowd{number}" for number in range(COUNT)]
    async with node(cluster, JOBS, succeed):
        counting = asyncio.create_task(count_claims())
        await asyncio.gather(
            *(
                cluster.create("ComputeJob", JOBS, dict(job(name, environment="few")))
                for name in names
            )
        )

        async def all_done() -> Json | None:
            bodies = [
                b for b in await listed(cluster, "ComputeJob") if b["metadata"]["name"] in names
            ]
            ended = [b for b in bodies if "completionTime" in b.get("status", {})]
            return {"bodies": ended} if len(ended) == COUNT else None

        found = await eventually(all_done, "the end of all jobs", limit=240)
        counting.cancel()
    assert {body["status"]["reason"] for body in found["bodies"]} == {"Succeeded"}
    assert 1 < most <= PLACES
    admitted = sorted(
        (body["status"]["startTime"], body["metadata"]["creationTimestamp"])
        for body in found["bodies"]
    )
    created = [moment for _, moment in admitted]
    assert created == sorted(created)
    assert stack.writes("crowd").count("create pods") == 3 * COUNT


@pytest.mark.parametrize(
    "reason", ["Queued", "Suspended", "Allocating", "Loading", "Running", "Publishing"]
)
@pytest.mark.parametrize("how", ["delete", "stop"])
async def test_a_job_may_be_deleted_or_stopped_in_every_phase(
    stack: Stack, cluster: Cluster, reason: str, how: str
) -> None:
    name = f"{how}-{reason.lower()}"
    phases = {"Loading": "loading", "Running": "algorithm", "Publishing": "publishing"}
    held = {"phase": phases.get(reason, "")}

    def script(_job: str, phase: str) -> int | None:
        return None if phase == held["phase"] else 0

    spec: dict[str, object] = {"suspend": True} if reason == "Suspended" else {}
    if reason == "Queued":
        full = json.dumps(environment("full", maxJobs=0))
        stack.kubectl("apply", "-f", "-", stdin=full)
        spec["environment"] = "full"
    if reason == "Allocating":
        stuck = json.dumps(environment("stuck", resources=too_large()))
        stack.kubectl("apply", "-f", "-", stdin=stuck)
        spec["environment"] = "stuck"
    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job(name, **spec)))

        async def there() -> Json | None:
            body = await cluster.read("ComputeJob", JOBS, name)
            return body if body and body.get("status", {}).get("reason") == reason else None

        await eventually(there, f"{reason} of {name}")
        if how == "delete":
            stack.kubectl("delete", "cjob", "-n", JOBS, name)
        else:
            patch = '{"spec": {"stop": {"reason": "Requested"}}}'
            stack.kubectl("patch", "cjob", "-n", JOBS, name, "--type=merge", "-p", patch)
            held["phase"] = ""
            ended = "Complete" if reason == "Publishing" else "Failed"
            body = await until(cluster, name, ended)
            assert body["status"]["reason"] == ("Succeeded" if ended == "Complete" else "Stopped")
            assert body["status"]["ocean"]["status"] == 70

        async def gone() -> Json | None:
            return {} if await children(cluster, name) == [] else None

        await eventually(gone, "the removal of all children")


def too_large() -> Json:
    """Ask for volumes that no volume of this cluster is large enough for."""
    sizes = {"cpu": "100m", "memory": "64Mi", "disk": "90Ti"}
    return {"default": sizes, "max": sizes}

"""Several operators on a real API server: one acts, and another one takes over when it ends."""

import signal
import subprocess
from collections.abc import Iterator

import pytest

from c2d_operator.cluster import Cluster
from operator_stack import (
    JOBS,
    LIMIT,
    Json,
    Stack,
    eventually,
    job,
    operator_stack,
    until,
)
from pretend_node import node, succeed

SYSTEM = "c2d-system"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with operator_stack(tmp_path_factory.mktemp("leader") / "cluster", volumes=6) as stack:
        yield stack


@pytest.fixture
def operators(stack: Stack) -> Iterator[list["subprocess.Popen[bytes]"]]:
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait(LIMIT)


async def holder(cluster: Cluster, other_than: str = "") -> str:
    async def probe() -> Json | None:
        lease = await cluster.read("Lease", SYSTEM, "c2d-operator")
        name = (lease or {}).get("spec", {}).get("holderIdentity", "")
        return {"name": name} if name and name != other_than else None

    found = await eventually(probe, "a leader")
    return str(found["name"])


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def test_a_standby_takes_over_and_ends_the_job_that_runs(
    stack: Stack, cluster: Cluster, operators: list["subprocess.Popen[bytes]"], how: int
) -> None:
    operators.append(stack.spawn(18081))
    first = await holder(cluster)
    operators.append(stack.spawn(18082))
    name = f"taken-over-{how}"
    running = True

    def script(_job: str, phase: str) -> int | None:
        return None if running and phase == "algorithm" else 0

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job(name)))
        await until(cluster, name, "AssetsLoaded")
        operators[0].send_signal(how)
        assert operators[0].wait(LIMIT) == (-how if how == signal.SIGKILL else 0)
        assert await holder(cluster, other_than=first) != first
        running = False
        body = await until(cluster, name, "Complete")
    assert body["status"]["reason"] == "Succeeded"
    assert stack.writes(name).count("create pods") == 3


async def test_an_operator_that_lost_its_lease_stops_and_writes_nothing_more(
    stack: Stack, cluster: Cluster, operators: list["subprocess.Popen[bytes]"]
) -> None:
    lease = await cluster.read("Lease", SYSTEM, "c2d-operator")
    before = lease["spec"]["holderIdentity"] if lease else ""
    operators.append(stack.spawn(18083))
    await holder(cluster, other_than=before)
    async with node(cluster, JOBS, succeed):
        stack.kubectl(
            "patch", "lease", "-n", SYSTEM, "c2d-operator", "--type=merge",
            "-p", '{"spec": {"holderIdentity": "someone-else"}}',
        )  # fmt: skip
        assert operators[0].wait(LIMIT) == 1
        await cluster.create("ComputeJob", JOBS, dict(job("unserved")))
        operators.append(stack.spawn(18084))
        await holder(cluster, other_than="someone-else")
        await until(cluster, "unserved", "Complete")
    log = (stack.folder / "operator.log").read_text()
    assert "must not act any more: somebody else has the Lease" in log

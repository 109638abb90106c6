"""The operator as its own ServiceAccount on a real API server; pods are moved by the test."""

import asyncio
import signal
from collections.abc import Iterator

import aiohttp
import pytest

from c2d_api.exits import PodExit
from c2d_operator.cluster import AlreadyExistsError, Cluster
from operator_stack import (
    JOBS,
    Json,
    Stack,
    children,
    condition,
    environment,
    eventually,
    job,
    running_operator,
    until,
)
from pretend_node import node, succeed

CANARY_PORT = 18033


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder, canary = tmp_path_factory.mktemp("operator") / "cluster", f"127.0.0.1:{CANARY_PORT}"
    with running_operator(folder, volumes=12, C2D_CANARY=canary) as stack:
        yield stack


async def test_a_job_ends_complete_within_sixteen_writes(stack: Stack, cluster: Cluster) -> None:
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("happy")))
        body = await until(cluster, "happy", "Complete")
    status = body["status"]
    assert [entry["status"] for entry in status["conditions"]] == ["True"] * 7 + ["False"]
    assert status["ocean"] == {"status": 70, "statusText": "Job finished"}
    assert status["terminationDetails"] == {"exitCode": 0, "oomKilled": False}
    assert status["results"]["count"] == 1
    assert "completionTime" in status
    assert await children(cluster, "happy") == []
    writes = stack.writes("happy")
    assert len(writes) <= 16, writes


async def test_a_failing_algorithm_is_published_and_keeps_its_exit_code(
    stack: Stack, cluster: Cluster
) -> None:
    def script(_job: str, phase: str) -> int | None:
        return 3 if phase == "algorithm" else 0

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("three")))
        body = await until(cluster, "three", "Failed")
    assert body["status"]["reason"] == "AlgorithmFailed"
    assert body["status"]["terminationDetails"]["exitCode"] == 3
    assert body["status"]["ocean"]["status"] == 41
    assert condition(body, "ResultsPublished")["status"] == "True"
    assert await children(cluster, "three") == []
    described = stack.kubectl("describe", "cjob", "-n", JOBS, "three")
    assert "AlgorithmFailed" in described


async def test_results_wait_for_a_store_that_is_mended_and_nothing_is_deleted_meanwhile(
    stack: Stack, cluster: Cluster
) -> None:
    mended = asyncio.Event()

    def script(_job: str, phase: str) -> int | None:
        return PodExit.TRY_AGAIN if phase == "publishing" and not mended.is_set() else 0

    words = "the result store refused the credentials"
    async with node(cluster, JOBS, script, words):
        await cluster.create("ComputeJob", JOBS, dict(job("mended")))

        async def repeated() -> Json | None:
            body = await cluster.read("ComputeJob", JOBS, "mended") or {}
            attempts = body.get("status", {}).get("attempts", {})
            return body if attempts.get("publishing", 0) >= 2 else None

        body = await eventually(repeated, "a third publisher")
        told = condition(body, "ResultsPublished")
        assert (told["status"], told["message"]) == ("Unknown", f"once more: {words}")
        workspace = await cluster.read("PersistentVolumeClaim", JOBS, "mended-workspace")
        assert workspace is not None
        assert "deletionTimestamp" not in workspace["metadata"]
        mended.set()
        body = await until(cluster, "mended", "Complete")
    assert body["status"]["results"]["count"] == 1
    assert await children(cluster, "mended") == []


async def test_a_running_job_stops_when_its_consumer_asks(stack: Stack, cluster: Cluster) -> None:
    def script(_job: str, phase: str) -> int | None:
        return None if phase == "algorithm" else 0

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("stopped")))

        async def running() -> Json | None:
            body = await cluster.read("ComputeJob", JOBS, "stopped")
            reason = condition(body or {}, "AlgorithmCompleted").get("reason")
            return body if reason == "Running" else None

        await eventually(running, "the algorithm's start")
        patch = '{"spec": {"stop": {"reason": "Requested"}}}'
        stack.kubectl("patch", "cjob", "-n", JOBS, "stopped", "--type=merge", "-p", patch)
        body = await until(cluster, "stopped", "Failed")
    assert body["status"]["reason"] == "Stopped"
    assert body["status"]["ocean"]["status"] == 70
    assert condition(body, "ResultsPublished")["status"] == "True"
    assert await children(cluster, "stopped") == []


async def test_a_deleted_job_leaves_nothing(stack: Stack, cluster: Cluster) -> None:
    def script(_job: str, phase: str) -> int | None:
        return None if phase == "algorithm" else 0

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("deleted")))
        await until(cluster, "deleted", "AssetsLoaded")
        stack.kubectl("delete", "cjob", "-n", JOBS, "deleted")

        async def gone() -> Json | None:
            return {} if await children(cluster, "deleted") == [] else None

        await eventually(gone, "the removal of all children")


async def test_children_whose_owner_reference_was_cut_are_removed(
    stack: Stack, cluster: Cluster
) -> None:
    def script(_job: str, phase: str) -> int | None:
        return None if phase == "loading" else 0

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("orphan")))
        await until(cluster, "orphan", "VolumesReady")
        stack.kubectl("delete", "cjob", "-n", JOBS, "orphan", "--cascade=orphan")

        async def gone() -> Json | None:
            return {} if await children(cluster, "orphan") == [] else None

        await eventually(gone, "the removal of all orphans")


async def test_a_job_goes_on_after_its_operator_was_killed_in_every_phase(
    stack: Stack, cluster: Cluster
) -> None:
    allowed: set[str] = set()
    started: list[str] = []

    def script(name: str, phase: str) -> int | None:
        if name == "killed" and phase == "algorithm":
            started.append(phase)
        return 0 if phase in allowed else None

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("killed")))
        for type_, phase in (
            ("VolumesReady", "loading"),
            ("AssetsLoaded", "algorithm"),
            ("AlgorithmCompleted", "publishing"),
        ):
            await until(cluster, "killed", type_)
            stack.stop(signal.SIGKILL)
            allowed.add(phase)
            stack.start()
        body = await until(cluster, "killed", "Complete")
    assert started
    assert body["status"]["reason"] == "Succeeded"
    assert stack.writes("killed").count("create pods") == 3


async def test_a_name_that_belongs_to_something_else_fails_the_job(
    stack: Stack, cluster: Cluster
) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "taken-loader-0", "namespace": JOBS},
        "spec": {
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": "other",
                    "image": "other:1",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
        },
    }
    await cluster.create("Pod", JOBS, pod)
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("taken")))
        body = await until(cluster, "taken", "Failed")
    assert body["status"]["reason"] == "NameConflict"
    assert "taken-loader-0" in condition(body, "Failed")["message"]
    assert await cluster.read("Pod", JOBS, "taken-loader-0") is not None
    assert await children(cluster, "taken") == []


async def test_standing_objects_are_restored_and_left_alone_otherwise(
    stack: Stack, cluster: Cluster
) -> None:
    async def policy() -> Json | None:
        return await cluster.read("NetworkPolicy", JOBS, "env-algorithm")

    before = await eventually(policy, "the policy")
    await cluster.delete("NetworkPolicy", JOBS, "env-algorithm", before["metadata"]["uid"])
    after = await eventually(policy, "the policy's return")
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["spec"] == before["spec"]
    assert "egress" not in after["spec"]
    applied = [write for write in stack.writes("env-") if "networkpolicies" in write]
    assert len(applied) == 5


async def canary_answers(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_no_algorithm_starts_while_the_canary_is_silent(
    stack: Stack, cluster: Cluster
) -> None:
    proven = environment(
        "proven", networkIsolation="CanaryOnly", deadlines={"starting": 5, "loading": 60}
    )
    await cluster.create("ComputeEnvironment", JOBS, dict(proven))

    async def waits() -> Json | None:
        body = await cluster.read("ComputeJob", JOBS, "proving")
        seen = condition(body or {}, "AlgorithmCompleted")
        return seen if seen.get("reason") == "NetworkNotIsolated" else None

    async def known() -> Json | None:
        body = await cluster.read("ComputeEnvironment", JOBS, "proven")
        seen = condition(body or {}, "NetworkIsolated")
        return seen if seen.get("status") == "True" else None

    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("proving", environment="proven")))
        waiting = await eventually(waits, "a word about the canary")
        assert waiting["status"] == "Unknown"
        gated = await cluster.read("Pod", JOBS, "proving-algorithm")
        assert gated is not None
        assert gated["spec"]["schedulingGates"]
        async with await asyncio.start_server(canary_answers, "127.0.0.1", CANARY_PORT):
            await until(cluster, "proving", "Complete")
            await eventually(known, "the network's proof")
        await cluster.create("ComputeJob", JOBS, dict(job("unproven", environment="proven")))
        failed = await until(cluster, "unproven", "Failed")
    assert failed["status"]["reason"] == "NetworkNotIsolated"
    assert "canary" in condition(failed, "Failed")["message"]
    assert failed["status"]["ocean"]["status"] == 22


async def test_an_environment_without_its_storage_class_says_so(
    stack: Stack, cluster: Cluster
) -> None:
    body = environment("nowhere", storageClassName="none-such")
    await cluster.create("ComputeEnvironment", JOBS, dict(body))

    async def told() -> Json | None:
        seen = await cluster.read("ComputeEnvironment", JOBS, "nowhere")
        return condition(seen or {}, "Ready") or None

    ready = await eventually(told, "a word about its readiness")
    assert (ready["status"], ready["reason"]) == ("False", "StorageClassNotFound")
    with pytest.raises(AlreadyExistsError):
        await cluster.create("ComputeEnvironment", JOBS, dict(body))


async def test_metrics_tell_of_jobs_steps_requests_and_the_leader(
    stack: Stack, cluster: Cluster
) -> None:
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("counted")))
        await until(cluster, "counted", "Complete")
    async with (
        aiohttp.ClientSession() as session,
        session.get("http://127.0.0.1:19080/metrics") as answer,
    ):
        lines = (await answer.text()).splitlines()
    samples = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert samples["c2d_leader"] == "1.0"
    done = 'c2d_jobs{environment="env",namespace="c2d-jobs",phase="Complete",reason="Succeeded"}'
    assert float(samples[done]) >= 1
    step = 'c2d_step_duration_seconds_count{condition="AssetsLoaded",environment="env"'
    assert float(samples[f'{step},reason="Loaded"}}']) >= 1
    created = 'c2d_api_requests_total{code="201",method="POST",resource="pods"}'
    assert float(samples[created]) >= 3
    assert float(samples['c2d_pass_duration_seconds_count{kind="job"}']) >= 5

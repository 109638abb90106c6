"""The orders of jobs are watched: released when confirmed, stopped when taken back, freed."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from c2d_api.computejob import ComputeJob, parse_job
from c2d_api.exits import LauncherExit
from c2d_provider.confirming import LOOKS, Watcher, is_freed
from c2d_provider.context import Policy
from c2d_provider.orders import Policy as OrderPolicy
from c2d_provider.spending import Ledger, Spending
from provider_fakes import (
    DATASET_ORDER,
    NOW,
    PRICES,
    World,
    environment,
    market,
    served,
    start_body,
)

CONFIRMATIONS = 30
"""More than the 21 blocks from the orders' to the newest."""


async def waiting_job(confirmations: int = CONFIRMATIONS) -> tuple[World, ComputeJob]:
    """Start a job, which waits if its orders have too few confirmations."""
    world = market()
    world.policy = Policy(default_namespace="jobs", orders=OrderPolicy(confirmations=confirmations))
    async with TestClient(TestServer(world.app())) as client:
        body = start_body(world)
        async with client.post("/v2/api/services/compute", json=body) as response:
            assert response.status == 200
    (job,) = world.cluster.jobs_.values()
    return world, job


def watcher(world: World) -> Watcher:
    return Watcher(world.context(), seconds=3600, seldom=1)


async def test_a_job_is_released_when_its_orders_are_confirmed() -> None:
    world, job = await waiting_job()
    watching = watcher(world)
    world.chains.block = 128  # 29 confirmations
    await watching.look_at_all()
    assert world.cluster.resumed == []
    world.chains.block = 129
    await watching.look_at_all()
    assert world.cluster.resumed == [job.name]
    await watching.look_at_all()
    assert world.cluster.resumed == [job.name]


async def test_two_replicas_release_a_job_once() -> None:
    world, job = await waiting_job()
    world.chains.block = 200
    for _ in range(2):
        await watcher(world).look_at_all()
    assert world.cluster.resumed == [job.name]


async def test_a_job_that_an_admin_suspended_is_left_alone() -> None:
    world, job = await waiting_job()
    world.chains.block = 200
    world.cluster.jobs_[job.name] = replace(job, generation=2)
    await watcher(world).look_at_all()
    assert world.cluster.resumed == []


@pytest.mark.parametrize("change", ["unsealed", "changed"])
async def test_a_job_that_is_not_ours_is_left_alone(change: str) -> None:
    world, job = await waiting_job()
    world.chains.block = 200
    spec = replace(job.spec, environment="other")
    world.cluster.jobs_[job.name] = (
        replace(job, seal=None) if change == "unsealed" else replace(job, spec=spec)
    )
    await watcher(world).look_at_all()
    assert world.cluster.resumed == []


async def test_a_job_is_stopped_when_a_reorganisation_took_its_order_back() -> None:
    world, job = await waiting_job(confirmations=1)
    watching = watcher(world)
    del world.chains.receipts[DATASET_ORDER]
    for _ in range(LOOKS - 1):
        world.chains.block += 1
        await watching.look_at_all()
    assert world.cluster.stops == []
    world.chains.block += 1
    await watching.look_at_all()
    assert world.cluster.stops == [(job.name, "OrderRemoved")]
    await watching.look_at_all()
    assert world.cluster.stops == [(job.name, "OrderRemoved")]


async def test_an_endpoint_that_stands_still_costs_no_job() -> None:
    world, _ = await waiting_job(confirmations=1)
    watching = watcher(world)
    del world.chains.receipts[DATASET_ORDER]
    for _ in range(LOOKS * 3):
        await watching.look_at_all()
    assert world.cluster.stops == []


async def test_an_order_that_comes_back_is_as_good_as_before() -> None:
    world, _ = await waiting_job(confirmations=1)
    watching, receipt = watcher(world), world.chains.receipts[DATASET_ORDER]
    for block in range(200, 206):
        world.chains.block = block
        if block % 2:
            world.chains.receipts.pop(DATASET_ORDER)
        else:
            world.chains.receipts[DATASET_ORDER] = receipt
        await watching.look_at_all()
    assert world.cluster.stops == []


async def test_an_order_mined_again_that_failed_stops_its_job() -> None:
    world, job = await waiting_job(confirmations=1)
    watching, receipt = watcher(world), world.chains.receipts[DATASET_ORDER]
    world.chains.receipts[DATASET_ORDER] = replace(receipt, succeeded=False, logs=())
    for _ in range(LOOKS):
        world.chains.block += 1
        await watching.look_at_all()
    assert world.cluster.stops == [(job.name, "OrderRemoved")]


async def test_limits_of_time_are_judged_as_of_the_start() -> None:
    world, job = await waiting_job()
    world.chains.now = world.now = NOW + 10 * 86400
    world.chains.block = 200
    await watcher(world).look_at_all()
    assert world.cluster.resumed == [job.name]


async def test_what_was_agreed_stands_whatever_the_environment_costs_today() -> None:
    world = market()
    world.policy = Policy(default_namespace="jobs", orders=OrderPolicy(confirmations=CONFIRMATIONS))
    world.offer(environment(prices=PRICES))
    world.pay()
    async with TestClient(TestServer(world.app())) as client:
        body = start_body(world)
        async with client.post("/v2/api/services/compute", json=body) as response:
            assert response.status == 200
    world.offer(environment(prices=[{**PRICES[0], "perMinute": "100"}]))
    world.chains.block = 200
    await watcher(world).look_at_all()
    assert world.cluster.resumed == list(world.cluster.jobs_)


async def test_what_does_not_answer_decides_nothing_and_stops_nobody_else() -> None:
    world, job = await waiting_job()
    second = replace(job, name="0" * 32, uid="other")
    world.cluster.jobs_ = {second.name: second, job.name: job}
    world.chains.block = 200
    world.chains.is_down = True
    await watcher(world).look_at_all()
    assert (world.cluster.resumed, world.cluster.stops) == ([], [])
    world.chains.is_down = False
    await watcher(world).look_at_all()
    assert world.cluster.resumed == [job.name]  # the other one's seal is for another name


async def test_a_finished_job_is_not_looked_at() -> None:
    world, job = await waiting_job()
    manifest = world.cluster.manifests[0]
    done = parse_job(served(manifest, NOW, {"completionTime": "2027-01-15T09:00:00Z"}))
    world.cluster.jobs_[job.name] = done
    world.chains.asked.clear()
    await watcher(world).look_at_all()
    assert world.chains.asked == []


async def test_a_job_that_waits_for_nothing_is_looked_at_seldom_and_only_while_young() -> None:
    world, _ = await waiting_job(confirmations=1)
    watching = Watcher(world.context(), seconds=3600, seldom=3)
    looks = []
    for second in range(7):
        world.chains.asked.clear()
        world.now = NOW + (3601 if second == 6 else 0)
        await watching.look_at_all()
        looks.append(bool(world.chains.asked))
    assert looks == [True, False, False, True, False, False, False]


def failed(reason: str, message: str = "", started: bool = False) -> dict[str, Any]:
    condition = {
        "type": "Failed",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2027-01-15T09:00:00Z",
    }
    run = {"algorithm": {"podUID": "x", "startTime": "2027-01-15T08:30:00Z"}} if started else {}
    return {"conditions": [condition], "completionTime": "2027-01-15T09:00:00Z", **run}


def ended_with(code: int) -> dict[str, Any]:
    """A code that the launcher ends with, and an algorithm that means to gain by it as well."""
    return {"terminationDetails": {"exitCode": code, "oomKilled": False}}


@pytest.mark.parametrize(
    ("status", "freed"),
    [
        (failed("Unschedulable"), True),
        (failed("QueueExpired"), True),
        (failed("DataProvisioningFailed"), True),
        (failed("WorkspaceLost"), True),
        (failed("WorkspaceLost", started=True), False),
        (failed("AlgorithmLost", started=True), True),
        (failed("AlgorithmLost", started=True) | ended_with(LauncherExit.LOG_EXISTS), False),
        (failed("NetworkNotIsolated"), True),
        (failed("NetworkNotIsolated", started=True) | ended_with(LauncherExit.NETWORK_OPEN), False),
        (failed("Evicted", "The node was low on resource: memory.", started=True), True),
        (failed("Evicted", "the cluster took the algorithm's pod from its node", True), True),
        (failed("Evicted", "Pod ephemeral local storage usage exceeds the limit", True), False),
        (failed("DiskQuotaExceeded", started=True), False),
        (failed("AlgorithmFailed", started=True), False),
        (failed("AlgorithmProvisioningFailed"), False),
        (failed("ImagePullFailed"), False),
        (failed("Stopped"), False),
        ({}, False),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_which_ends_free_a_fee(status: dict[str, Any], freed: bool) -> None:
    world, _ = await waiting_job()
    assert is_freed(parse_job(served(world.cluster.manifests[0], NOW, status))) is freed


async def test_a_job_that_never_ran_gives_its_fee_back_once() -> None:
    world, job = await waiting_job()
    done = parse_job(served(world.cluster.manifests[0], NOW, failed("Unschedulable")))
    world.cluster.jobs_[job.name] = done
    spent = Spending(job.name, 0, NOW + 600)
    other = Spending("f" * 32, 0, NOW + 600)
    world.cluster.ledger_ = Ledger({"fee": spent, "other": other})
    for _ in range(2):
        await watcher(world).look_at_all()
    assert world.cluster.ledger_.spendings == {"fee": replace(spent, is_freed=True), "other": other}


@pytest.mark.parametrize("forged", ["no seal", "another namespace", "a copy"])
async def test_another_job_of_that_name_frees_nothing(forged: str) -> None:
    world, job = await waiting_job()
    await world.cluster.bind_seal(job)
    done = parse_job(served(world.cluster.manifests[0], NOW, failed("Unschedulable")))
    other = {
        "no seal": replace(done, seal=None),
        "another namespace": replace(done, namespace="elsewhere"),
        "a copy": replace(done, uid="another"),
    }[forged]
    world.cluster.jobs_[job.name] = other
    spent = Ledger({"fee": Spending(job.name, 0, NOW + 600)})
    world.cluster.ledger_ = spent
    await watcher(world).look_at_all()
    assert world.cluster.ledger_ == spent

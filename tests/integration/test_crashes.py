"""Whatever becomes of a single write, the job ends well and its algorithm is released once.

Real API server, real operator process; only what lies between them is the test's.
"""

import asyncio
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress

import aiohttp
import pytest
from aiohttp import web

from c2d_operator.cluster import Cluster
from meddling_proxy import Land, MeddlingProxy, answered, meddling_proxy
from operator_stack import (
    JOBS,
    LIMIT,
    Json,
    Stack,
    children,
    eventually,
    job,
    operator_stack,
    until,
)
from pretend_node import node, succeed

WRITES = 16
"""Of a job that goes well; the sweeps see for themselves that there are no more."""
SOME_WATCHES = 30
HEALTH = 18090


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("crashes") / "cluster"
    with operator_stack(folder, volumes=150) as stack:
        yield stack


@pytest.fixture
async def proxy(stack: Stack) -> AsyncIterator[MeddlingProxy]:
    cluster = stack.admin_config()["clusters"][0]["cluster"]
    async with meddling_proxy(cluster["server"], stack.kubeconfig.with_name("ca.crt")) as proxy:
        yield proxy


Process = subprocess.Popen[bytes]
Start = Callable[[], Awaitable[Process]]


@pytest.fixture
async def operator(stack: Stack, proxy: MeddlingProxy) -> AsyncIterator[Start]:
    """Start operators behind the proxy, one after the other, in one pod."""
    path = stack.operator_config("meddled", {"server": proxy.url})
    started: list[Process] = []

    async def start() -> Process:
        extra = {"C2D_POD_NAME": "one", "C2D_RESYNC_SECONDS": "2", "C2D_WATCH_GRACE_SECONDS": "3"}
        process = stack.spawn(HEALTH, kubeconfig=path, **extra, C2D_API_TIMEOUT_SECONDS="2")
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        await asyncio.to_thread(process.wait, LIMIT)


async def ended_well(stack: Stack, cluster: Cluster, name: str) -> None:
    body = await until(cluster, name, "Complete")
    assert body["status"]["reason"] == "Succeeded"
    assert await children(cluster, name) == []
    done = stack.writes(f"{name}-")
    assert done.count("create pods") == 3, done
    assert done.count("patch pods") == 1, done


async def test_an_operator_that_dies_after_any_write_is_taken_over_from(
    stack: Stack, cluster: Cluster, proxy: MeddlingProxy, operator: Start
) -> None:
    process = await operator()
    deaths = 0

    async def kill_after(_request: web.Request, land: Land) -> web.StreamResponse:
        answer = await land()
        process.kill()
        return answer

    async with node(cluster, JOBS, succeed):
        for number in range(1, WRITES + 2):
            name = f"dies{number}"
            proxy.deeds = {(name, number): kill_after}
            await cluster.create("ComputeJob", JOBS, dict(job(name)))
            if number <= WRITES:
                code = await asyncio.to_thread(process.wait, LIMIT)
                assert code == -signal.SIGKILL
                deaths += 1
                process = await operator()
            await ended_well(stack, cluster, name)
    assert deaths == WRITES
    assert proxy.writes(f"dies{WRITES + 1}") == WRITES, "there are more writes than the sweep knows"
    assert process.poll() is None


async def refuse(_request: web.Request, _land: Land) -> web.StreamResponse:
    return answered(500, "InternalError")


async def throttle(_request: web.Request, _land: Land) -> web.StreamResponse:
    return answered(429, "TooManyRequests", retry_after=1)


async def conflict(_request: web.Request, _land: Land) -> web.StreamResponse:
    return answered(409, "Conflict")


async def hang(_request: web.Request, _land: Land) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def lose_the_answer(request: web.Request, land: Land) -> web.StreamResponse:
    """Land the write, and cut the connection before its answer is on its way."""
    assert request.transport
    request.transport.abort()
    with suppress(ConnectionError):
        await land()
    return answered(504, "Timeout")


FAULTS = {
    "refused": refuse,
    "throttled": throttle,
    "conflicting": conflict,
    "hanging": hang,
    "unanswered": lose_the_answer,
}


async def test_any_write_may_go_wrong_in_any_way(
    stack: Stack, cluster: Cluster, proxy: MeddlingProxy, operator: Start
) -> None:
    jobs = {
        f"{fault}{number}": (number, deed)
        for fault, deed in FAULTS.items()
        for number in range(1, WRITES)  # of many jobs at once some are not seen running
    }
    proxy.deeds = {(name, number): deed for name, (number, deed) in jobs.items()}
    process = await operator()
    async with node(cluster, JOBS, succeed):
        for name in jobs:
            await cluster.create("ComputeJob", JOBS, dict(job(name)))
        for name in jobs:
            await ended_well(stack, cluster, name)
    assert proxy.done == set(proxy.deeds)
    assert process.poll() is None


async def test_lists_that_fail_are_made_again(
    stack: Stack, cluster: Cluster, proxy: MeddlingProxy, operator: Start
) -> None:
    proxy.list_faults = [
        answered(500, "InternalError"),
        answered(429, "TooManyRequests", retry_after=0),
    ] * 4
    await operator()
    async with node(cluster, JOBS, succeed):
        await cluster.create("ComputeJob", JOBS, dict(job("listed")))
        await ended_well(stack, cluster, "listed")
    assert proxy.list_faults == []


async def test_watches_that_expire_are_made_again(
    stack: Stack, cluster: Cluster, proxy: MeddlingProxy, operator: Start
) -> None:
    process = await operator()
    expired = 0

    def script(_job: str, _phase: str) -> int | None:
        return 0 if expired >= SOME_WATCHES else None

    async with node(cluster, JOBS, script):
        await cluster.create("ComputeJob", JOBS, dict(job("expired")))
        await until(cluster, "expired", "VolumesReady")
        while expired < SOME_WATCHES:
            expired += await proxy.expire_watches()
            await asyncio.sleep(0.1)
        await ended_well(stack, cluster, "expired")
    assert process.poll() is None


@asynccontextmanager
async def _health() -> AsyncIterator[Callable[[], Awaitable[Json | None]]]:
    async with aiohttp.ClientSession() as session:

        async def probe() -> Json | None:
            try:
                async with session.get(f"http://127.0.0.1:{HEALTH}/healthz") as answer:
                    return {"code": answer.status, "text": await answer.text()}
            except aiohttp.ClientError:
                return None

        yield probe


async def test_a_watch_that_has_gone_silent_fails_the_probe_and_holds_up_no_job(
    stack: Stack, cluster: Cluster, proxy: MeddlingProxy, operator: Start
) -> None:
    await operator()
    async with _health() as health, node(cluster, JOBS, succeed):

        async def well() -> Json | None:
            told = await health()
            return told if told and told["code"] == 200 and "heard" in told["text"] else None

        async def ill() -> Json | None:
            told = await health()
            return told if told and told["code"] != 200 else None

        await eventually(well, "the probe's success")
        proxy.mute = True
        await cluster.create("ComputeJob", JOBS, dict(job("unheard")))
        await ended_well(stack, cluster, "unheard")
        await eventually(ill, "the probe's failure")
    log = (stack.folder / "operator.log").read_text()
    assert "never told of version" in log

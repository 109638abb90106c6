"""An operator on an API server alone: its memory, and how soon another one takes its place."""

import asyncio
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.figures import Figure, spread
from c2d_api.computejob import parse_job
from c2d_api.times import format_time
from c2d_operator import status as st
from c2d_operator.children import Children
from c2d_operator.cluster import Cluster, connect
from c2d_operator.plan import plan
from c2d_operator.steps import Facts
from operator_stack import JOBS, Stack, eventually, job, operator_stack

Json = dict[str, Any]
_IDLE, _SOME, _MANY = 0, 2_000, 10_000
_ROUNDS = 3
_AT_ONCE = 64
_SETTLE_LIMIT = 120.0


def measure(folder: Path) -> list[Figure]:
    """Measure memory, then take-over."""
    with operator_stack(folder, volumes=1) as stack:
        return asyncio.run(_measure(stack))


async def _measure(stack: Stack) -> list[Figure]:
    async with connect(2000, 2000, 30, str(stack.kubeconfig)) as cluster:
        killed = [await _take_over(stack, cluster, signal.SIGKILL, n) for n in range(_ROUNDS)]
        stopped = [await _take_over(stack, cluster, signal.SIGTERM, n) for n in range(_ROUNDS)]
        memory = {}
        there = 0
        for count in (_IDLE, _SOME, _MANY):
            await _create_finished(cluster, range(there, count))
            there = count
            memory[count] = await _resident(stack)
    return [
        Figure("take-over after kill -9", median(killed), 15, "s", spread(killed)),
        Figure("take-over after a graceful stop", median(stopped), 2, "s", spread(stopped)),
        Figure("resident memory, idle", memory[_IDLE], 96, "MiB"),
        Figure(f"resident memory, {_SOME:,} finished jobs", memory[_SOME], 256, "MiB"),
        Figure(f"resident memory, {_MANY:,} finished jobs", memory[_MANY], 256, "MiB"),
    ]


@contextmanager
def _operator(stack: Stack, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    process = stack.spawn(port, C2D_LOG_FORMAT="json")
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def _leader(cluster: Cluster, other_than: str = "") -> str:
    async def probe() -> Json | None:
        lease = await cluster.read("Lease", "c2d-system", "c2d-operator")
        name = (lease or {}).get("spec", {}).get("holderIdentity", "")
        return {"name": name} if name and name != other_than else None

    return str((await eventually(probe, "a leader"))["name"])


async def _take_over(stack: Stack, cluster: Cluster, how: signal.Signals, number: int) -> float:
    """Tell how long after the end of a leader a new job gets its first status."""
    with _operator(stack, 18310) as first:
        before = await _leader(cluster)
        with _operator(stack, 18320):
            await _is_up(18320)
            first.send_signal(how)
            began = time.monotonic()
            name = f"over-{how}-{number}"
            created = await cluster.create("ComputeJob", JOBS, dict(job(name)))

            async def begun() -> Json | None:
                body = await cluster.read("ComputeJob", JOBS, name)
                return body if body and body.get("status") else None

            await eventually(begun, f"the first status of {name}")
            seconds = time.monotonic() - began
            await cluster.delete("ComputeJob", JOBS, name, created["metadata"]["uid"])
    lease = await cluster.read("Lease", "c2d-system", "c2d-operator")
    if lease and lease["spec"]["holderIdentity"] != before:
        await cluster.delete("Lease", "c2d-system", "c2d-operator", lease["metadata"]["uid"])
    return seconds


async def _is_up(port: int) -> None:
    async def probe() -> Json | None:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return None
        writer.close()
        return {}

    await eventually(probe, f"an answer on port {port}")


async def _create_finished(cluster: Cluster, numbers: range) -> None:
    """Create jobs with the status of jobs that ended well a while ago."""
    queue = iter(numbers)

    async def work() -> None:
        for number in queue:
            body = await cluster.create("ComputeJob", JOBS, dict(job(f"old-{number}")))
            meta = body["metadata"]
            await cluster.write_status(
                "ComputeJob", JOBS, meta["name"], meta["resourceVersion"], _finished(body)
            )

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))


def _finished(body: Json) -> Json:
    """Write the status that the operator gives a job whose every step went well."""
    now = datetime.now(UTC)
    parsed = parse_job(body)
    status = st.begin(parsed, now)
    for type_ in st.STEPS[:-1]:
        status = st.record(status, type_, "True", st.Reason.SUCCEEDED, "all is well", now, 1)
    step = plan(Facts(replace(parsed, status=status), Children(), now))
    manifest = st.as_dict(parsed, step.status)
    if manifest["phase"] != "Complete":
        raise RuntimeError("the job would not count as finished")
    files = [{"name": f"output-{n}.csv", "type": "output", "size": 10**n} for n in range(5)]
    results = {"count": 5, "totalBytes": 11111, "manifestDigest": f"sha256:{'0' * 64}"}
    return {**manifest, "startTime": format_time(now), "results": {**results, "files": files}}


async def _resident(stack: Stack) -> float:
    """Start an operator, and read its memory when it has seen everything and does nothing more."""
    with _operator(stack, 18330) as process:
        before, same, deadline = -1.0, 0, time.monotonic() + _SETTLE_LIMIT
        while same < 5:  # noqa: PLR2004 - seconds without work
            await asyncio.sleep(1)
            now = _cpu_seconds(process.pid)
            same = same + 1 if now - before < 0.05 and now > 0.5 else 0  # noqa: PLR2004 - seconds
            before = now
            if time.monotonic() > deadline:
                raise TimeoutError("the operator does not come to rest")
        return _resident_mebibytes(process.pid)


def _resident_mebibytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in lines if line.startswith("VmRSS:")]
    return int(line.split()[1]) / 1024


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100

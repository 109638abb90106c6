"""A real web server and the real programs of the pods, for their tests."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from c2d_api.computeenvironment import Address

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Site:
    """A web server on loopback that answers as its test says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, Handler] = {}
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.port = 0

    @property
    def address(self) -> Address:
        return Address("127.0.0.0/8", self.port)

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def serve(self, path: str, body: bytes) -> str:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(body=body)

        self.answers[path] = answer
        return self.url(path)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, dict(request.headers)))
        handler = self.answers.get(request.path)
        return await handler(request) if handler else web.Response(status=404)


@dataclass(frozen=True)
class Ended:
    """How a pod's process ended."""

    code: int
    output: str
    errors: str
    report: dict[str, object]

    @property
    def said(self) -> str:
        return self.output + self.errors + json.dumps(self.report)


class Pod:
    """One of the pods' programs as a process, with its task, volume and report."""

    def __init__(self, module: str, folder: Path, *arguments: str | Path) -> None:
        self.module = module
        self.folder = folder
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.report = folder / "report"
        self.arguments = arguments
        self.environment: dict[str, str] = {}

    async def start(self, task: str, *arguments: str | Path) -> asyncio.subprocess.Process:
        (self.folder / "task.json").write_text(task, encoding="utf-8")
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", "-m", self.module, "--data", self.data),
            *("--task", self.folder / "task.json", "--report", self.report),
            *self.arguments,
            *arguments,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"]} | self.environment,
        )

    async def run(self, task: str, *arguments: str | Path) -> Ended:
        process = await self.start(task, *arguments)
        async with asyncio.timeout(60):
            output, errors = await process.communicate()
        report = json.loads(self.report.read_text()) if self.report.exists() else {}
        return Ended(process.returncode or 0, output.decode(), errors.decode(), report)


async def memory_peak(process: asyncio.subprocess.Process, limit: float = 60) -> int:
    """Wait for a process to end; the most memory it was seen to hold, in bytes."""
    peak = 0
    async with asyncio.timeout(limit):
        while process.returncode is None:
            peak = max(peak, _memory_peak_until_now(process.pid))
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), 0.01)
    assert peak
    return peak


def _memory_peak_until_now(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it has ended since
        return 0
    return max([0, *(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))])

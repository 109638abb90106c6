"""Loader and publisher against curl, in turn, from and to the same server on loopback.

Rates are those of a stream: what a program takes for a file of one byte is left out of its time.
"""

import asyncio
import os
import resource
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from shutil import rmtree
from statistics import median

import obstore
from obstore.store import S3Store

from bench.figures import Figure, spread
from c2d_api.computeenvironment import Address, Store
from c2d_api.computejob import Dataset, File
from c2d_api.tasks import LoaderTask, PublisherTask
from hostile import MIB, Content, cut, serving
from local_stack.console import StackError
from local_stack.processes import free_ports, running, wait_until
from local_stack.services import accepts, nginx_config
from pods import Pod, memory_peak
from s3 import S3, s3_server

GIB = 2**30
_SIZE, _LARGE = 1 * GIB, 5 * 10**9
_ROUNDS = 5
_TIME = 1 / 0.9
_MEMORY = 64
_LIMIT, _TURN_LIMIT = 30.0, 900.0
_LOOPBACK = "127.0.0.1"


@dataclass
class Times:
    """What programs took for a large file and for one of a byte, in seconds."""

    large: dict[str, list[float]] = field(default_factory=lambda: {"curl": [], "ours": []})
    small: dict[str, list[float]] = field(default_factory=lambda: {"curl": [], "ours": []})
    cpu: dict[str, list[float]] = field(default_factory=lambda: {"curl": [], "ours": []})
    peak: int = 0

    def stream(self, who: str) -> float:
        """Tell the seconds that the stream alone took, at the median."""
        return median(self.large[who]) - median(self.small[who])

    def figures(self, what: str) -> list[Figure]:
        """Compare, and tell rates and memory."""
        rates = "; ".join(
            f"{who} {_SIZE / MIB / self.stream(who):.0f} MiB/s,"
            f" {median(self.cpu[who]):.2f} s of CPU"
            for who in ("curl", "ours")
        )
        start = f"whole program, seconds: {spread(self.large['ours'])}"
        ratio = self.stream("ours") / self.stream("curl")
        return [
            Figure(f"{what}, time of a stream against curl's", ratio, _TIME, "", rates),
            Figure(f"{what} 1 GiB, peak memory", self.peak / MIB, _MEMORY, "MiB", start),
        ]


Turn = Callable[[bool], Awaitable[int]]
"""Moves the large file or the small one; tells the program's peak memory."""


async def _in_turn(curl: Turn, ours: Turn) -> Times:
    times = Times()
    for number in range(_ROUNDS + 1):
        for large, noted in ((True, times.large), (False, times.small)):
            for who, turn in (("curl", curl), ("ours", ours)):
                began, worked = time.perf_counter(), _worked()
                peak = await turn(large)
                seconds = time.perf_counter() - began
                if number:  # the first round warms up
                    noted[who].append(seconds)
                    if large:
                        times.cpu[who].append(_worked() - worked)
                    times.peak = max(times.peak, peak if who == "ours" else 0)
    return times


def _worked() -> float:
    """Tell for how many seconds processes have worked that were started here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def loading(folder: Path) -> list[Figure]:
    """Measure the loader against curl."""
    with _nginx(folder) as port:
        for name, size in (("large", _SIZE), ("small", 1)):
            _write(folder / "files" / name, size)
        return asyncio.run(_loading(folder, port)).figures("loading")


def cut_off(folder: Path) -> list[Figure]:
    """Measure the loader's memory for 5 GB that come over a line that is cut."""
    return [asyncio.run(_cut(folder))]


async def _loading(folder: Path, port: int) -> Times:
    async def curl(large: bool) -> int:
        url = f"http://{_LOOPBACK}:{port}/{_name(large=large)}"
        await _curl("--output", str(folder / "fetched"), url)
        (folder / "fetched").unlink()
        return 0

    async def ours(large: bool) -> int:
        url = f"http://{_LOOPBACK}:{port}/{_name(large=large)}"
        return await _load(folder, port, File(url=url))

    return await _in_turn(curl, ours)


async def _cut(folder: Path) -> Figure:
    """Load 5 GB that come in four parts, with a digest."""
    content = Content(_LARGE)
    digest = await asyncio.to_thread(lambda: content.sha256)
    with serving(_LOOPBACK) as server:
        server.answers["/f"] = cut(content, *(_LARGE * part // 4 for part in (1, 2, 3)))
        began = time.perf_counter()
        peak = await _load(folder, server.port, File(url=server.url("/f"), sha256=digest))
        seconds = time.perf_counter() - began
        parts = len(server.asked["/f"])
    detail = f"{parts} parts, {seconds:.0f} s"
    return Figure("loading 5 GB cut three times, peak memory", peak / MIB, _MEMORY, "MiB", detail)


async def _load(folder: Path, port: int, file: File) -> int:
    work = folder / "loader"
    work.mkdir()
    shell = work / "shell"
    shell.write_bytes(b"shell")
    pod = Pod("c2d_pods.loader", work, "--busybox", shell, "--first-pause", "0.1")
    allowed = (Address(f"{_LOOPBACK}/32", port),)
    task = LoaderTask(
        "bench", (Dataset("data", "", (file,)),), "", (), "# nothing", None, None, allowed
    )
    return await _ran(pod, task.encode())


async def _ran(pod: Pod, task: str) -> int:
    process = await pod.start(task)
    peak = await memory_peak(process, _TURN_LIMIT)
    if process.returncode:
        raise StackError(f"{pod.module} failed: {pod.report.read_text()}")
    rmtree(pod.folder)
    return peak


def publishing(folder: Path) -> list[Figure]:
    """Measure the publisher against curl that puts to a presigned URL."""
    with s3_server(folder) as server:
        for name, size in (("large", _SIZE), ("small", 1)):
            _write(folder / name, size)
        return asyncio.run(_publishing(folder, server)).figures("publishing")


async def _publishing(folder: Path, server: S3) -> Times:
    credentials = folder / "credentials"
    credentials.mkdir()
    for name, value in server.credentials().items():
        (credentials / name).write_bytes(value)
    store = S3Store(
        "results",
        endpoint=server.endpoint,
        region="us-east-1",
        access_key_id=server.access,
        secret_access_key=server.secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )

    async def curl(large: bool) -> int:
        url = obstore.sign(store, "PUT", "by-curl", timedelta(hours=1))
        await _curl("--upload-file", str(folder / _name(large=large)), url)
        _forget(server)
        return 0

    async def ours(large: bool) -> int:
        work = folder / "publisher"
        work.mkdir()
        pod = Pod("c2d_pods.publisher", work, "--credentials", credentials)
        pod.environment = {"MALLOC_ARENA_MAX": "1"}  # as in its image
        (pod.data / "outputs").mkdir()
        os.link(folder / _name(large=large), pod.data / "outputs/file")
        where = Store("s3://results/", server.endpoint, "us-east-1", "keys")
        task = PublisherTask("bench", "jobs", "uid", None, (), "Complete", where)
        peak = await _ran(pod, task.encode())
        _forget(server)
        return peak

    return await _in_turn(curl, ours)


def _name(*, large: bool) -> str:
    return "large" if large else "small"


def _forget(server: S3) -> None:
    for path in server.bucket.iterdir():
        if path.is_dir():
            rmtree(path)
        else:
            path.unlink()


async def _curl(*words: str) -> None:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--show-error", "--fail", "--noproxy", "*", *words
    )
    if await process.wait():
        raise StackError("curl failed")


def _write(path: Path, size: int) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as file:
        for piece in Content(size).pieces():
            file.write(piece)


@contextmanager
def _nginx(folder: Path) -> Iterator[int]:
    """Serve the folder `files` as the local stack serves its files."""
    (port,) = free_ports(1)
    scratch, log = folder / "nginx", folder / "log/nginx.log"
    scratch.mkdir(parents=True)
    log.parent.mkdir()
    config = folder / "nginx.conf"
    config.write_text(nginx_config(f"{_LOOPBACK}:{port}", folder / "files", scratch))
    command: list[str | Path] = [
        *("/usr/sbin/nginx", "-e", "stderr", "-p", scratch, "-c", config),
    ]
    with running(command, log) as process:
        wait_until(
            lambda: accepts(_LOOPBACK, port),
            "nginx does not listen",
            limit=_LIMIT,
            log=log,
            alive=lambda: process.poll() is None,
        )
        yield port

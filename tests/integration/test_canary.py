"""The canary, the loader that must reach it, and the operator's look at it: real programs."""

import asyncio
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from c2d_api.exits import PodExit
from c2d_api.tasks import Endpoint, LoaderTask
from c2d_operator.canary import Canary, CanaryError
from local_stack import packages
from pods import Pod

LIMIT = 20.0


@pytest.fixture(scope="module")
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        return int(gone.getsockname()[1])


@pytest.fixture
def canary(port: int) -> "Iterator[subprocess.Popen[bytes]]":
    command = [sys.executable, "-m", "c2d_pods.canary", "--port", str(port)]
    with subprocess.Popen(command) as process:
        yield process
        process.kill()


@pytest.fixture
def loader(tmp_path: Path) -> Pod:
    packages.install(("busybox-static",), tmp_path / "packages.log")
    shell = shutil.which("busybox")
    assert shell
    return Pod("c2d_pods.loader", tmp_path, "--busybox", shell, "--first-pause", "0.01")


async def until_reached(canary: Canary) -> None:
    async with asyncio.timeout(LIMIT):
        while True:
            try:
                return await canary.reach()
            except CanaryError:
                await asyncio.sleep(0.05)


def task(*canary: Endpoint) -> str:
    return LoaderTask(
        job="job-1",
        datasets=(),
        algorithm_id="",
        algorithm_files=(),
        raw_code="print('hello')",
        algorithm_ddo=None,
        custom_data=None,
        egress=(),
        canary=canary,
        closed=(*canary, Endpoint("10.96.0.1", 443)),
    ).encode()


async def test_a_canary_is_found_by_its_name_and_answers_again_and_again(
    canary: "subprocess.Popen[bytes]", port: int
) -> None:
    named = Canary("localhost", port)
    await until_reached(named)
    for _ in range(3):
        await named.reach()
    assert Endpoint("127.0.0.1", port) in await named.endpoints()
    canary.terminate()
    assert await asyncio.to_thread(canary.wait, LIMIT) == -15
    with pytest.raises(CanaryError, match=f"port {port}"):
        await named.reach()


async def test_a_name_that_does_not_resolve_is_told() -> None:
    with pytest.raises(CanaryError, match=r"no-such\.invalid"):
        await Canary("no-such.invalid", 8033).endpoints()


@pytest.mark.usefixtures("canary")
async def test_a_loader_that_reaches_the_canary_lists_what_must_be_closed(
    loader: Pod, port: int
) -> None:
    await until_reached(Canary("127.0.0.1", port))
    ended = await loader.run(task(Endpoint("127.0.0.1", port)))
    assert ended.code == PodExit.DONE
    closed = (loader.data / "launcher/closed").read_text()
    assert closed == f"127.0.0.1 {port}\n10.96.0.1 443\n"


async def test_a_loader_that_does_not_reach_the_canary_loads_nothing(
    loader: Pod, port: int
) -> None:
    ended = await loader.run(task(Endpoint("127.0.0.1", port)))
    assert ended.code == PodExit.TRY_AGAIN
    assert f"port {port}" in str(ended.report["message"])
    assert not (loader.data / "transformations/algorithm").exists()

"""The provider as a program, and what its consumers do with its answers."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from aiohttp import ClientSession

from apiserver import ApiServer
from chain import ProviderFee
from local_stack.chain import CHAIN_ID


@dataclass(frozen=True)
class Replica:
    """A running provider: its process, and the URLs that consumers and loaders ask."""

    process: asyncio.subprocess.Process
    url: str
    loaders_url: str
    lines: list[str]


@asynccontextmanager
async def running(environ: dict[str, str]) -> AsyncIterator[Replica]:
    """Run the program until the block ends, then ask it to stop, which it must do well."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error::ResourceWarning", "-m", "c2d_provider"),
        env=environ,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    lines: list[str] = []
    async with asyncio.timeout(60):
        while not lines or "serves consumers on port" not in lines[-1]:
            line = (await process.stderr.readline()).decode()
            assert line, lines
            lines.append(line)
    ports = [json.loads(line)["message"].rsplit(" ", 1)[1] for line in lines[-2:]]
    loaders, consumers = (f"http://127.0.0.1:{port}" for port in ports)
    reading = asyncio.create_task(_read(process.stderr, lines))
    try:
        yield Replica(process, consumers, loaders, lines)
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await process.wait() == 0, lines
        await reading


async def _read(stream: asyncio.StreamReader, lines: list[str]) -> None:
    lines.extend([line.decode() async for line in stream])


async def encrypted(session: ClientSession, url: str, data: bytes) -> str:
    headers = {"Content-Type": "application/octet-stream"}
    path = f"{url}/v2/api/services/encrypt?chainId={CHAIN_ID}"
    async with session.post(path, data=data, headers=headers) as response:
        assert response.status == 201
        return await response.text()


def fee(item: dict[str, Any]) -> ProviderFee:
    sent = item["providerFee"]
    return ProviderFee(
        sent["providerFeeAddress"],
        sent["providerFeeToken"],
        int(sent["providerFeeAmount"]),
        sent["v"],
        bytes.fromhex(sent["r"][2:]),
        bytes.fromhex(sent["s"][2:]),
        sent["validUntil"],
        bytes.fromhex(sent["providerData"][2:]),
    )


def jobs_of(api: ApiServer, namespace: str) -> list[Any]:
    path = f"/apis/computetodata.io/v1alpha1/namespaces/{namespace}/computejobs"
    return list(api.request("GET", path).body["items"])

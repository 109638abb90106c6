"""A JSON-RPC endpoint in front of the chain, for tests: it counts, and fails when it is told to."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web

from c2d_provider.chain import EvmChains

OpenChains = Callable[..., Awaitable[EvmChains]]


class Relay:
    """Passes requests on; `methods` has what was asked, `answers` what is answered instead."""

    def __init__(self, chain_url: str) -> None:
        self._chain_url = chain_url
        self.methods: list[str] = []
        self.answers: dict[str, Any] = {}
        self.status = 200
        self.hangs = False
        self.url = ""
        self._released = asyncio.Event()

    def count(self, method: str) -> int:
        return self.methods.count(method)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.methods.append(body["method"])
        if self.hangs:
            await self._released.wait()
        if self.status != 200:
            return web.Response(status=self.status, text=f"see {self.url}")
        if body["method"] in self.answers:
            given = self.answers[body["method"]]
            return web.json_response({"jsonrpc": "2.0", "id": body["id"], **given(body["params"])})
        async with self._session.post(self._chain_url, json=body) as response:
            return web.json_response(json.loads(await response.read()))

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Relay"]:
        application = web.Application(client_max_size=2**24)
        application.router.add_post("/{path:.*}", self.answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        async with aiohttp.ClientSession() as self._session:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/s3cr3t"
            yield self
            self._released.set()
            await runner.cleanup()

"""A front of an API server that meddles: with single writes of an operator, and with its watches.

The operator talks plain HTTP to it, and it talks to the real API server, as the operator. So a
test decides what becomes of the n-th write of a job: whether it lands, and what is answered.
"""

import json
import ssl
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
from aiohttp import web

Land = Callable[[], Awaitable[web.StreamResponse]]
Deed = Callable[[web.Request, Land], Awaitable[web.StreamResponse]]
"""What is done with a write: it may land it, or not, and gives the answer."""

_OF_JOBS = frozenset({"computejobs", "pods", "persistentvolumeclaims"})
_HOP_BY_HOP = frozenset({"connection", "content-length", "content-encoding", "transfer-encoding"})


class MeddlingProxy:
    """Forwards everything, but for what `deeds` and `list_faults` say; `mute` silences watches.

    `done` has the deeds that were done.
    """

    def __init__(self, session: aiohttp.ClientSession, server: str, context: ssl.SSLContext):
        """Take where the real API server is."""
        self._session = session
        self._server = server
        self._context = context
        self._writes: dict[str, int] = defaultdict(int)
        self.deeds: Mapping[tuple[str, int], Deed] = {}
        self.done: set[tuple[str, int]] = set()
        self.list_faults: list[web.Response] = []
        self.mute = False
        self._watches: set[web.StreamResponse] = set()
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""

        async def land() -> web.StreamResponse:
            return await self._forward(request)

        if request.method == "GET":
            if "limit" in request.query and self.list_faults:
                return self.list_faults.pop()
            return await land()
        job = _job_of(request.path, await request.read())
        if job is None:
            return await land()
        self._writes[job] += 1
        which = (job, self._writes[job])
        if which not in self.deeds:
            return await land()
        self.done.add(which)
        return await self.deeds[which](request, land)

    def writes(self, job: str) -> int:
        """Tell how many writes of a job have come by."""
        return self._writes[job]

    async def expire_watches(self) -> int:
        """Tell every watch that its version is too old, as after a compaction; count them."""
        gone = {"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410}
        line = json.dumps({"type": "ERROR", "object": gone}) + "\n"
        told = 0
        for watch in list(self._watches):
            with suppress(ConnectionError):
                await watch.write(line.encode())
                told += 1
        return told

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        headers = {
            name: value
            for name, value in request.headers.items()
            if name.lower() not in _HOP_BY_HOP | {"host", "accept-encoding"}
        }
        async with self._session.request(
            request.method,
            self._server + request.raw_path,
            data=await request.read() or None,
            headers=headers,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
            ssl=self._context,
        ) as answer:
            kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            response = web.StreamResponse(status=answer.status, headers=kept)
            await response.prepare(request)
            if "watch" in request.query:
                await self._relay(answer, response)
                return response
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    async def _relay(self, answer: aiohttp.ClientResponse, response: web.StreamResponse) -> None:
        """Pass the lines of a watch on, each at a time, unless watches are muted."""
        self._watches.add(response)
        try:
            async for line in answer.content:
                if not self.mute:
                    await response.write(line)
        finally:
            self._watches.discard(response)


def _job_of(path: str, body: bytes) -> str | None:
    """Name the job that a write concerns: its own status or one of its children."""
    parts = path.split("/")
    kind = next((part for part in parts if part in _OF_JOBS), None)
    if kind is None:
        return None
    named = parts[parts.index(kind) + 1 :]
    name = named[0] if named else json.loads(body)["metadata"]["name"]
    return str(name) if kind == "computejobs" else str(name).split("-")[0]


def answered(code: int, reason: str, retry_after: int | None = None) -> web.Response:
    """Write an error as the API server does."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "message": f"meddled with: {reason}",
        "reason": reason,
        "code": code,
    }
    headers = {"Retry-After": str(retry_after)} if retry_after is not None else {}
    return web.json_response(body, status=code, headers=headers)


@asynccontextmanager
async def meddling_proxy(server: str, authority: Path) -> AsyncIterator[MeddlingProxy]:
    """Run a proxy before an API server, whose certificate an authority has signed."""
    context = ssl.create_default_context(cafile=str(authority))
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, auto_decompress=False
    ) as session:
        proxy = MeddlingProxy(session, server, context)
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_route("*", "/{path:.*}", proxy.handle)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        host, port = runner.addresses[0][:2]
        proxy.url = f"http://{host}:{port}"
        try:
            yield proxy
        finally:
            await runner.cleanup()

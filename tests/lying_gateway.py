"""A gateway that relays a real one, and lies as its test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import aiohttp
from aiohttp import web

from pods import Site
from sites import serving

Lie = Callable[[str, bytes], bytes]
"""Makes of what the real gateway answers to a path what is answered instead."""


def honest(_: str, body: bytes) -> bytes:
    """Change nothing."""
    return body


class Gateway(Site):
    """Relays whatever is asked; `deaf` leaves out what a request accepts, and its query."""

    def __init__(self, real: str, session: aiohttp.ClientSession) -> None:
        super().__init__()
        self._real, self._session = real.rstrip("/"), session
        self.lie: Lie = honest
        self.deaf = False
        self.cut: int | None = None
        self.missing: set[str] = set()

    @property
    def base(self) -> str:
        return self.url("")

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, dict(request.headers)))
        if request.path in self.missing:
            return web.Response(status=404, text="Not Found")
        kept = {} if self.deaf else {"Accept": request.headers.get("Accept", "*/*")}
        path = request.raw_path.partition("?")[0] if self.deaf else request.raw_path
        async with self._session.get(self._real + path, headers=kept) as real:
            body = self.lie(request.path, await real.read())
            headers = {"Content-Type": real.headers["Content-Type"], "ETag": '"one"'}
            status = real.status
        start = 0
        if "Range" in request.headers:
            start = int(request.headers["Range"].removeprefix("bytes=").removesuffix("-"))
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
            status = 206
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = len(body) - start
        await response.prepare(request)
        cut, self.cut = self.cut, None
        await response.write(body[start:][:cut])
        if cut is not None and request.transport:
            request.transport.close()
        return response


@asynccontextmanager
async def relaying(real: str) -> AsyncIterator[Gateway]:
    """Relay a gateway, honestly at first."""
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        gateway = Gateway(real, session)
        async with serving(gateway):
            yield gateway


def altered(body: bytes, place: int = -1) -> bytes:
    """Change one bit of one byte."""
    changed = bytearray(body)
    changed[place] ^= 1
    return bytes(changed)

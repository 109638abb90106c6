"""HTTP as the wire generations share it: bodies within bounds, answers, streams, routes as data."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from aiohttp import web

from c2d_provider import strict_json
from c2d_provider.context import Context
from c2d_provider.ports import Chunks, UnavailableError
from c2d_provider.refusals import Refused

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_NAME_BYTES = 200


class TooLargeError(Exception):
    """A body is larger than what its route takes."""


class BrokenOffError(Exception):
    """What an answer is made of ended before its end."""


class TooSlowError(Exception):
    """A body did not come in time."""


@dataclass(frozen=True)
class Limits:
    """How long a request may take, in seconds, and how large its body may be, in bytes.

    `answer_seconds` bounds the time until an answer begins, `body_seconds` the time its body
    takes to arrive, `stall_seconds` the time between two pieces of a long answer.
    """

    body_bytes: int = 4 * 2**20
    body_seconds: float = 20
    answer_seconds: float = 60
    stall_seconds: float = 60


CONTEXT: Final = web.AppKey("CONTEXT", Context)
LIMITS: Final = web.AppKey("LIMITS", Limits)
TIME_LIMIT: Final = web.RequestKey("TIME_LIMIT", asyncio.Timeout)
STREAMED: Final = web.RequestKey("STREAMED", web.StreamResponse)


@dataclass(frozen=True)
class Parameter:
    """A parameter as the OpenAPI document tells it."""

    name: str
    about: str
    required: bool = False
    type: str = "string"


@dataclass(frozen=True)
class Route:
    """One route: who handles it, and all that the OpenAPI document says of it.

    `parameters` stand in the query or, where `in_body` says so, in a JSON body as well; `raw` says
    that the body is taken as it is. `answers` has a sentence for each status.
    """

    method: str
    path: str
    name: str
    handler: Handler
    summary: str
    parameters: tuple[Parameter, ...] = ()
    in_body: bool = False
    raw: bool = False
    answers: Mapping[int, str] = field(default_factory=dict)
    content_type: str = "application/json"


async def read_body(request: web.Request, most: int | None = None) -> bytes:
    """Read the body of a request, of at most `most` bytes.

    Raises:
        TooLargeError: It is larger.
        TooSlowError: It did not come in time.
    """
    limits = request.app[LIMITS]
    most = limits.body_bytes if most is None else most
    if (request.content_length or 0) > most:
        raise TooLargeError
    body = bytearray()
    try:
        async with asyncio.timeout(limits.body_seconds):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > most:
                    raise TooLargeError
    except TimeoutError:
        raise TooSlowError from None
    return bytes(body)


def json_response(body: Any, status: int = 200) -> web.Response:
    """Answer JSON, which Python's own reader and every client's understand."""
    return web.Response(
        text=strict_json.compact(body), status=status, content_type="application/json"
    )


async def stream(
    request: web.Request, response: web.StreamResponse, chunks: Chunks
) -> web.StreamResponse:
    """Answer piece by piece: it may take as long as it flows, in both directions."""
    try:
        await response.prepare(request)
        request[STREAMED] = response
        async for chunk in chunks:
            _flows(request)
            await response.write(chunk)
            _flows(request)
        await response.write_eof()
    except (Refused, UnavailableError):
        raise BrokenOffError from None
    finally:
        await chunks.aclose()
    return response


def _flows(request: web.Request) -> None:
    """Let an answer take longer, since a piece of it has come or gone."""
    seconds = request.app[LIMITS].stall_seconds
    request[TIME_LIMIT].reschedule(asyncio.get_running_loop().time() + seconds)


def attachment(name: str) -> str:
    """Write a file's name for a download: the last part of a path, whatever it is made of."""
    last = name.rstrip("/").rpartition("/")[2].encode(errors="replace")[:_NAME_BYTES]
    text = last.decode(errors="ignore") or "file"
    plain = "".join(c if (c.isalnum() and c.isascii()) or c in "._-" else "_" for c in text)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(text, safe='')}"

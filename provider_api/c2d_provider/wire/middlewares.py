"""Around every handler: the client's share, the time it may take, errors without secrets, a log.

From the outside in: `observe`, `open_to_browsers`, `shape_errors`, `limit_rate`, `limit_time`.
"""

import asyncio
import logging
import math
import time
import traceback
import uuid
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from c2d_provider.limiter import Limiter, Network, client_address
from c2d_provider.telemetry import ACCESS, Metrics
from c2d_provider.wire.exchange import (
    LIMITS,
    STREAMED,
    TIME_LIMIT,
    Handler,
    TooLargeError,
    TooSlowError,
    json_response,
)

_LOGGER = logging.getLogger(__name__)
METRICS: Final = web.AppKey("METRICS", Metrics)
REQUEST_ID: Final = web.RequestKey("REQUEST_ID", str)
PROBES: Final = frozenset({"/healthz", "/readyz"})
UNMATCHED: Final = "unmatched"
_METHODS = "GET, POST, PUT, DELETE, OPTIONS"
_EXPOSED = "Content-Disposition, Content-Range, ETag, Retry-After, X-Request-Id"
_KNOWN_METHODS = frozenset(_METHODS.split(", ")) | {"HEAD", "PATCH"}


@dataclass(frozen=True)
class Clients:
    """How clients are told apart, and how much each may ask."""

    limiter: Limiter
    trusted_proxies: tuple[Network, ...] = ()

    def name(self, request: web.Request) -> str:
        """Name the client of a request."""
        forwarded = request.headers.getall("X-Forwarded-For", [])
        return client_address(request.remote or "", forwarded, self.trusted_proxies)


CLIENTS: Final = web.AppKey("CLIENTS", Clients)


def route_of(request: web.Request) -> str:
    """Name the route of a request by its pattern: a path from outside goes into no log."""
    resource = request.match_info.route.resource
    return resource.canonical if resource else UNMATCHED


@web.middleware
async def observe(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count and log a request, however it ends."""
    request[REQUEST_ID] = uuid.uuid4().hex
    metrics, began, status, sent = request.app[METRICS], time.monotonic(), 499, 0
    method = request.method if request.method in _KNOWN_METHODS else "other"
    metrics.in_flight.inc()
    try:
        response = await handler(request)
        status, sent = response.status, response.body_length
        return response
    finally:
        seconds, route = time.monotonic() - began, route_of(request)
        metrics.in_flight.dec()
        metrics.requests.labels(method, route, str(status)).inc()
        metrics.seconds.labels(method, route).observe(seconds)
        if route not in PROBES:
            ACCESS.info(
                "%s %s %s",
                method,
                route,
                status,
                extra={
                    "request_id": request[REQUEST_ID],
                    "client": request.app[CLIENTS].name(request),
                    "method": method,
                    "route": route,
                    "status": status,
                    "seconds": round(seconds, 6),
                    "bytes_sent": sent,
                },
            )


@web.middleware
async def open_to_browsers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let pages of every origin ask, as provider v2 does: nothing here rests on cookies."""
    if request.method != "OPTIONS":
        return await handler(request)
    asked = request.headers.get("Access-Control-Request-Headers", "")
    headers = {"Access-Control-Allow-Methods": _METHODS, "Access-Control-Max-Age": "600"}
    if asked and all(part.strip().replace("-", "").isalnum() for part in asked.split(",")):
        headers["Access-Control-Allow-Headers"] = asked
    return web.Response(status=200, headers=headers)


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Add to every answer what browsers are to know, and the id by which it is found in the log."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Expose-Headers"] = _EXPOSED
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Server"] = "c2d-provider"
    if REQUEST_ID in request:
        response.headers["X-Request-Id"] = request[REQUEST_ID]


@web.middleware
async def shape_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer errors as JSON that tells nothing of what is inside.

    Where an answer has begun, its connection is cut: a client must not take a part for the whole.
    """
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _http_error(error)
    except TooLargeError:
        return _closing(_error("The body is too large.", 413))
    except TooSlowError:
        return _closing(_error("The body did not come in time.", 408))
    except (ConnectionError, asyncio.CancelledError):
        raise
    except TimeoutError:
        return _cut(request) or _error("The request took too long.", 503)
    except Exception as error:
        _log(request, error)
        text = f"Something went wrong here; the log has it as {request[REQUEST_ID]}."
        return _cut(request) or _error(text, 500)


@web.middleware
async def limit_rate(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse a client that asks too often."""
    if route_of(request) in PROBES:
        return await handler(request)
    clients = request.app[CLIENTS]
    wait = clients.limiter.wait(clients.name(request), time.monotonic())
    if not wait:
        return await handler(request)
    request.app[METRICS].limited.inc()
    response = _error("Too many requests.", 429)
    response.headers["Retry-After"] = str(math.ceil(wait))
    return response


@web.middleware
async def limit_time(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give a handler up that takes too long; what must not stop half-way goes on without it."""
    async with asyncio.timeout(request.app[LIMITS].answer_seconds) as timeout:
        request[TIME_LIMIT] = timeout
        return await handler(request)


ALL: Final = (observe, open_to_browsers, shape_errors, limit_rate, limit_time)


def _error(text: str, status: int) -> web.Response:
    return json_response({"error": text}, status)


def _http_error(error: web.HTTPException) -> web.Response:
    response = _error(error.reason, error.status)
    if "Allow" in error.headers:
        response.headers["Allow"] = error.headers["Allow"]
    return response


def _closing(response: web.Response) -> web.Response:
    response.force_close()
    return response


def _cut(request: web.Request) -> web.StreamResponse | None:
    """Cut the connection of an answer that has begun; None where none has."""
    if STREAMED not in request:
        return None
    request.protocol.force_close()
    return request[STREAMED]


def _log(request: web.Request, error: Exception) -> None:
    """Log where an error was raised, without its words: they may hold a URL or a key."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    _LOGGER.error(
        "%s in a request\n%s",
        type(error).__name__,
        frames,
        extra={"request_id": request[REQUEST_ID], "route": route_of(request)},
    )

"""The provider's applications: what consumers ask, what loaders ask, what Prometheus asks.

Each is made of a `Context`, so of ports; nothing here knows what is behind them.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from c2d_api.asset_request import MAX_REQUEST_BYTES, PATH
from c2d_provider import VERSION
from c2d_provider.confirming import Watcher
from c2d_provider.context import Context
from c2d_provider.internal import Means, hand_out
from c2d_provider.limiter import Limiter
from c2d_provider.telemetry import Metrics
from c2d_provider.wire import middlewares, openapi, v2
from c2d_provider.wire.exchange import (
    CONTEXT,
    LIMITS,
    Limits,
    Route,
    json_response,
    read_body,
)
from c2d_provider.wire.middlewares import CLIENTS, METRICS, Clients

_SCHEME = "Bearer "
_CSP = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True)
class Manner:
    """How the applications serve, whatever they serve."""

    limits: Limits = field(default_factory=Limits)
    clients: Clients = field(default_factory=lambda: Clients(Limiter(20, 100)))
    metrics: Metrics = field(default_factory=Metrics)
    is_ready: Callable[[], bool] = lambda: True
    watch_seconds: float = 5


MANNER: Final = web.AppKey("MANNER", Manner)
MEANS: Final = web.AppKey("MEANS", Means)


def public_app(context: Context, manner: Manner) -> web.Application:
    """Make the application that consumers ask."""
    app = _bare(manner)
    app[CONTEXT] = context
    add_routes(app)
    app.cleanup_ctx.append(_watching)
    app.on_cleanup.append(_finish)
    return app


def internal_app(context: Context, manner: Manner) -> web.Application:
    """Make the application that loaders ask, on a port that no consumer reaches."""
    app = _bare(manner)
    app[MEANS] = means(context)
    app.router.add_route("POST", PATH, assets)
    return app


def means(context: Context) -> Means:
    """Give the flow of loaders what it works with."""
    who, ports, policy = context.identity, context.ports, context.policy
    return Means(
        cluster=ports.cluster,
        chains=ports.chains,
        assets=ports.assets,
        seal_key=who.seal_key,
        cluster_hash=who.cluster,
        fee_addresses=frozenset({who.address}),
        policy=policy.orders,
        legacy_trust=policy.legacy_trust,
        remotes=ports.remotes,
        urls=policy.urls,
        keyring=context.keyring,
    )


def metrics_app(metrics: Metrics) -> web.Application:
    """Make the application that Prometheus asks."""
    app = web.Application()
    app[METRICS] = metrics
    app.router.add_route("GET", "/metrics", numbers)
    return app


def add_routes(app: web.Application) -> None:
    """Add every route that consumers may ask.

    Old clients join a URL and a path with a slash too many, so that is a route as well.
    """
    for route in (*own_routes(), *v2.routes()):
        app.router.add_route(route.method, route.path, route.handler)
        if route.path.startswith(f"{v2.PREFIX}/"):
            doubled = route.path.replace(f"{v2.PREFIX}/", f"{v2.PREFIX}//", 1)
            app.router.add_route(route.method, doubled, route.handler)
    app.router.add_route("GET", f"{v2.PREFIX}/", v2.routes()[0].handler)


def own_routes() -> tuple[Route, ...]:
    """List the routes that belong to no wire generation."""
    return (
        Route(
            "GET",
            "/",
            "describe",
            describe,
            "What this provider is, and where its endpoints are",
            answers={200: "Chains, addresses and endpoints."},
        ),
        Route(
            "GET", "/healthz", "health", health, "Whether the program runs", answers={200: "Yes."}
        ),
        Route(
            "GET",
            "/readyz",
            "readiness",
            readiness,
            "Whether requests are answered",
            answers={200: "Yes.", 503: "Not at the moment."},
        ),
        Route("GET", "/openapi.json", "openapi", document, "This document", answers={200: "It."}),
        Route(
            "GET",
            "/docs",
            "docs",
            page,
            "This document as a page",
            content_type="text/html",
            answers={200: "The page."},
        ),
    )


async def describe(request: web.Request) -> web.Response:
    """Tell what this provider is; the endpoints that it lists are those that answer."""
    context = request.app[CONTEXT]
    body = v2.described(context)
    endpoints = {
        name: [method, f"{v2.PREFIX}{path}"]
        for name, (method, path) in body["serviceEndpoints"].items()
    }
    own = {
        "providerAddress": context.identity.address,
        "nodePublicKey": context.identity.public_key,
        "serviceEndpoints": endpoints,
    }
    return json_response({**body, **own})


async def health(_: web.Request) -> web.Response:
    """Say that the program runs."""
    return json_response({"status": "ok"})


async def readiness(request: web.Request) -> web.Response:
    """Say whether requests are answered."""
    is_ready = request.app[MANNER].is_ready()
    return json_response({"status": "ok" if is_ready else "waiting"}, 200 if is_ready else 503)


async def document(_: web.Request) -> web.Response:
    """Answer the OpenAPI document."""
    return json_response(openapi.document((*own_routes(), *v2.routes()), VERSION))


async def page(_: web.Request) -> web.Response:
    """Answer the page of the OpenAPI document."""
    text = openapi.page((*own_routes(), *v2.routes()), VERSION)
    headers = {"Content-Security-Policy": _CSP}
    return web.Response(text=text, content_type="text/html", headers=headers)


async def assets(request: web.Request) -> web.Response:
    """Answer a loader that asks for the assets of its job."""
    given = request.headers.get("Authorization", "")
    token = given.removeprefix(_SCHEME) if given.startswith(_SCHEME) else ""
    body = await read_body(request, MAX_REQUEST_BYTES)
    found = await hand_out(request.app[MEANS], token, body)
    return web.Response(body=found.body, status=found.status, content_type="application/json")


async def numbers(request: web.Request) -> web.Response:
    """Answer what Prometheus reads."""
    body = generate_latest(request.app[METRICS].registry)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _bare(manner: Manner) -> web.Application:
    app = web.Application(middlewares=middlewares.ALL)
    app[MANNER] = manner
    app[LIMITS] = manner.limits
    app[CLIENTS] = manner.clients
    app[METRICS] = manner.metrics
    app.on_response_prepare.append(middlewares.add_headers)
    return app


async def _watching(app: web.Application) -> AsyncIterator[None]:
    """Watch the orders of jobs as long as the application serves."""
    watcher = Watcher(app[CONTEXT], app[MANNER].watch_seconds)
    task = asyncio.create_task(watcher.run())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def _finish(app: web.Application) -> None:
    """Let starts that have begun to write come to their end."""
    await app[CONTEXT].finish()

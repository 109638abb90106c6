"""The provider's servers: three ports, opened together, closed when requests are answered."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from c2d_provider.app import Manner, internal_app, metrics_app, public_app
from c2d_provider.context import Context
from c2d_provider.limiter import Limiter
from c2d_provider.settings import Settings
from c2d_provider.wire.exchange import Limits
from c2d_provider.wire.middlewares import Clients


@dataclass(frozen=True)
class Patience:
    """How long servers wait, in seconds.

    `idle` for a request on an open connection, and for the rest of its head; `lingering` for what
    is left of a body that is not read; `shutdown` for requests that are being answered.
    """

    idle: float = 30
    lingering: float = 2
    shutdown: float = 25


@dataclass(frozen=True)
class Bound:
    """The ports that the servers listen on."""

    public: int
    internal: int
    metrics: int


def manner(settings: Settings, is_ready: Callable[[], bool]) -> Manner:
    """Turn settings into how applications serve."""
    limiter = Limiter(settings.requests_per_second, settings.request_burst)
    return Manner(
        limits=Limits(answer_seconds=settings.request_seconds),
        clients=Clients(limiter, settings.trusted_proxies),
        is_ready=is_ready,
        watch_seconds=settings.watch_seconds,
    )


@asynccontextmanager
async def serving(settings: Settings, context: Context, how: Manner) -> AsyncIterator[Bound]:
    """Serve as long as the block runs; at its end, answer what was asked before closing.

    The port of loaders closes after that of consumers: a job that was just started needs it.
    """
    patience = Patience(shutdown=settings.shutdown_seconds)
    async with AsyncExitStack() as stack:

        async def open_(app: web.Application, port: int) -> int:
            return await stack.enter_async_context(listening(app, settings.host, port, patience))

        metrics = await open_(metrics_app(how.metrics), settings.metrics_port)
        internal = await open_(internal_app(context, how), settings.internal_port)
        public = await open_(public_app(context, how), settings.port)
        yield Bound(public, internal, metrics)


async def until_signalled() -> None:
    """Wait until the process is asked to end."""
    loop, asked = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


@asynccontextmanager
async def listening(
    app: web.Application, host: str, port: int, patience: Patience
) -> AsyncIterator[int]:
    """Serve an application on a port, which is told; 0 takes one that is free."""
    runner = web.AppRunner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=patience.idle,
        lingering_time=patience.lingering,
        shutdown_timeout=patience.shutdown,
    )
    await runner.setup()
    try:
        site = web.TCPSite(runner, None if host == "::" else host, port)
        await site.start()
        yield site.port
    finally:
        await runner.cleanup()

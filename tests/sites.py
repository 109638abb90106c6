"""Web servers on loopback for tests that say themselves what is answered."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from pods import Site


@asynccontextmanager
async def serving(site: Site) -> AsyncIterator[Site]:
    """Serve a site on all addresses of loopback."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()  # noqa: S104 - all of loopback
    site.port = runner.addresses[0][1]
    try:
        yield site
    finally:
        await runner.cleanup()

"""Real servers and real processes for the pods' tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from pods import Pod, Site


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", site.answer)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "0.0.0.0", 0).start()  # noqa: S104 - all of loopback
    site.port = runner.addresses[0][1]
    yield site
    await runner.cleanup()


@pytest.fixture
def loader(tmp_path: Path) -> Pod:
    shell = tmp_path / "static-shell"
    shell.write_bytes(b"\x7fELF static shell")
    loader = Pod("c2d_pods.loader", tmp_path, "--busybox", shell, "--first-pause", "0.01")
    loader.environment = {"http_proxy": "http://127.0.0.1:1"}  # which it must not use
    return loader


@pytest.fixture
def publisher(tmp_path: Path) -> Pod:
    publisher = Pod("c2d_pods.publisher", tmp_path, "--credentials", tmp_path / "credentials")
    publisher.environment = {"MALLOC_ARENA_MAX": "1"}  # as in its image
    return publisher

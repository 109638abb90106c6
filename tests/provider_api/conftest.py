"""A web server of a test's own."""

from collections.abc import AsyncIterator

import pytest

from pods import Site
from sites import serving


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    """A web server on loopback that answers as its test says."""
    async with serving(Site()) as site:
        yield site

"""Stores for the checker, which writes to them by every way there is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from nexfit.embedded import EmbeddedServers
from nexfit.settings import Settings
from tests.feeds.conftest import seeded

REDIS_DATABASE = 7


@pytest.fixture(scope="package")
async def settings(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """New stores with the demo in them."""
    async with seeded(servers.urls, REDIS_DATABASE) as made:
        yield made

"""Stores with both schemas applied, for the demo and the importers."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import date
from pathlib import Path

import pytest

from nexfit.embedded import EmbeddedServers
from nexfit.operations.demo import seed
from nexfit.stores.connections import Stores, open_stores
from tests.databases import migrated

REPOSITORY = Path(__file__).parents[2]
DATA = REPOSITORY.parent / "shared" / "data"

TODAY = date(2026, 5, 20)

FreshStores = Callable[[], AbstractAsyncContextManager[Stores]]


@pytest.fixture(scope="module")
async def stores(servers: EmbeddedServers) -> AsyncIterator[Stores]:
    """Connected stores of this module, both schemas applied, nothing in them."""
    async with migrated(servers.urls) as settings, open_stores(settings) as ready:
        yield ready


@pytest.fixture(scope="module")
def fresh_stores(servers: EmbeddedServers) -> FreshStores:
    """Makes further stores on the same servers; each is dropped when its block ends."""

    @asynccontextmanager
    async def make() -> AsyncIterator[Stores]:
        async with migrated(servers.urls) as settings, open_stores(settings) as ready:
            yield ready

    return make


@pytest.fixture(scope="module")
async def seeded(stores: Stores) -> Stores:
    """The stores with the demo at scale 1, told on a fixed day."""
    await seed(stores, today=TODAY)
    return stores


@pytest.fixture
def data_folder() -> Path:
    """The folder of real input files beside the repository; skips where there is none."""
    if not DATA.is_dir():
        pytest.skip(f"the real input files are not here: {DATA} does not exist")
    return DATA

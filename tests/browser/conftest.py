"""A real Chromium and the servers whose page it opens."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
import uvicorn
from graphiql_stub import create_stub
from playwright.async_api import Browser, async_playwright
from pydantic import SecretStr
from starlette.types import ASGIApp

from nexfit.app import create_app
from nexfit.embedded import EmbeddedServers
from nexfit.operations import web_build
from nexfit.operations.demo import seed
from nexfit.operations.setup import migrate_up
from nexfit.settings import MongoSettings, PostgresSettings, RedisSettings, Settings
from nexfit.stores.connections import open_stores

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # Any other host fails at once, instead of being reached on a machine that has a network.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


@contextmanager
def serve(app: ASGIApp) -> Iterator[str]:
    """Serves an ASGI application on a free port of 127.0.0.1 in a thread; gives its URL without a slash at the end."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="websockets-sansio"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=10)


@pytest.fixture(scope="session")
def built_page() -> None:
    """GraphiQL's page, built now when it is not; skips where Node is missing."""
    with (web_build.SOURCES / "package.json").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # another worker may be building it
        try:
            web_build.build()
        except web_build.NodeNotFoundError as error:
            pytest.skip(str(error))


@pytest.fixture(scope="session")
def stub_url(built_page: None) -> Iterator[str]:
    """The base URL of the stub server."""
    with serve(create_stub()) as url:
        yield url


@pytest.fixture(scope="module")
async def graphiql_url(
    built_page: None, servers: EmbeddedServers, mongo_database: str, postgres_url: str, redis_url: str
) -> AsyncIterator[str]:
    """The URL of GraphiQL's page on the real application over seeded stores."""
    settings = Settings(
        mongo=MongoSettings(url=SecretStr(servers.urls.mongo), database=mongo_database),
        postgres=PostgresSettings(url=SecretStr(postgres_url)),
        redis=RedisSettings(url=SecretStr(redis_url)),
        background=False,
        demo=True,
    )
    await migrate_up(settings)
    async with open_stores(settings) as stores:
        await seed(stores, today=datetime.now(UTC).date())
    with serve(create_app(settings)) as url:
        yield f"{url}/graphql"


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Browser]:
    """A headless Chromium of this machine."""
    program = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if program is None:
        pytest.skip(f"no Chromium on the PATH (looked for {', '.join(CHROMIUM_NAMES)})")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=CHROMIUM_ARGUMENTS)
        yield browser
        await asyncio.wait_for(browser.close(), timeout=20)

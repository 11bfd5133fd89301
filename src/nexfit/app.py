"""The ASGI application: routes, health, and the lifespan that opens and closes the stores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from nexfit.api.context import Services
from nexfit.api.execution import Operations
from nexfit.api.graphiql import DemoLogin, GraphiQLConfig, static_routes
from nexfit.api.http import Endpoint
from nexfit.api.schema import build_schema
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.tokens import Tokens
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.logs import configure_logs
from nexfit.metrics import CONTENT_TYPE as METRICS_TYPE
from nexfit.metrics import exposition, make_registry
from nexfit.operations.demo.logins import demo_logins
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import StoreError

PROBE_SECONDS = 1.0
"""How long `/readyz` waits for a store: who probes gives up soon, too."""


def create_app(settings: Settings | None = None) -> Starlette:
    """The application of one process, from the environment's settings unless others are given."""
    configure_logs()
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        passwords = Passwords(settings.auth.hash_workers)
        async with open_stores(settings) as stores:
            services = Services(settings, stores, JoinedViews(stores.redis), passwords, Tokens(settings.auth))
            app.state.stores = stores
            operations = Operations(build_schema())
            app.state.endpoint = Endpoint(services, operations, _graphiql(settings))
            app.state.metrics = make_registry(operations)
            yield
        passwords.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/graphql", _graphql, methods=["GET", "POST"]),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            *([Route("/metrics", _metrics)] if settings.http.metrics else []),
            Route("/", lambda _: RedirectResponse("/graphql")),
            *static_routes(),
        ],
    )


def _graphiql(settings: Settings) -> GraphiQLConfig | None:
    if not settings.http.graphiql:
        return None
    logins = demo_logins() if settings.demo else ()
    return GraphiQLConfig(tuple(DemoLogin(login.label, login.email, login.password) for login in logins))


async def _graphql(request: Request) -> Response:
    endpoint: Endpoint = request.app.state.endpoint
    return await endpoint(request)


async def _metrics(request: Request) -> Response:
    return Response(exposition(request.app.state.metrics), media_type=METRICS_TYPE)


async def _healthz(_: Request) -> Response:
    """Alive: the process answers. Says nothing of the stores, so that their outage restarts no process."""
    return JSONResponse({"status": "ok"})


async def _readyz(request: Request) -> Response:
    """Ready: what every answer needs is there. Without Redis answers are slower and still right."""
    stores: Stores = request.app.state.stores
    mongo, postgres, redis = await asyncio.gather(
        _probe(stores.mongo.ping), _probe(stores.postgres.ping), _probe(stores.redis.ping)
    )
    ready = mongo["status"] == postgres["status"] == "ok"
    status = "ok" if ready and redis["status"] == "ok" else "degraded" if ready else "unavailable"
    body = {"status": status, "stores": {"mongo": mongo, "postgres": postgres, "redis": redis}}
    return JSONResponse(body, 200 if ready else 503, {"cache-control": "no-store"})


async def _probe(ping: Callable[[], Awaitable[None]]) -> dict[str, object]:
    started = time.perf_counter()
    try:
        async with asyncio.timeout(PROBE_SECONDS):
            await ping()
    except (StoreError, TimeoutError):
        status = "unavailable"
    else:
        status = "ok"
    return {"status": status, "latencyMs": round((time.perf_counter() - started) * 1000, 1)}

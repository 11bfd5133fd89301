"""The ASGI application: routes, health, and the lifespan that opens and closes the stores."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from nexfit.api.context import Services
from nexfit.api.execution import Operations
from nexfit.api.graphiql import DemoLogin, GraphiQLConfig, static_routes
from nexfit.api.http import Endpoint
from nexfit.api.persisted import PersistedOperations
from nexfit.api.response_cache import ResponseCache, version_of
from nexfit.api.schema import build_schema, schema_text
from nexfit.api.trusted import read_manifest
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.session_watch import SessionWatch, following
from nexfit.domains.identity.sessions import Sessions
from nexfit.domains.identity.tokens import Tokens
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.kept_answers import KeptAnswers
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.logs import configure_logs
from nexfit.metrics import CONTENT_TYPE as METRICS_TYPE
from nexfit.metrics import exposition, make_registry
from nexfit.operations.background import background
from nexfit.operations.demo.logins import demo_logins
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import StoreError

GRAPHQL_PATH = "/graphql"

log = structlog.get_logger(__name__)

COLLECT_AFTER = (10_000, 20, 20)
"""Thresholds of Python's garbage collector while the application serves."""

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
            views = JoinedViews(stores.redis)
            units = UnitsOfWork(stores, views.invalidate)
            watch = SessionWatch(stores.mongo, stores.redis, settings.auth)
            tokens = Tokens(settings.auth, watch)
            attempts = Attempts(stores.redis, settings.auth)
            sessions = Sessions(stores.redis, tokens, watch, settings.auth)
            services = Services(settings, stores, views, units, passwords, tokens, attempts, sessions)
            app.state.stores = stores
            operations = Operations(build_schema())
            persisted = _persisted(services, operations)
            responses = _responses(services, operations)
            app.state.endpoint = Endpoint(services, operations, persisted, responses, _graphiql(settings))
            app.state.metrics = make_registry(operations, services.views, responses)
            async with following(watch), background(settings):
                with _rare_collections():
                    yield
            services.views.close()
        passwords.close()

    return _Application(
        lifespan=lifespan,
        routes=[
            Route(GRAPHQL_PATH, _GraphQL(), methods=["GET", "POST"]),
            Route("/healthz", _healthz),
            Route("/readyz", _readyz),
            *([Route("/metrics", _metrics)] if settings.http.metrics else []),
            Route("/", lambda _: RedirectResponse(GRAPHQL_PATH)),
            *static_routes(),
        ],
    )


def _responses(services: Services, operations: Operations) -> ResponseCache | None:
    if not services.settings.http.response_cache:
        return None
    versions = services.views.versions
    kept = KeptAnswers(services.stores.redis, versions)
    return ResponseCache(operations, kept, versions, schema=version_of(schema_text(operations.engine.schema)))


def _persisted(services: Services, operations: Operations) -> PersistedOperations:
    """Raises ManifestRefused."""
    given = services.settings.operations
    trusted = read_manifest(given.manifest) if given.manifest else {}
    for hash_, document in trusted.items():
        if errors := operations.faults(document):
            log.warning("a trusted document does not fit the schema", sha256=hash_, errors=errors)
    return PersistedOperations(
        services.stores.redis,
        lambda document: not operations.faults(document),
        trusted=trusted,
        only_trusted=given.only_trusted,
    )


def _graphiql(settings: Settings) -> GraphiQLConfig | None:
    if not settings.http.graphiql:
        return None
    logins = demo_logins() if settings.demo else ()
    return GraphiQLConfig(tuple(DemoLogin(login.label, login.email, login.password) for login in logins))


class _Application(Starlette):
    """Starlette's application, with a short way to its busiest endpoint: past its middleware and its router."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "POST"):
            path: str = scope["path"]
            if path.removeprefix(scope.get("root_path", "")) == GRAPHQL_PATH:
                await self.state.endpoint(scope, receive, send)
                return
        await super().__call__(scope, receive, send)


class _GraphQL:
    """The endpoint as a route: for the methods it does not take, and for an application mounted in another one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.endpoint(scope, receive, send)


@contextmanager
def _rare_collections() -> Iterator[None]:
    """Look for garbage cycles less often, and never among what was there at the start (schema, modules, plans).

    That work is a tenth of the process's time when left at Python's defaults.
    """
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


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

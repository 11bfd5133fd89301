"""The ASGI application: routes, health, and the lifespan that opens and closes the stores."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import structlog
from prometheus_client import CollectorRegistry
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from nexfit.api.classes.calendars import calendars_route
from nexfit.api.context import Services
from nexfit.api.execution import Operations
from nexfit.api.files import files_route
from nexfit.api.finance.exports import exports_route
from nexfit.api.finance.papers import documents_route
from nexfit.api.graphiql import DemoLogin, GraphiQLConfig, static_routes
from nexfit.api.guard import Secured
from nexfit.api.http import Endpoint
from nexfit.api.live.connections import Connections
from nexfit.api.live.event_streams import EventStreams
from nexfit.api.live.fanout import Fanout
from nexfit.api.live.sockets import Sockets
from nexfit.api.observing import Observer
from nexfit.api.persisted import PersistedOperations
from nexfit.api.response_cache import ResponseCache, version_of
from nexfit.api.schema import build_schema, schema_text
from nexfit.api.trusted import read_manifest
from nexfit.api.uploads import uploads_route
from nexfit.api.webhooks import webhooks_route
from nexfit.domains.clock import Clock, system_clock
from nexfit.domains.errors import ErrorCode
from nexfit.domains.identity.accounts import Accounts
from nexfit.domains.identity.attempts import Attempts
from nexfit.domains.identity.guests import Guests
from nexfit.domains.identity.messages import Console, Post, Provider
from nexfit.domains.identity.one_time import Hashes
from nexfit.domains.identity.passwords import Passwords
from nexfit.domains.identity.session_watch import SessionWatch, following
from nexfit.domains.identity.sessions import Sessions
from nexfit.domains.identity.tokens import Tokens
from nexfit.hybrid.allowances import Allowances
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.kept_answers import KeptAnswers
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.logs import configure_logs
from nexfit.metrics import CONTENT_TYPE as METRICS_TYPE
from nexfit.metrics import exposition, make_registry, request_metrics
from nexfit.operations.background import background
from nexfit.operations.demo.logins import demo_logins
from nexfit.payments import open_provider
from nexfit.request_log import request_log
from nexfit.settings import Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import StoreError

GRAPHQL_PATH = "/graphql"

log = structlog.get_logger(__name__)

COLLECT_AFTER = (10_000, 20, 20)
"""Thresholds of Python's garbage collector while the application serves."""

CORS_HEADERS = (
    "authorization",
    "content-type",
    "x-request-id",
    "graphql-preflight",
    "apollo-require-preflight",
    "x-apollo-operation-name",
)
"""Request headers that pages of other origins may send."""

PROBE_SECONDS = 1.0
"""How long `/readyz` waits for a store: who probes gives up soon, too."""


def create_app(
    settings: Settings | None = None, *, provider: Provider | None = None, clock: Clock = system_clock
) -> Starlette:
    """The application of one process, from the environment's settings unless others are given.

    `provider` delivers mail and SMS; without one they are printed. `clock` is the time that requests are answered at.
    """
    configure_logs()
    settings = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        passwords = Passwords(settings.auth.hash_workers, bcrypt_hashes=settings.auth.bcrypt_hashes)
        async with open_stores(settings) as stores:
            views = JoinedViews(stores.redis)
            news = asyncio.Event()
            units = UnitsOfWork(stores, views.invalidate, news.set)
            watch = SessionWatch(stores.mongo, stores.redis, settings.auth)
            tokens = Tokens(settings.auth, watch)
            attempts = Attempts(stores.redis, settings.auth)
            sessions = Sessions(stores.redis, tokens, watch, settings.auth)
            post = Post(provider or Console())
            guests = Guests(stores.postgres, units, tokens, attempts, settings.auth)
            accounts = Accounts(
                *(stores, units, settings.auth, passwords, sessions, attempts, Hashes(settings.auth), post, guests)
            )
            allowances = _allowances(settings, stores)
            payments = open_provider(settings.payments)
            services = Services(
                *(settings, stores, views, units, passwords, tokens, attempts, sessions, accounts),
                allowances=allowances,
                payments=payments,
                clock=clock,
            )
            app.state.sales = services.sales
            app.state.stores = stores
            if settings.http.traces:
                from nexfit.tracing import trace_stores

                trace_stores(stores)
            operations = Operations(build_schema(), limits=settings.limits, http=settings.http)
            persisted = _persisted(services, operations)
            responses = _responses(services, operations)
            fanout, connections = Fanout(services), Connections(settings.live)
            registry = make_registry(operations, services.views, responses, fanout)
            observers = _observers(settings, registry)
            streams = EventStreams(settings.live, operations, fanout, connections, observers)
            app.state.endpoint = Endpoint(
                services, operations, persisted, responses, streams, _graphiql(settings), observers
            )
            app.state.sockets = Sockets(services, operations, persisted, fanout, connections, observers)
            app.state.metrics = registry
            async with following(watch), background(settings, news), fanout.feeding():
                with _rare_collections():
                    yield
            await post.close()
            if payments is not None:
                await payments.close()
            services.views.close()
        passwords.close()

    return _Application(
        settings,
        lifespan=lifespan,
        exception_handlers={HTTPException: _refused},
        routes=[
            Route(GRAPHQL_PATH, _GraphQL(), methods=["GET", "POST"]),
            WebSocketRoute(GRAPHQL_PATH, _Sockets()),
            files_route(settings, clock),
            calendars_route(settings, lambda request: request.app.state.stores, clock),
            uploads_route(settings, clock),
            documents_route(settings, lambda request: request.app.state.stores, clock),
            webhooks_route(clock),
            exports_route(settings, lambda request: request.app.state.stores, clock),
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


def _observers(settings: Settings, registry: CollectorRegistry) -> list[Observer]:
    secret = settings.auth.secret.get_secret_value()
    traced: list[Observer] = []
    if settings.http.traces:
        from nexfit.tracing import request_traces  # an extra: not there unless it was asked for

        traced.append(request_traces())
    return [
        *traced,
        request_log(secret, every=settings.http.log_requests),
        *([request_metrics(registry)] if settings.http.metrics else []),
    ]


def _allowances(settings: Settings, stores: Stores) -> Allowances | None:
    given = settings.limits
    if not given.points_per_second:
        return None
    return Allowances(stores.redis, size=given.points, per_second=given.points_per_second)


async def _refused(_: Request, error: Exception) -> Response:
    """What has no route or another method, told as the endpoint tells everything."""
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    message = "Only GET and POST are answered here." if status == 405 else "There is nothing at this address."
    body = {"errors": [{"message": message, "extensions": {"code": str(ErrorCode.BAD_USER_INPUT)}}]}
    return JSONResponse(body, status, {**(headers or {}), "cache-control": "no-store"})


def _graphiql(settings: Settings) -> GraphiQLConfig | None:
    if not settings.http.graphiql:
        return None
    logins = demo_logins() if settings.demo else ()
    return GraphiQLConfig(tuple(DemoLogin(login.label, login.email, login.password) for login in logins))


class _Application(Starlette):
    """Starlette's application, with a short way to its busiest endpoint: past its middleware and its router."""

    def __init__(self, settings: Settings, **more: Any) -> None:
        super().__init__(**more)
        self._entry: ASGIApp = self._short
        self._rest = Secured(super().__call__, hsts=settings.http.hsts)
        if settings.http.cors_origins:
            self._entry = CORSMiddleware(
                self._short,
                allow_origins=settings.http.cors_origins,
                allow_methods=("GET", "POST", "PUT"),
                allow_headers=CORS_HEADERS,
                expose_headers=("retry-after", "x-request-id"),
                max_age=86_400,
            )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or run the lifespan."""
        await self._entry(scope, receive, send)

    async def _short(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in ("GET", "POST"):
            path: str = scope["path"]
            if path.removeprefix(scope.get("root_path", "")) == GRAPHQL_PATH:
                await self.state.endpoint(scope, receive, send)
                return
        if scope["type"] == "websocket" and scope["path"].removeprefix(scope.get("root_path", "")) == GRAPHQL_PATH:
            await self.state.sockets(scope, receive, send)
            return
        await self._rest(scope, receive, send)


class _GraphQL:
    """The endpoint as a route: for the methods it does not take, and for an application mounted in another one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.endpoint(scope, receive, send)


class _Sockets:
    """The endpoint for WebSockets as a route, for an application mounted in another one."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope["app"].state.sockets(scope, receive, send)


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

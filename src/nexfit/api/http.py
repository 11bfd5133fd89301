"""GraphQL over HTTP at one endpoint: POST for everything, GET for queries, a code in every refusal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from nexfit.api.context import Context, Services
from nexfit.api.execution import Answer, Operations
from nexfit.api.graphiql import GraphiQLConfig, graphiql_page, wants_graphiql
from nexfit.domains.errors import ErrorCode
from nexfit.domains.identity.access import GUEST, Actor
from nexfit.domains.identity.tokens import InvalidToken

JSON = "application/json; charset=utf-8"
GRAPHQL_RESPONSE = "application/graphql-response+json; charset=utf-8"


class BadRequest(Exception):
    """The HTTP request itself is at fault."""

    def __init__(self, message: str, status: int = 400, code: ErrorCode = ErrorCode.BAD_USER_INPUT) -> None:
        super().__init__(message)
        self.message = message
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class GraphQLRequest:
    """What a client asks to be executed."""

    query: str
    variables: Mapping[str, Any] | None
    operation_name: str | None


class Endpoint:
    """The endpoint's handler; one per process."""

    def __init__(self, services: Services, operations: Operations, graphiql: GraphiQLConfig | None) -> None:
        self._services = services
        self._operations = operations
        self._graphiql = graphiql

    async def __call__(self, request: Request) -> Response:
        """Answer one HTTP request."""
        if self._graphiql is not None and wants_graphiql(request):
            return graphiql_page(self._graphiql, root_path=request.scope.get("root_path", ""))
        media_type = (
            GRAPHQL_RESPONSE if "application/graphql-response+json" in request.headers.get("accept", "") else JSON
        )
        try:
            now = datetime.now(UTC)
            actor = self._actor(request, now)
            asked = await self._asked(request)
        except BadRequest as refused:
            headers = {"www-authenticate": "Bearer"} if refused.status == 401 else {}
            error = {"message": refused.message, "extensions": {"code": str(refused.code)}}
            return _response(orjson.dumps({"errors": [error]}), refused.status, media_type, headers)
        answer = await self._operations.run(
            asked.query,
            variables=asked.variables,
            operation_name=asked.operation_name,
            context=Context(self._services, now, actor),
            queries_only=request.method == "GET",
        )
        shown = {"x-nexfit-executor": answer.executor} if self._services.settings.demo else {}
        return _response(answer.body, _status(answer, media_type), media_type, shown)

    def _actor(self, request: Request, now: datetime) -> Actor:
        """Who asks; a token that does not hold is refused, never taken for a guest."""
        authorization = request.headers.get("authorization")
        if authorization is None:
            return GUEST
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise InvalidToken
            return self._services.tokens.verify(token.strip(), now)
        except InvalidToken:
            raise BadRequest("The access token is not valid or has expired.", 401, ErrorCode.UNAUTHENTICATED) from None

    async def _asked(self, request: Request) -> GraphQLRequest:
        if request.method == "GET":
            values: dict[str, Any] = dict(request.query_params)
            if "variables" in values:
                values["variables"] = _json(values["variables"].encode())
            return _checked(values)
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if content_type not in ("application/json", "application/graphql-response+json"):
            raise BadRequest("Send the operation as application/json.", 415)
        return _checked(_json(await self._body(request)))

    async def _body(self, request: Request) -> bytes:
        limit = self._services.settings.http.max_body_bytes
        parts: list[bytes] = []
        size = 0
        async for part in request.stream():
            size += len(part)
            if size > limit:
                raise BadRequest(f"The body is larger than {limit} bytes.", 413)
            parts.append(part)
        return b"".join(parts)


def _json(raw: bytes) -> Any:
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise BadRequest("The body is not valid JSON in UTF-8.") from None


def _checked(values: Any) -> GraphQLRequest:
    if not isinstance(values, dict):
        raise BadRequest("The body must be a JSON object with a `query`.")
    query, variables, name = values.get("query"), values.get("variables"), values.get("operationName")
    if not isinstance(query, str) or not query.strip():
        raise BadRequest("`query` must be a GraphQL document.")
    if variables is not None and not isinstance(variables, dict):
        raise BadRequest("`variables` must be an object.")
    if name is not None and not isinstance(name, str):
        raise BadRequest("`operationName` must be a string.")
    return GraphQLRequest(query, variables, name or None)


def _status(answer: Answer, media_type: str) -> int:
    # The older media type keeps 200 for a well-formed request whatever GraphQL says of it.
    return 200 if answer.executed or media_type == JSON else 400


def _response(body: bytes, status: int, media_type: str, headers: Mapping[str, str]) -> Response:
    fixed = {"content-type": media_type, "cache-control": "no-store", "x-content-type-options": "nosniff"}
    return Response(body, status, {**fixed, **headers})

"""A server that answers GraphiQL's page and the example operations from fixed rows, without any store.

It executes with graphql-core over a small schema of the same shape as the API's, so introspection, validation and
errors are real. Login tokens are the e-mail address; an account's token may have run out already.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

from graphql import ExecutionResult, GraphQLError, build_schema, graphql_sync, parse, subscribe
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from nexfit.api.graphiql import DemoLogin, GraphiQLConfig, graphiql_page, static_routes, wants_graphiql

PASSWORD = "correct horse </script> & battery"
OWNER = "owner@example.test"
CLIENT = "client@example.test"
EXPIRED = "expired@example.test"
FACILITY = {"id": "RmFjaWxpdHk6MQ==", "name": "Stub Gym Kadıköy"}

CONFIG = GraphiQLConfig(
    demo_logins=(
        DemoLogin("owner", OWNER, PASSWORD),
        DemoLogin("coach", EXPIRED, PASSWORD),
        DemoLogin("client", CLIENT, PASSWORD),
    ),
    version="0",
)

SCHEMA = build_schema(
    """
    scalar Date
    scalar DateTime
    enum Period { DAY MONTH }
    enum Direction { ASC DESC }
    enum MemberOrderField { LAST_PAYMENT NAME }
    input MemberOrder { field: MemberOrderField! direction: Direction! }
    input MemberFilter { overdue: Boolean }
    input FacilityFilter { city: String }
    input LoginInput { email: String! password: String! }
    type Money { amount: String! currency: String! }
    type Address { city: String latitude: Float longitude: Float }
    type Person { firstName: String! lastName: String! }
    type Occurrence { startsAt: DateTime! capacity: Int! seatsTaken: Int! waitlisted: Int! }
    type GymClass { name: String! category: String! instructor: Person occurrences(first: Int): [Occurrence!]! }
    type ClassConnection { nodes: [GymClass!]! }
    type Plan { name: String! price: Money! activeSubscribers: Int! }
    type Revenue { period: Date! total: Money! transactions: Int! refunds: Int! }
    type Outstanding { invoices: Int! total: [Money!]! }
    type Member {
      user: Person! status: String! plan: Plan balance: [Money!]! lastPaymentAt: DateTime lastVisitAt: DateTime
    }
    type MemberConnection { nodes: [Member!]! }
    type Facility {
      id: ID! name: String! type: String! timezone: String! address: Address openNow: Boolean
      classes(first: Int): ClassConnection!
      memberships: [Plan!]!
      revenue(from: Date!, to: Date!, by: Period!): [Revenue!]!
      outstanding: Outstanding!
      members(first: Int, filter: MemberFilter, orderBy: MemberOrder): MemberConnection!
    }
    type PageInfo { hasNextPage: Boolean! endCursor: String }
    type FacilityConnection { nodes: [Facility!]! pageInfo: PageInfo! }
    type Viewer {
      id: ID! firstName: String! lastName: String! email: String! facilities(first: Int): FacilityConnection!
    }
    type UserError { code: String! message: String! path: [String!] }
    type LoginPayload { accessToken: String expiresAt: DateTime viewer: Viewer userErrors: [UserError!]! }
    type Query {
      facility(id: ID!): Facility
      facilities(first: Int, filter: FacilityFilter): FacilityConnection!
      viewer: Viewer
    }
    type Mutation { login(input: LoginInput!): LoginPayload! }
    interface FacilityActivity { cursor: String! }
    type Visit { user: Person }
    type VisitActivity implements FacilityActivity { cursor: String! at: DateTime! visit: Visit }
    type ActivityNotice implements FacilityActivity { cursor: String! state: String! }
    type Subscription {
      greeting: String!
      facilityActivity(facility: ID!, after: String): FacilityActivity!
    }
    """
)


def _money(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "TRY"}


def _connection(nodes: list[Any]) -> dict[str, Any]:
    return {"nodes": nodes, "pageInfo": {"hasNextPage": False, "endCursor": None}}


PLAN = {"name": "Monthly", "price": _money("1500.00"), "activeSubscribers": 2}
GYM: dict[str, Any] = {
    **FACILITY,
    "type": "GYM",
    "timezone": "Europe/Istanbul",
    "address": {"city": "İstanbul", "latitude": 40.99, "longitude": 29.03},
    "openNow": True,
    "classes": _connection(
        [
            {
                "name": "Morning Yoga",
                "category": "YOGA",
                "instructor": {"firstName": "Deniz", "lastName": "Kaya"},
                "occurrences": [
                    {"startsAt": "2026-11-23T06:00:00Z", "capacity": 12, "seatsTaken": 9, "waitlisted": 0},
                ],
            }
        ]
    ),
    "memberships": [PLAN],
    "revenue": [{"period": "2026-11-01", "total": _money("42000.00"), "transactions": 28, "refunds": 1}],
    "outstanding": {"invoices": 1, "total": [_money("1500.00")]},
    "members": _connection(
        [
            {
                "user": {"firstName": "Zeynep", "lastName": "Yıldız"},
                "status": "ACTIVE",
                "plan": PLAN,
                "balance": [_money("-1500.00")],
                "lastPaymentAt": "2026-10-02T09:00:00Z",
                "lastVisitAt": "2026-11-20T17:30:00Z",
            }
        ]
    ),
}


class _Root:
    """Resolves the root fields for one request; `email` is what its token says, or None."""

    def __init__(self, email: str | None) -> None:
        self.email = email

    def facility(self, _info: object, id: str) -> dict[str, Any] | None:
        if self.email is None:
            raise GraphQLError("Log in first.", extensions={"code": "UNAUTHENTICATED"})
        return GYM if id == FACILITY["id"] and self.email == OWNER else None

    def facilities(self, _info: object, first: int = 10, filter: object = None) -> dict[str, Any]:
        return _connection([GYM][:first])

    def viewer(self, _info: object) -> dict[str, Any] | None:
        return _viewer(self.email) if self.email else None

    def login(self, _info: object, input: dict[str, str]) -> dict[str, Any]:
        if input["password"] != PASSWORD:
            wrong = {
                "code": "INVALID_CREDENTIALS",
                "message": "The e-mail or the password is wrong.",
                "path": ["email"],
            }
            return {"userErrors": [wrong]}
        lifetime = timedelta(seconds=-60) if input["email"] == EXPIRED else timedelta(minutes=30)
        return {
            "accessToken": input["email"],
            "expiresAt": (datetime.now(UTC) + lifetime).isoformat(),
            "viewer": _viewer(input["email"]),
            "userErrors": [],
        }


def _viewer(email: str) -> dict[str, Any]:
    return {
        "id": "VXNlcjox",
        "firstName": email.split("@", maxsplit=1)[0].capitalize(),
        "lastName": "Stub",
        "email": email,
        "facilities": _connection([GYM] if email == OWNER else []),
    }


def _answer(result: ExecutionResult) -> dict[str, Any]:
    return {"data": result.data, **({"errors": [e.formatted for e in result.errors]} if result.errors else {})}


def _graphql(config: GraphiQLConfig) -> Any:
    async def endpoint(request: Request) -> Response:
        if wants_graphiql(request):
            return graphiql_page(config)
        body = await request.json()
        token = request.headers.get("authorization", "").removeprefix("Bearer ") or None
        result = graphql_sync(
            SCHEMA,
            body["query"],
            _Root(token),
            variable_values=body.get("variables"),
            operation_name=body.get("operationName"),
        )
        return JSONResponse(_answer(result))

    return endpoint


async def _socket(socket: WebSocket) -> None:
    """As much of graphql-transport-ws as one subscription needs: it greets by the token of connection_init."""
    await socket.accept(subprotocol="graphql-transport-ws")
    token = (await socket.receive_json())["payload"].get("Authorization", "nobody")
    await socket.send_json({"type": "connection_ack"})

    async def greetings() -> AsyncIterator[dict[str, str]]:
        yield {"greeting": f"Hello, {token}"}

    class Root:
        def greeting(self, _info: object) -> AsyncIterator[dict[str, str]]:
            return greetings()

    try:
        while True:
            message = json.loads(await socket.receive_text())
            if message["type"] != "subscribe":
                continue
            stream: Any = subscribe(SCHEMA, parse(message["payload"]["query"]), Root())
            async for result in await stream if hasattr(stream, "__await__") else stream:
                await socket.send_json({"id": message["id"], "type": "next", "payload": _answer(result)})
            await socket.send_json({"id": message["id"], "type": "complete"})
    except WebSocketDisconnect:
        return


def create_stub() -> Starlette:
    """`/graphql` offers demo logins, `/plain` is the same server without demo data."""
    return Starlette(
        routes=[
            Route("/graphql", _graphql(CONFIG), methods=["GET", "HEAD", "POST"]),
            WebSocketRoute("/graphql", _socket),
            Route("/plain", _graphql(GraphiQLConfig()), methods=["GET", "HEAD", "POST"]),
            *static_routes(),
        ]
    )

"""Operations and variables made up from the schema, against a running server: never an internal error, never a leak."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import hypothesis_graphql
import pytest
import uvicorn
from graphql import (
    GraphQLInputType,
    GraphQLObjectType,
    StringValueNode,
    get_named_type,
    is_leaf_type,
    is_required_argument,
)
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nexfit.app import create_app
from nexfit.embedded import EmbeddedServers
from nexfit.settings import Settings
from nexfit.stores.connections import open_stores

from .conftest import _LEAKS, WIDE, Business, business_of, facility_of, seeded
from .walk import schema

EXAMPLES = settings(
    max_examples=60,
    deadline=None,
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture(scope="module")
async def own(servers: EmbeddedServers) -> AsyncIterator[Settings]:
    """Databases of this module's own: what is made up here may change anything."""
    async with seeded(servers.urls, scale=0.1, redis_database=14) as made:
        limits = WIDE.model_copy(update={"cost": 20_000, "root_fields": 200})
        yield made.model_copy(update={"limits": limits})


@pytest.fixture(scope="module")
async def there(own: Settings) -> Business:
    """Entities that operations are about."""
    async with open_stores(own) as stores:
        return await business_of(stores, await facility_of(stores, "karsiyaka"))


class Asking:
    """Asks as the owner of the chain, and checks whatever comes back."""

    def __init__(self, address: str) -> None:
        self._client = httpx.Client(base_url=address, timeout=30)
        self._sign_in()

    def _sign_in(self) -> None:
        query = "mutation ($i: LoginInput!) { login(input: $i) { accessToken } }"
        variables = {"i": {"email": "owner@demo.nexfit.app", "password": "nexfit-demo"}}
        answer = self._client.post("/graphql", json={"query": query, "variables": variables}).json()
        self._headers = {"authorization": f"Bearer {answer['data']['login']['accessToken']}"}

    def __call__(self, query: str, variables: dict[str, Any] | None = None) -> Any:
        body = {"query": query, "variables": variables}
        response = self._client.post("/graphql", json=body, headers=self._headers)
        if response.status_code == 401:  # it has signed itself out
            self._sign_in()
            response = self._client.post("/graphql", json=body, headers=self._headers)
        assert response.status_code == 200, response.text
        answer = response.json()
        for error in answer.get("errors", ()):
            assert error["extensions"]["code"] not in ("INTERNAL", "UNAVAILABLE"), (query, variables, error)
            assert not _LEAKS.search(error["message"]), error
        return answer


@pytest.fixture(scope="module")
def post(own: Settings) -> Iterator[Asking]:
    """A server with a loop of its own, because hypothesis calls tests that do not await, and who asks it."""
    server = uvicorn.Server(uvicorn.Config(create_app(own), port=0, log_level="critical"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    yield Asking(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}")
    server.should_exit = True
    thread.join(20)


def text(values: st.SearchStrategy[str]) -> st.SearchStrategy[StringValueNode]:
    return values.map(lambda value: StringValueNode(value=value))


def scalars(business: Business) -> dict[str, Any]:
    """Literals of our scalars: right ones most of the time, and ids of what is there."""
    known = st.sampled_from([*business.ids.values(), business.facility])
    instants = st.datetimes().map(lambda moment: moment.isoformat() + "Z")
    return {
        "ID": text(known | st.text(max_size=20)),
        "DateTime": text(instants | st.text(max_size=5)),
        "Date": text(st.dates().map(lambda day: day.isoformat()) | st.text(max_size=5)),
        "Decimal": text(st.decimals(allow_nan=True).map(str)),
        "EmailAddress": text(st.emails() | st.text(max_size=5)),
        "PhoneNumber": text(st.sampled_from(["+902121234567", "+48221234567", "0", ""])),
        "URL": text(st.sampled_from(["https://example.org/x", "javascript:1", ""])),
        "JSON": text(st.text(max_size=5)),
    }


KINDS = ("query", "mutation")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_operations_from_the_schema_never_fail_inside(post: Asking, there: Business, kind: str) -> None:
    make = hypothesis_graphql.queries if kind == "query" else hypothesis_graphql.mutations
    answered = []

    @EXAMPLES
    @given(make(schema, custom_scalars=scalars(there)))
    def run(operation: str) -> None:
        answered.append(post(operation))

    run()
    assert any(answer.get("data") for answer in answered)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10)
    | st.sampled_from(["2026-01-01", "2026-01-01T00:00:00Z", "1.50", "NAME", "a@b.example", "\0", "\ud800"[:0], "💪"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["first", "name", "field", "email", "$gt", "type"]), inner, max_size=4)
    ),
    max_leaves=6,
)


def fields() -> list[tuple[str, str, dict[str, GraphQLInputType]]]:
    """Every field that takes arguments and can be reached at the roots: its operation, and its arguments' types."""
    found = []
    for kind, root in (("query", schema.query_type), ("mutation", schema.mutation_type)):
        assert isinstance(root, GraphQLObjectType)
        for name, field in root.fields.items():
            if field.args:
                below = "" if is_leaf_type(get_named_type(field.type)) else "{ __typename }"
                given_ = ", ".join(f"{argument}: ${argument}" for argument in field.args)
                declared = ", ".join(f"${argument}: {arg.type}" for argument, arg in field.args.items())
                source = f"{kind} ({declared}) {{ {name}({given_}) {below} }}"
                found.append((name, source, {key: arg.type for key, arg in field.args.items()}))
    return found


FIELDS = fields()


@pytest.mark.timeout(600)
def test_variables_of_any_shape_never_fail_inside(post: Asking, there: Business) -> None:
    known = st.sampled_from([*there.ids.values(), there.facility])

    @settings(EXAMPLES, max_examples=250)
    @given(st.data(), st.sampled_from(FIELDS))
    def run(data: st.DataObject, field: tuple[str, str, dict[str, GraphQLInputType]]) -> None:
        _, source, arguments = field
        values = {name: data.draw(shaped(type_, known)) for name, type_ in arguments.items()}
        post(source, values)

    run()


def shaped(type_: Any, known: st.SearchStrategy[str]) -> st.SearchStrategy[Any]:
    """Mostly what the type looks like, with anything at all in its leaves; sometimes anything at all."""
    named = get_named_type(type_)
    inner = getattr(named, "fields", None)
    if inner is not None:
        required = {name: shaped(field.type, known) for name, field in inner.items() if is_required_argument(field)}
        optional = {name: shaped(field.type, known) for name, field in inner.items() if not is_required_argument(field)}
        return st.fixed_dictionaries(required, optional=optional) | JSON
    values = getattr(named, "values", None)
    if values is not None:
        return st.sampled_from(list(values)) | JSON
    right = {"Int": st.integers(-3, 200), "Boolean": st.booleans(), "ID": known, "String": st.text(max_size=300)}
    dates = {"Date": st.dates().map(str), "DateTime": st.datetimes().map(lambda at: f"{at.isoformat()}Z")}
    one = {**right, **dates}.get(named.name, JSON) | JSON
    return st.lists(one, max_size=5) | one if "[" in str(type_) else one

"""Subscriptions: every event is executed by a plan; what cannot start answers once, and closing closes the source."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from nexfit.engine.engine import Engine
from nexfit.engine.fields import Batch, Column
from nexfit.engine.result import Result

from .both import field_of, messages, no_specs, schema_of, shape, specs_of

SDL = """
type Query { a: Int }
type Subscription { booked(room: ID!, most: Int = 3): Booking! maybe: Booking }
type Booking { seat: Int! who: Person note: String }
type Person { name: String! }
"""


async def collect(stream: Any) -> list[Any]:
    return [shape(result) async for result in stream]


def engine_with(source: Any) -> Engine:
    schema = schema_of(SDL)

    async def who(parents: Any, _args: Any, context: Any) -> Any:
        return [{"name": f"{context} {parent['seat']}"} for parent in parents]

    field = field_of(schema, "Subscription.booked")
    field.subscribe = source
    field.resolve = lambda event, *_, **__: event
    field_of(schema, "Subscription.maybe").subscribe = source
    specs = {
        "Booking.seat": Column("seat"),
        "Booking.note": Column("note"),
        "Booking.who": Batch(who),
        "Person.name": Column("name"),
    }
    return Engine(schema, specs_of(schema, specs))


async def test_each_event_is_executed_with_the_plan() -> None:
    async def events(_root: Any, info: Any, room: str, most: int) -> AsyncIterator[Any]:
        assert (info.context, room) == ("viewer", "r1")
        for seat in range(most):
            yield {"seat": seat}

    engine = engine_with(events)
    stream = await engine.subscribe(
        "subscription ($r: ID!) { b: booked(room: $r) { seat who { name } } }", variables={"r": "r1"}, context="viewer"
    )
    assert await collect(stream) == [
        ({"b": {"seat": seat, "who": {"name": f"viewer {seat}"}}}, []) for seat in range(3)
    ]
    assert engine.counters.compiled == 1
    assert engine.counters.plans == 3


async def test_an_event_that_fails_does_not_end_the_stream() -> None:
    async def events(*_: Any, **__: Any) -> AsyncIterator[Any]:
        yield {"seat": 1}
        yield {"seat": None}
        yield ValueError("bad event")
        yield {"seat": 2}

    stream = await engine_with(events).subscribe('subscription { booked(room: "r") { seat } }')
    answers = await collect(stream)
    assert [data for data, _ in answers] == [{"booked": {"seat": 1}}, None, None, {"booked": {"seat": 2}}]
    assert answers[1][1] == [("Cannot return null for non-nullable field Booking.seat.", ["booked", "seat"])]
    assert answers[2][1] == [("bad event", ["booked"])]


async def test_an_asynchronous_subscribe_and_a_source_that_breaks_off() -> None:
    async def source() -> AsyncIterator[Any]:
        yield {"seat": 1}
        raise ConnectionError("source lost")

    async def subscribe(*_: Any, **__: Any) -> AsyncIterator[Any]:
        await asyncio.sleep(0)
        return source()

    stream: Any = await engine_with(subscribe).subscribe('subscription { booked(room: "r") { seat } }')
    assert shape(await anext(stream)) == ({"booked": {"seat": 1}}, [])
    with pytest.raises(ConnectionError):
        await anext(stream)


async def test_what_cannot_start_is_one_answer_with_errors() -> None:
    def refuses(*_: Any, **__: Any) -> Any:
        raise PermissionError("not yours")

    async def gives_no_stream(*_: Any, **__: Any) -> Any:
        return 5

    valid = 'subscription { booked(room: "r") { seat } }'
    for engine, source, message in [
        (engine_with(refuses), valid, "not yours"),
        (engine_with(gives_no_stream), valid, "Subscription field must return AsyncIterable. Received: 5."),
        (engine_with(refuses), "subscription { nothing }", "Cannot query field 'nothing' on type 'Subscription'."),
        (
            engine_with(refuses),
            "subscription ($r: ID!) { booked(room: $r) { seat } }",
            "Variable '$r' has invalid value: Expected a value of non-null type 'ID!' to be provided.",
        ),
    ]:
        answer = await engine.subscribe(source)
        assert isinstance(answer, Result)
        assert answer.data is None
        assert messages(answer) == [message]
    path = (await engine_with(refuses).subscribe(valid)).errors[0].path  # type: ignore[union-attr]
    assert path == ["booked"]


async def test_only_a_subscription_can_be_subscribed_to() -> None:
    answer = await Engine(schema_of(SDL), no_specs).subscribe("{ a }")
    assert isinstance(answer, Result)
    assert messages(answer) == ["Expected subscription operation."]


async def test_closing_the_stream_closes_its_source() -> None:
    closed = False

    async def events(*_: Any, **__: Any) -> AsyncIterator[Any]:
        nonlocal closed
        try:
            while True:
                yield {"seat": 1}
        finally:
            closed = True

    stream: Any = await engine_with(events).subscribe('subscription { booked(room: "r") { seat } }')
    await anext(stream)
    await stream.aclose()
    assert closed


async def test_each_event_sees_the_variables_of_its_own_subscription() -> None:
    async def events(_root: Any, _info: Any, room: str, most: int) -> AsyncIterator[Any]:
        for seat in range(most):
            yield {"seat": seat, "note": f"{room}{seat}"}
            await asyncio.sleep(0)

    engine = engine_with(events)
    source = "subscription ($r: ID!, $n: Boolean!) { booked(room: $r) { seat note @include(if: $n) } }"
    streams = [
        await engine.subscribe(source, variables={"r": f"room{number}", "n": number % 2 == 0}) for number in range(6)
    ]
    answers = await asyncio.gather(*map(collect, streams))
    for number, events_of_one in enumerate(answers):
        for seat, (data, errors) in enumerate(events_of_one):
            note = {"note": f"room{number}{seat}"} if number % 2 == 0 else {}
            assert (data, errors) == ({"booked": {"seat": seat, **note}}, [])
    assert engine.counters.compiled == 2


def test_subscriptions_share_results_unless_something_below_their_field_differs() -> None:
    engine = engine_with(None)
    source = """subscription ($r: ID!, $n: Boolean!, $m: Int) { booked(room: $r, most: $m) { seat ...More } }
    fragment More on Booking { who { name } note @include(if: $n) }"""

    def key(**variables: Any) -> Any:
        started = engine.subscription(source, variables=variables)
        assert not isinstance(started, Result)
        return started.key()

    assert key(r="1", n=True) == key(r="2", n=True, m=7)
    assert key(r="1", n=True) != key(r="1", n=False)


async def test_a_subscription_executes_events_from_elsewhere() -> None:
    engine = engine_with(None)
    started = engine.subscription('subscription { b: booked(room: "r") { seat who { name } } }')
    assert not isinstance(started, Result)
    assert started.name == "booked"
    result = await started.execute({"seat": 4}, "viewer")
    assert shape(result) == ({"b": {"seat": 4, "who": {"name": "viewer 4"}}}, [])
    for wrong in ("{ a }", "subscription { nothing }"):
        assert isinstance(engine.subscription(wrong), Result)

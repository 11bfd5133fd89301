"""The schema of `memory` as NexFit's API declares its own: plain records, columns, and batch fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import strawberry
from graphql import GraphQLSchema

from bench.peers.memory import data
from nexfit.api.fields import Args, batch, bind_unguarded, column
from nexfit.engine.fields import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class IdArgs(Args):
    id: strawberry.ID


@dataclass(frozen=True, slots=True, kw_only=True)
class DatesArgs(Args):
    first: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class PageArgs(Args):
    first: int = 20


@strawberry.type
class Address:
    city: str = column()
    latitude: float = column()
    longitude: float = column()


@strawberry.type
class Person:
    first_name: str = column()
    last_name: str = column()


@strawberry.type
class Occurrence:
    starts_at: str = column()
    capacity: int = column()
    seats_taken: int = column()
    waitlisted: int = column()


async def _occurrences(parents: Sequence[Record], args: DatesArgs, _: object) -> Sequence[Any]:
    return [parent["occurrences"][: args.first] for parent in parents]


@strawberry.type
class Class:
    name: str = column()
    category: str | None = column()
    instructor: Person | None = column()
    occurrences: list[Occurrence] = batch(_occurrences, needs=("occurrences",), args=DatesArgs)


@strawberry.type
class ClassConnection:
    nodes: list[Class] = column()


@strawberry.type
class Money:
    amount: str = column()
    currency: str = column()


@strawberry.type
class Plan:
    name: str = column()
    price: Money = column()
    active_subscribers: int | None = column()


@strawberry.type
class PlanName:
    name: str = column()


@strawberry.type
class Outstanding:
    invoices: int = column()


@strawberry.type
class Member:
    user: Person | None = column()
    status: str = column()
    plan: PlanName | None = column()
    balance: Money | None = column()
    last_payment_at: str | None = column()
    last_visit_at: str | None = column()


@strawberry.type
class MemberConnection:
    nodes: list[Member] = column()


async def _classes(parents: Sequence[Record], args: PageArgs, _: object) -> Sequence[Any]:
    return [{"nodes": parent["classes"][: args.first]} for parent in parents]


async def _members(parents: Sequence[Record], args: PageArgs, _: object) -> Sequence[Any]:
    return [{"nodes": parent["members"][: args.first]} for parent in parents]


@strawberry.type
class Facility:
    id: strawberry.ID = column()
    name: str = column()
    type: str = column()
    timezone: str = column()
    open_now: bool | None = column()
    address: Address = column()
    memberships: list[Plan] = column()
    outstanding: Outstanding | None = column()
    classes: ClassConnection = batch(_classes, needs=("classes",), args=PageArgs)
    members: MemberConnection | None = batch(_members, needs=("members",), args=PageArgs)


_FACILITIES = {found["id"]: found for found in data()}


async def _facility(parents: Sequence[Record], args: IdArgs, _: object) -> Sequence[Any]:
    return [_FACILITIES.get(args.id)] * len(parents)


@strawberry.type
class Query:
    facility: Facility | None = batch(_facility, args=IdArgs)


def compiled() -> GraphQLSchema:
    """The schema with a specification for every field."""
    return bind_unguarded(strawberry.Schema(query=Query))

"""How people stand at a facility: plan, debt, visits, next class.

A joined view of MongoDB's contracts, visits and bookings and PostgreSQL's ledger, kept under the tags of all of them.
What is kept is the same whoever asks; who may see it is decided, on each request, by whoever shows it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from bson import ObjectId

from nexfit.domains.memberships import members, plans
from nexfit.domains.memberships.projection import Pair, contracts_of, facts, next_bookings
from nexfit.hybrid.joined_views import JoinedViews, View
from nexfit.stores.mongo import Mongo
from nexfit.stores.postgres import Postgres

LIFETIME = 10.0
"""Seconds until a value is loaded anew although nobody changed anything: time passes, and with it the next class."""

STANDING = View("member_standing", 1, LIFETIME)

_MONEY = ("balance", "open_invoices", "currency", "last_payment_at")
_TIMES = ("last_payment_at", "last_visit_at", "next_booking_at")


@dataclass(frozen=True, slots=True)
class Standing:
    """One person at one facility. Money as PostgreSQL's triggers keep it in the transaction that moves it."""

    facility_id: str
    user_id: str
    status: str
    plan_id: str | None
    plan_name: str | None
    balance: Decimal
    currency: str | None
    open_invoices: int
    last_payment_at: datetime | None
    last_visit_at: datetime | None
    next_booking_at: datetime | None

    def written(self) -> dict[str, Any]:
        """As JSON can carry it."""
        times = {name: at.isoformat() if (at := getattr(self, name)) else None for name in _TIMES}
        return {**asdict(self), **times, "balance": str(self.balance)}

    @classmethod
    def read(cls, value: Mapping[str, Any]) -> Standing:
        """From what `written` made."""
        times = {name: value[name] and datetime.fromisoformat(value[name]) for name in _TIMES}
        return cls(**{**value, **times, "balance": Decimal(value["balance"])})


def tags(pair: Pair) -> tuple[str, ...]:
    """What a person's standing at a facility depends on."""
    facility, user = pair
    areas = (f"user:{user}:memberships", f"user:{user}:visits", f"user:{user}:bookings", f"user:{user}:money")
    return *areas, f"facility:{facility}:plans"


async def of_members(
    mongo: Mongo, postgres: Postgres, views: JoinedViews, pairs: Collection[Pair], now: datetime
) -> dict[Pair, Standing]:
    """The standing of each (facility, person); absent for who never held a membership nor had to pay there.

    Loads what is missing in one batch per store and level. Raises StoreError.
    """
    wanted = list(dict.fromkeys(pairs))

    async def load(items: Sequence[str]) -> dict[str, Any]:
        loaded = await _load(mongo, postgres, [_pair(item) for item in items], now)
        return {":".join(pair): standing.written() for pair, standing in loaded.items()}

    values = await views.get(STANDING, [":".join(pair) for pair in wanted], load, tags=lambda item: tags(_pair(item)))
    return {
        pair: _at(Standing.read(value), now) for pair, value in zip(wanted, values, strict=True) if value is not None
    }


def _at(standing: Standing, now: datetime) -> Standing:
    """Without a class that has begun since it was loaded."""
    begins = standing.next_booking_at
    return replace(standing, next_booking_at=None) if begins is not None and begins <= now else standing


async def _load(mongo: Mongo, postgres: Postgres, pairs: Sequence[Pair], now: datetime) -> dict[Pair, Standing]:
    keys = [(ObjectId(facility), ObjectId(user)) for facility, user in pairs]
    held, visits, bookings, money = await asyncio.gather(
        contracts_of(mongo, keys),
        members.last_visits(mongo, keys),
        next_bookings(mongo, keys, now),
        members.by_ids(postgres, pairs, _MONEY),
    )
    found = {
        pair: facts(held.get(key, ()), {}, visit, bookings.get(key))
        for pair, key, visit in zip(pairs, keys, visits, strict=True)
        if key in held or pair in money
    }
    names = await plans.by_ids(mongo, (ObjectId(one.plan_id) for one in found.values() if one.plan_id), ("name",))
    standings = {}
    for pair, one in found.items():
        plan = names.get(ObjectId(one.plan_id), {}) if one.plan_id else {}
        owed = money.get(pair, {"balance": Decimal(0), "open_invoices": 0, "currency": None, "last_payment_at": None})
        standings[pair] = Standing(
            *pair,
            status=one.status,
            plan_id=one.plan_id,
            plan_name=plan.get("name"),
            last_visit_at=one.last_visit_at,
            next_booking_at=one.next_booking_at,
            **{name: owed[name] for name in _MONEY},
        )
    return standings


def _pair(item: str) -> Pair:
    facility, _, user = item.partition(":")
    return facility, user

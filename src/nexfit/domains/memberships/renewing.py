"""What is due of subscriptions of one facility today, one step each: a period's end, its invoice, a debt.

Written for many at once: a command per store and kind of step, however many there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import orjson
from bson import ObjectId

from nexfit.domains.finance.invoicing import printed
from nexfit.domains.finance.payments import Decline
from nexfit.domains.finance.tax import rate_on, split_tax
from nexfit.domains.finance.words import SubscriptionState
from nexfit.domains.memberships.documents import DurationUnit
from nexfit.domains.memberships.dunning import RETRIES, next_try
from nexfit.domains.memberships.selling import mirror_changes
from nexfit.domains.memberships.states import Change, change_states, sql
from nexfit.domains.memberships.terms import period_after
from nexfit.hybrid.unit_of_work import BothWork
from nexfit.stores.connections import Stores
from nexfit.stores.postgres import Row
from nexfit.stores.sql import load_sql

plan_sql = load_sql("nexfit.domains.memberships", "plan_changes.sql")

FIRST_PAYMENT = timedelta(hours=23)
"""How long a subscription waits for its first payment."""

_NOBODY = {"firstName": "", "lastName": ""}


def today_at(place: Mapping[str, Any], now: datetime) -> date:
    """The facility's day."""
    return now.astimezone(ZoneInfo(place["timezone"])).date()


async def advance(
    work: BothWork, stores: Stores, subscriptions: Sequence[UUID], place: Mapping[str, Any], now: datetime
) -> list[UUID]:
    """Take one step with each of a facility's subscriptions that is due; the tries to be charged now.

    Raises NoTaxRate, StoreError; then nothing was written.
    """
    today = today_at(place, now)
    changes, renewing, behind = [], [], []
    for row in await work.postgres.fetch(sql.hold_all, list(subscriptions)):
        match row["status"]:
            case SubscriptionState.ACTIVE if row["current_period_end"] <= today:
                if row["cancel_at_period_end"]:
                    changes.append(Change(row, SubscriptionState.CANCELLED, cancelled_at=now))
                elif not row["auto_renew"]:
                    changes.append(Change(row, SubscriptionState.EXPIRED))
                else:
                    renewing.append(row)
            case SubscriptionState.INCOMPLETE if row["created_at"] <= now - FIRST_PAYMENT:
                changes.append(Change(row, SubscriptionState.INCOMPLETE_EXPIRED))
            case SubscriptionState.PAST_DUE | SubscriptionState.SUSPENDED:
                behind.append(row)
    tries = await _bill(work, stores, renewing, place, today) if renewing else []
    if behind:
        reminded, again = await _remind(work, behind, today)
        changes += reminded
        tries += again
    await change_states(work, changes)
    if not tries:
        return []
    made = await work.postgres.fetch(sql.try_all, *map(list, zip(*tries, strict=True)), now)
    return [row["attempt_id"] for row in made]


def declined(row: Row, decline: Decline, today: date) -> Change:
    """What one more declined try of the period comes to."""
    failed = row["failed_attempts"] + 1
    day = next_try(failed, decline, today)
    return Change(row, SubscriptionState.SUSPENDED if day is None else SubscriptionState.PAST_DUE, day, failed)


async def _bill(
    work: BothWork, stores: Stores, rows: Sequence[Row], place: Mapping[str, Any], today: date
) -> list[tuple[UUID, UUID, int]]:
    """Invoice the next periods; the first tries. Without a way to pay one is owed from today on."""
    changed = {
        row["subscription_id"]: row
        for row in await work.postgres.fetch(plan_sql.apply_scheduled, [row["subscription_id"] for row in rows])
    }
    rows = [changed.get(row["subscription_id"], row) for row in rows]
    rate = rate_on((place.get("address") or {}).get("country"), today)
    ends = [
        period_after(
            row["current_period_end"],
            row["billing_interval"],
            DurationUnit(row["billing_cycle"]),
            row["billing_day"] or row["start_date"].day,
        )
        for row in rows
    ]
    moved = await work.postgres.fetch(sql.move_periods, [row["subscription_id"] for row in rows], ends, rate)
    billed = [row for row in moved if row["amount"] > 0]
    if not billed:
        await mirror_changes(work, [(row, None) for row in moved])
        return []
    users = list({ObjectId(row["user_id"]) for row in billed})
    people = {
        str(one["_id"]): one
        for one in await stores.mongo.find("users", {"_id": {"$in": users}}, ("firstName", "lastName"))
    }
    columns: list[tuple[Any, ...]] = []
    for row in billed:
        paper = printed(place, people.get(row["user_id"], _NOBODY), periodEnd=row["current_period_end"])
        net, tax = split_tax(row["amount"], rate, row["currency"])
        columns.append(
            (
                *(row["subscription_id"], row["current_period_start"], row["user_id"], net, tax),
                orjson.loads(orjson.dumps(paper)),
            )
        )
    facility = billed[0]["facility_id"]
    await work.postgres.fetch(sql.hold_members, facility, [row["user_id"] for row in billed])
    made = await work.postgres.fetch(
        sql.open_invoices,
        *map(list, zip(*columns, strict=True)),
        *(billed[0]["business_id"], facility, billed[0]["currency"], today),
    )
    invoices = {row["subscription_id"]: row["invoice_id"] for row in made}
    lines = [
        (invoices[row["subscription_id"]], row["plan_name"] or place["name"], *column[3:5])
        for row, column in zip(billed, columns, strict=True)
    ]
    await work.postgres.execute(sql.add_lines, *map(list, zip(*lines, strict=True)), rate)
    work.invalidates(f"facility:{facility}:money", *(f"user:{row['user_id']}:money" for row in billed))
    owed = {row["subscription_id"] for row in billed if row["method"] is None}
    due = today + timedelta(days=RETRIES[0])
    await change_states(
        work,
        [Change(row, SubscriptionState.PAST_DUE, due, 1) for row in moved if row["subscription_id"] in owed],
    )
    await mirror_changes(work, [(row, None) for row in moved if row["subscription_id"] not in owed])
    return [(id_, invoice, 0) for id_, invoice in invoices.items() if id_ not in owed]


async def _remind(
    work: BothWork, rows: Sequence[Row], today: date
) -> tuple[list[Change], list[tuple[UUID, UUID, int]]]:
    """What debts come to: paid by other means, tried again, or locked out."""
    found = await work.postgres.fetch(
        sql.invoices_of_periods,
        [row["subscription_id"] for row in rows],
        [row["current_period_start"] for row in rows],
    )
    owed = {row["subscription_id"]: row for row in found}
    changes: list[Change] = []
    tries: list[tuple[UUID, UUID, int]] = []
    for row in rows:
        id_ = row["subscription_id"]
        if id_ not in owed:
            continue
        if owed[id_]["status"] == "paid":
            if row["status"] == SubscriptionState.SUSPENDED:
                await work.postgres.execute(sql.begin_again, id_, today)
            changes.append(Change(row, SubscriptionState.ACTIVE))
        elif row["status"] == SubscriptionState.SUSPENDED or (row["next_attempt_on"] or today) > today:
            continue
        elif row["method"] is None:
            changes.append(declined(row, Decline.SOFT, today))
        else:
            tries.append((id_, owed[id_]["invoice_id"], row["failed_attempts"]))
    return changes, tries

"""Reads both stores as they lie there, and says which rules of the workflows what lies there breaks.

It knows collections, tables and the workflows' invariants, and imports nothing of the product: what it says of the
code under test is not said by that code. Each function answers the violations it found; none, if all is well.
"""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from itertools import pairwise
from typing import Any, TypeAlias

import asyncpg
from bson import ObjectId
from pymongo.asynchronous.database import AsyncDatabase

Database = AsyncDatabase[dict[str, Any]]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

SEATED = {"booked", "attended", "no_show"}
LIVE = SEATED | {"waitlisted"}


async def of_date(database: Database, date: ObjectId) -> list[str]:
    """Workflow 1.2 to 1.4: seats and places of one date of a class, against the bookings there are."""
    found: list[str] = []
    stored = await database["class_occurrences"].find_one({"_id": date})
    if stored is None:
        return [f"there is no date {date}"]
    bookings = await database["class_bookings"].find({"occurrenceId": date}).to_list()
    states = Counter(one["status"] for one in bookings)
    seated = sum(states[state] for state in SEATED)
    if seated > stored["capacity"]:
        found.append(f"{seated} seats of {stored['capacity']} are given")
    if stored["status"] == "scheduled" and seated != stored["seatsTaken"]:
        found.append(f"seatsTaken is {stored['seatsTaken']}, and {seated} have a seat")
    if states["waitlisted"] != stored["waitlisted"]:
        found.append(f"waitlisted is {stored['waitlisted']}, and {states['waitlisted']} wait")
    if states["waitlisted"] > stored["waitlistLimit"]:
        found.append(f"{states['waitlisted']} wait on {stored['waitlistLimit']} places")
    places = sorted(one["waitlistPosition"] for one in bookings if "waitlistPosition" in one)
    if places != list(range(1, len(places) + 1)) or len(places) != stored.get("waitlistJoined", 0):
        found.append(f"the places given are {places}, and {stored.get('waitlistJoined', 0)} have joined")
    people = Counter(one["userId"] for one in bookings if one["status"] in LIVE)
    found += [f"{user} has {count} places" for user, count in people.items() if count > 1]
    promoted = [one for one in bookings if "promotedAt" in one]
    first = min((one["waitlistPosition"] for one in bookings if one["status"] == "waitlisted"), default=None)
    if first is not None:
        passed = [one["waitlistPosition"] for one in promoted if one["waitlistPosition"] > first]
        skipped = [one for one in bookings if one["status"] == "waitlisted" and "passedOver" not in one]
        if passed and any(one["waitlistPosition"] < max(passed) for one in skipped):
            found.append(f"places {passed} were promoted before {first}, and nobody says why")
    told = Counter(
        [row["eventType"] async for row in database["outbox"].find({"aggregateId": str(date)}, {"eventType": 1})]
    )
    made = told["ClassBooked"] + told["WaitlistJoined"]
    if made != len(bookings) or told["WaitlistPromoted"] != len(promoted):
        found.append(f"{len(bookings)} bookings and {len(promoted)} promotions, and the outbox tells {dict(told)}")
    audited = await database["audit_entries"].distinct(
        "entityId", {"entityId": {"$in": [str(b["_id"]) for b in bookings]}}
    )
    if len(audited) != len(bookings):
        found.append(f"{len(bookings)} bookings, and {len(audited)} of them were audited")
    return found


async def of_payment(connection: Connection, payment: Any) -> list[str]:
    """Workflow 6.2 and 6.4: what was given back of a payment, against what was captured and the credit notes."""
    found: list[str] = []
    taken = await connection.fetchrow("SELECT * FROM finance.transactions WHERE transaction_id = $1", payment)
    if taken is None:
        return [f"there is no payment {payment}"]
    rows = await connection.fetch(
        "SELECT amount, status FROM finance.refunds WHERE original_transaction_id = $1", payment
    )
    counted = [row["amount"] for row in rows if row["status"] in ("pending", "succeeded", "unknown")]
    if sum(counted) > taken["amount"]:
        found.append(f"{sum(counted)} of {taken['amount']} were given back")
    done = sum((row["amount"] for row in rows if row["status"] == "succeeded"), Decimal(0))
    moved = await connection.fetchval(
        "SELECT coalesce(sum(amount), 0) FROM finance.transactions WHERE original_transaction_id = $1", payment
    )
    if moved != done:
        found.append(f"refunds of {done}, and movements of {moved}")
    notes = await connection.fetch(
        """SELECT c.net_amount, c.tax_amount, i.net_amount AS net, i.tax_amount AS tax, i.total_amount AS total
             FROM finance.credit_notes c JOIN finance.invoices i USING (invoice_id) WHERE i.transaction_id = $1""",
        payment,
    )
    returned = sum((note["net_amount"] + note["tax_amount"] for note in notes), Decimal(0))
    if returned != done:
        found.append(f"refunds of {done}, and credit notes over {returned}")
    if notes and done == notes[0]["total"] and sum(note["tax_amount"] for note in notes) != notes[0]["tax"]:
        found.append("all was given back, but not the exact tax")
    return found


async def of_numbers(connection: Connection, business: str) -> list[str]:
    """Workflow 6.4: a business's invoices and credit notes are numbered without a gap, year by year."""
    found: list[str] = []
    for table, kind in (("invoices", "invoice"), ("credit_notes", "credit_note")):
        rows = await connection.fetch(
            f"""SELECT extract(year FROM issued_on)::int AS year,
                       array_agg({kind}_sequence ORDER BY {kind}_sequence) AS numbers
                  FROM finance.{table} WHERE business_id = $1 AND issued_on IS NOT NULL GROUP BY 1""",
            business,
        )
        for row in rows:
            if row["numbers"] != list(range(1, len(row["numbers"]) + 1)):
                found.append(f"{table} of {row['year']} are numbered {row['numbers']}")
    return found


async def of_coach(database: Database, connection: Connection, coach: ObjectId) -> list[str]:
    """Workflow 4.1 to 4.3: a coach's sessions overlap for nobody, and have a credit each, in both stores."""
    found: list[str] = []
    sessions = await database["pt_sessions"].find({"coachId": coach}).to_list()
    live = [one for one in sessions if one["status"] in ("scheduled", "completed")]
    for side in ("coachId", "clientId"):
        by_person: dict[ObjectId, list[dict[str, Any]]] = {}
        people = {one[side] for one in live}
        async for one in database["pt_sessions"].find(
            {side: {"$in": list(people)}, "status": {"$in": ["scheduled", "completed"]}}
        ):
            by_person.setdefault(one[side], []).append(one)
        for person, theirs in by_person.items():
            theirs.sort(key=lambda one: one["startTime"])
            if any(one["endTime"] > following["startTime"] for one, following in pairwise(theirs)):
                found.append(f"{side} {person} is in two places at once")
    entries = await connection.fetch(
        """SELECT package_id, entry_type, credits, session_id FROM finance.package_credit_ledger WHERE coach_id = $1""",
        str(coach),
    )
    by_session: dict[str, Counter[str]] = {}
    by_package: dict[str, Counter[str]] = {}
    for entry in entries:
        by_package.setdefault(entry["package_id"], Counter())[entry["entry_type"]] += entry["credits"]
        if entry["session_id"]:
            by_session.setdefault(entry["session_id"], Counter())[entry["entry_type"]] += entry["credits"]
    for session in sessions:
        ledger = by_session.pop(str(session["_id"]), Counter())
        settled = ledger["consume"] + ledger["release"]
        if ledger["reserve"] != 1 or settled != (session["status"] != "scheduled"):
            found.append(f"a session is {session['status']}, and its credit {dict(ledger)}")
    found += [f"credits of the session {session}, which is not there" for session in by_session]
    for package, ledger in by_package.items():
        reserved = ledger["reserve"] - ledger["consume"] - ledger["release"]
        remaining = ledger["grant"] - ledger["reserve"] + ledger["release"] - ledger["expire"] - ledger["refund"]
        kept = await connection.fetchrow("SELECT * FROM finance.package_balances WHERE package_id = $1", package)
        if kept is None or (kept["reserved"], kept["used"], kept["remaining"]) != (
            reserved,
            ledger["consume"],
            remaining,
        ):
            found.append(f"package {package} is kept as {kept and dict(kept)}, its ledger says {dict(ledger)}")
        if min(reserved, remaining) < 0:
            found.append(f"package {package} is overdrawn: {dict(ledger)}")
    return found


async def of_commits(connection: Connection) -> list[str]:
    """Workflow 2.2: nothing of a commit in both stores is left half-way."""
    held = await connection.fetch("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
    return [f"{row['gid']} is still prepared" for row in held]

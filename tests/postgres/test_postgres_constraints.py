"""The ledger refuses rows that cannot be true, and changes to rows that are evidence."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from babel.core import get_global
from babel.numbers import get_currency_precision
from ledger_rows import NOON, Bill, insert, issue, new_id, open_account, pay, settle, subscribe


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"amount": Decimal("-1")}, "transactions_amount_check"),
        ({"amount": Decimal(0)}, "transactions_amount_check"),
        ({"amount": Decimal("10.005")}, "transactions_amount_scale"),
        ({"amount": Decimal("NaN")}, "transactions_amount_scale"),
        ({"amount": Decimal("Infinity")}, "transactions_amount_scale"),
        ({"amount": Decimal("1e15")}, "transactions_amount_scale"),
        ({"user_id": "not-an-object-id-at-all!"}, "transactions_user_id_check"),
        ({"user_id": "ABCDEFABCDEFABCDEFABCDEF"}, "transactions_user_id_check"),
        ({"payment_method": "favour"}, "transactions_payment_method_check"),
        ({"transaction_type": "gift"}, "transactions_transaction_type_check"),
        ({"status": "maybe"}, "transactions_status_check"),
        ({"transaction_type": "refund"}, "transactions_original"),
        ({"original_transaction_id": uuid4()}, "transactions_original"),
        ({"provider_reference": "ch_1"}, "transactions_provider"),
        ({"currency": "EUR"}, "transactions_account_fkey"),
        ({"facility_id": "0" * 24}, "transactions_account_fkey"),
        ({"business_id": "0" * 24}, "transactions_account_fkey"),
        ({"metadata": "[1]"}, "transactions_metadata_check"),
    ],
)
async def test_a_transaction_that_cannot_be_true_is_refused(
    connection: asyncpg.Connection, changes: dict[str, Any], constraint: str
) -> None:
    facility = await open_account(connection)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await pay(connection, facility, new_id(), **changes)
    assert refusal.value.constraint_name == constraint


@pytest.mark.parametrize(
    ("currency", "fits", "too_fine"), [("TRY", "10.05", "10.055"), ("JPY", "10", "10.5"), ("KWD", "1.005", "1.0005")]
)
async def test_an_amount_has_no_more_decimals_than_its_currency(
    connection: asyncpg.Connection, currency: str, fits: str, too_fine: str
) -> None:
    facility = await open_account(connection, currency)
    await pay(connection, facility, new_id(), fits, currency=currency)
    await pay(connection, facility, new_id(), fits + "000" if "." in fits else fits + ".00", currency=currency)
    with pytest.raises(asyncpg.CheckViolationError, match="scale"):
        await pay(connection, facility, new_id(), too_fine, currency=currency)


async def test_currencies_in_use_are_known_with_at_least_the_decimals_the_application_writes(
    connection: asyncpg.Connection,
) -> None:
    # One side is the list in the migration, the other what babel knows of the countries' present money.
    in_use = {
        code
        for moneys in get_global("territory_currencies").values()
        for code, _, end, tender in moneys
        if tender and end is None
    }
    assert {"TRY", "EUR", "JPY", "KWD"} <= in_use
    exponents = {code: await connection.fetchval("SELECT finance.currency_exponent($1)", code) for code in in_use}
    assert {code for code, exponent in exponents.items() if exponent is None} == set()
    assert {code for code, exponent in exponents.items() if exponent < get_currency_precision(code)} == set()
    assert await connection.fetchval("SELECT finance.currency_exponent('XXL')") is None


async def test_a_facility_has_one_currency_and_a_known_one(connection: asyncpg.Connection) -> None:
    facility = await open_account(connection)
    with pytest.raises(asyncpg.UniqueViolationError):
        await connection.execute("INSERT INTO finance.facility_accounts VALUES ($1, $1, 'EUR')", facility)
    with pytest.raises(asyncpg.CheckViolationError):
        await open_account(connection, "XXL")
    await pay(connection, facility, new_id())
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(
            "UPDATE finance.facility_accounts SET currency = 'EUR' WHERE facility_id = $1", facility
        )


@pytest.mark.parametrize(
    "change",
    [
        "amount = 1",
        "created_at = created_at + interval '1 s'",
        "user_id = repeat('b', 24)",
        "transaction_type = 'manual_payment'",
    ],
)
@pytest.mark.parametrize("status", ["pending", "succeeded"])
async def test_what_a_transaction_is_about_never_changes(
    connection: asyncpg.Connection, change: str, status: str
) -> None:
    payment = await pay(connection, await open_account(connection), new_id(), status=status)
    with pytest.raises(asyncpg.RestrictViolationError) as refusal:
        await connection.execute(f"UPDATE finance.transactions SET {change} WHERE transaction_id = $1", payment)
    assert refusal.value.constraint_name == "transactions_append_only"


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ("pending", "succeeded", True),
        ("pending", "unknown", True),
        ("pending", "cancelled", True),
        ("unknown", "failed", True),
        ("unknown", "pending", False),
        ("succeeded", "failed", False),
        ("failed", "succeeded", False),
        ("cancelled", "pending", False),
    ],
)
async def test_an_outcome_is_settled_once(
    connection: asyncpg.Connection, before: str, after: str, allowed: bool
) -> None:
    payment = await pay(connection, await open_account(connection), new_id(), status=before)
    update = connection.execute("UPDATE finance.transactions SET status = $2 WHERE transaction_id = $1", payment, after)
    if allowed:
        assert await update == "UPDATE 1"
        row = await connection.fetchrow("SELECT * FROM finance.transactions WHERE transaction_id = $1", payment)
        assert row["status"] == after
        assert row["updated_at"] > row["created_at"]
    else:
        with pytest.raises(asyncpg.RestrictViolationError) as refusal:
            await update
        assert refusal.value.constraint_name == "transactions_settled"


async def test_free_text_of_a_settled_transaction_can_be_pseudonymised(connection: asyncpg.Connection) -> None:
    payment = await pay(connection, await open_account(connection), new_id(), description="paid by Ayşe")
    await connection.execute("UPDATE finance.transactions SET description = NULL WHERE transaction_id = $1", payment)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM finance.transactions",
        "TRUNCATE finance.transactions",
        "TRUNCATE finance.transactions_2026_03",
        "TRUNCATE finance.invoices CASCADE",
        "DELETE FROM finance.invoices",
        "DELETE FROM finance.facility_accounts",
        "DELETE FROM finance.transaction_keys",
    ],
)
async def test_money_is_never_deleted(connection: asyncpg.Connection, statement: str) -> None:
    facility, user = await open_account(connection), new_id()
    payment = await pay(connection, facility, user)
    await settle(connection, await issue(connection, facility, [Bill(user)]), payment)
    with pytest.raises((asyncpg.RestrictViolationError, asyncpg.ForeignKeyViolationError)):
        await connection.execute(statement)


def _invoice(facility: str, **changes: Any) -> dict[str, Any]:
    row = {
        "business_id": facility,
        "facility_id": facility,
        "user_id": new_id(),
        "net_amount": Decimal(100),
        "tax_amount": Decimal(20),
        "total_amount": Decimal(120),
        "currency": "TRY",
        "status": "open",
        "issued_on": date(2026, 3, 1),
        "due_date": date(2026, 3, 15),
        "invoice_sequence": 1,
    }
    return row | changes


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"total_amount": Decimal(121)}, "invoices_total"),
        ({"net_amount": Decimal(-100), "total_amount": Decimal(-80)}, "invoices_net_amount_check"),
        ({"tax_amount": Decimal("20.001"), "total_amount": Decimal("120.001")}, "invoices_amount_scale"),
        ({"currency": "EUR"}, "invoices_account_fkey"),
        ({"issued_on": None}, "invoices_issued"),
        ({"invoice_sequence": None}, "invoices_issued"),
        ({"status": "draft"}, "invoices_issued"),
        ({"status": "paid"}, "invoices_paid"),
        ({"payment_date": date(2026, 3, 2)}, "invoices_paid"),
        ({"due_date": date(2026, 2, 28)}, "invoices_due"),
        ({"period_start": date(2026, 3, 1)}, "invoices_period"),
        ({"transaction_id": uuid4()}, "invoices_transaction_id_fkey"),
        ({"subscription_id": uuid4()}, "invoices_subscription_id_fkey"),
        ({"invoice_sequence": 2}, "document_series_gapless"),
    ],
)
async def test_an_invoice_that_cannot_be_true_is_refused(
    connection: asyncpg.Connection, changes: dict[str, Any], constraint: str
) -> None:
    facility = await open_account(connection)
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await insert(connection, "finance.invoices", _invoice(facility, **changes), "invoice_id")
    assert refusal.value.constraint_name == constraint
    await insert(connection, "finance.invoices", _invoice(facility), "invoice_id")


async def test_numbers_run_without_a_gap_per_business_and_year(connection: asyncpg.Connection) -> None:
    first, second = await open_account(connection), await open_account(connection)
    await issue(connection, first, [Bill(new_id()), Bill(new_id())])
    try:
        async with connection.transaction():
            await issue(connection, first, [Bill(new_id())])
            raise RuntimeError
    except RuntimeError:
        pass
    await issue(connection, first, [Bill(new_id())])
    await issue(connection, second, [Bill(new_id())])
    await insert(
        connection,
        "finance.invoices",
        _invoice(first, issued_on=date(2027, 1, 1), due_date=date(2027, 1, 15)),
        "invoice_id",
    )
    numbers = "SELECT array_agg(invoice_number ORDER BY invoice_number) FROM finance.invoices WHERE business_id = $1"
    assert await connection.fetchval(numbers, first) == ["2026-000001", "2026-000002", "2026-000003", "2027-000001"]
    assert await connection.fetchval(numbers, second) == ["2026-000001"]


async def test_a_draft_gets_its_number_when_it_is_issued_and_can_be_thrown_away_before(
    connection: asyncpg.Connection,
) -> None:
    facility = await open_account(connection)
    blank = {"status": "draft", "issued_on": None, "invoice_sequence": None}
    kept = await insert(connection, "finance.invoices", _invoice(facility, **blank), "invoice_id")
    thrown = await insert(connection, "finance.invoices", _invoice(facility, **blank), "invoice_id")
    await connection.execute(
        "UPDATE finance.invoices SET net_amount = 50, total_amount = 70 WHERE invoice_id = $1", kept
    )
    await connection.execute("DELETE FROM finance.invoices WHERE invoice_id = $1", thrown)
    issuing = """UPDATE finance.invoices SET status = 'open', issued_on = '2026-03-05',
      invoice_sequence = finance.next_document_sequence(business_id, 'invoice', 2026) + $2 WHERE invoice_id = $1"""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="without a gap"):
        await connection.execute(issuing, kept, 1)
    await connection.execute(issuing, kept, 0)
    row = await connection.fetchrow("SELECT status, invoice_number FROM finance.invoices WHERE invoice_id = $1", kept)
    assert tuple(row) == ("open", "2026-000001")


@pytest.mark.parametrize(
    "change",
    [
        "net_amount = 1, total_amount = 1",
        "due_date = due_date + 30",
        "user_id = repeat('b', 24)",
        'invoice_data = \'{"name": "other"}\'',
        "invoice_sequence = 7",
        "status = 'draft', issued_on = NULL, invoice_sequence = NULL",
        "transaction_id = (SELECT transaction_id FROM finance.transaction_keys LIMIT 1)",
    ],
)
async def test_an_issued_invoice_does_not_change(connection: asyncpg.Connection, change: str) -> None:
    facility, user = await open_account(connection), new_id()
    await pay(connection, facility, user)
    (invoice,) = await issue(connection, facility, [Bill(user)])
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(f"UPDATE finance.invoices SET {change} WHERE invoice_id = $1", invoice)


async def test_a_paid_or_void_invoice_stays_so(connection: asyncpg.Connection) -> None:
    facility = await open_account(connection)
    paid, void = await issue(connection, facility, [Bill(new_id()), Bill(new_id())])
    await settle(connection, [paid])
    await connection.execute("UPDATE finance.invoices SET status = 'void' WHERE invoice_id = $1", void)
    for invoice, status in ((paid, "open"), (paid, "void"), (void, "open"), (void, "uncollectible")):
        with pytest.raises(asyncpg.RestrictViolationError) as refusal:
            await connection.execute(
                "UPDATE finance.invoices SET status = $2, payment_date = NULL WHERE invoice_id = $1", invoice, status
            )
        assert refusal.value.constraint_name == "invoices_transition"


async def test_the_lines_of_an_issued_invoice_add_up_and_stay(connection: asyncpg.Connection) -> None:
    facility = await open_account(connection)
    invoice = await insert(connection, "finance.invoices", _invoice(facility), "invoice_id")
    lines = """INSERT INTO finance.invoice_lines
      (invoice_id, line_no, description, quantity, tax_rate, net_amount, tax_amount, total_amount)
      SELECT $1, n, 'membership', 1, 0.2, net, tax, net + tax
        FROM unnest($2::numeric[], $3::numeric[]) WITH ORDINALITY t (net, tax, n)"""
    with pytest.raises(asyncpg.IntegrityConstraintViolationError, match="do not add up"):
        await connection.execute(lines, invoice, [Decimal(60), Decimal(39)], [Decimal(12), Decimal(8)])
    await connection.execute(lines, invoice, [Decimal(60), Decimal(40)], [Decimal(12), Decimal(8)])
    for statement in (
        "UPDATE finance.invoice_lines SET description = 'other' WHERE invoice_id = $1",
        "DELETE FROM finance.invoice_lines WHERE invoice_id = $1",
    ):
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement, invoice)


async def test_a_period_is_billed_once_and_a_plan_has_one_live_subscription(connection: asyncpg.Connection) -> None:
    facility, user, plan = await open_account(connection), new_id(), new_id()
    subscription = await subscribe(connection, facility, user, plan)
    with pytest.raises(asyncpg.UniqueViolationError) as refusal:
        await subscribe(connection, facility, user, plan, status="past_due")
    assert refusal.value.constraint_name == "subscriptions_live_key"
    await subscribe(connection, facility, user, plan, status="expired")

    period = {"subscription_id": subscription, "period_start": date(2026, 3, 1), "user_id": user}
    billed = await insert(connection, "finance.invoices", _invoice(facility, **period), "invoice_id")
    with pytest.raises(asyncpg.UniqueViolationError) as refusal:
        await insert(connection, "finance.invoices", _invoice(facility, **period, invoice_sequence=2), "invoice_id")
    assert refusal.value.constraint_name == "invoices_period_key"
    await connection.execute("UPDATE finance.invoices SET status = 'void' WHERE invoice_id = $1", billed)
    await insert(connection, "finance.invoices", _invoice(facility, **period, invoice_sequence=2), "invoice_id")


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"plan_id": str(uuid4())[:24]}, "subscriptions_plan_id_check"),
        ({"status": "paused"}, "subscriptions_status_check"),
        ({"billing_day": 32}, "subscriptions_billing_day_check"),
        ({"billing_cycle": "fortnight"}, "subscriptions_billing_cycle_check"),
        ({"tax_rate": Decimal("18")}, "subscriptions_tax_rate_check"),
        ({"end_date": date(2026, 2, 1)}, "subscriptions_dates"),
        ({"current_period_end": date(2026, 3, 1)}, "subscriptions_period"),
        ({"amount": Decimal("0.001")}, "subscriptions_amount_scale"),
    ],
)
async def test_a_subscription_that_cannot_be_true_is_refused(
    connection: asyncpg.Connection, changes: dict[str, Any], constraint: str
) -> None:
    facility = await open_account(connection)
    with pytest.raises(asyncpg.CheckViolationError) as refusal:
        await insert_subscription(connection, facility, changes)
    assert refusal.value.constraint_name == constraint


async def insert_subscription(connection: asyncpg.Connection, facility: str, changes: dict[str, Any]) -> None:
    plan = changes.get("plan_id", new_id())
    await subscribe(
        connection, facility, new_id(), plan, **{name: value for name, value in changes.items() if name != "plan_id"}
    )


def _refund(facility: str, user: str, payment: Any, amount: str, **changes: Any) -> dict[str, Any]:
    row = {
        "original_transaction_id": payment,
        "business_id": facility,
        "facility_id": facility,
        "user_id": user,
        "amount": Decimal(amount),
        "currency": "TRY",
        "status": "pending",
    }
    return row | changes


async def test_refunds_stay_within_what_was_captured(connection: asyncpg.Connection) -> None:
    facility, user = await open_account(connection), new_id()
    payment = await pay(connection, facility, user, "100")
    first = await insert(connection, "finance.refunds", _refund(facility, user, payment, "60"), "refund_id")
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
        await insert(connection, "finance.refunds", _refund(facility, user, payment, "40.01"), "refund_id")
    assert refusal.value.constraint_name == "refunds_within_captured"
    await connection.execute("UPDATE finance.refunds SET status = 'failed' WHERE refund_id = $1", first)
    await insert(connection, "finance.refunds", _refund(facility, user, payment, "100"), "refund_id")
    for change in ("status = 'pending'", "amount = 1"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(f"UPDATE finance.refunds SET {change} WHERE refund_id = $1", first)
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("DELETE FROM finance.refunds WHERE refund_id = $1", first)


@pytest.mark.parametrize("status", ["pending", "failed"])
async def test_only_captured_money_of_the_same_member_is_refunded(connection: asyncpg.Connection, status: str) -> None:
    facility, user = await open_account(connection), new_id()
    for payment, receiver in (
        (await pay(connection, facility, user, status=status), user),
        (await pay(connection, facility, user), new_id()),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
            await insert(connection, "finance.refunds", _refund(facility, receiver, payment, "1"), "refund_id")
        assert refusal.value.constraint_name == "refunds_of_captured"


def _credit(facility: str, user: str, invoice: Any, sequence: int, **changes: Any) -> dict[str, Any]:
    row = {
        "invoice_id": invoice,
        "business_id": facility,
        "facility_id": facility,
        "user_id": user,
        "net_amount": Decimal(60),
        "tax_amount": Decimal(0),
        "total_amount": Decimal(60),
        "currency": "TRY",
        "issued_on": date(2026, 3, 20),
        "credit_note_sequence": sequence,
    }
    return row | changes


async def test_credit_notes_are_numbered_stay_within_their_invoice_and_do_not_change(
    connection: asyncpg.Connection,
) -> None:
    facility, user = await open_account(connection), new_id()
    invoice, unpaid = await issue(connection, facility, [Bill(user, "120"), Bill(user, "120")])
    await settle(connection, [invoice])
    table = "finance.credit_notes"
    assert await insert(connection, table, _credit(facility, user, invoice, 1), "credit_note_number") == "C2026-000001"
    for row, constraint in (
        (_credit(facility, user, invoice, 3), "document_series_gapless"),
        (
            _credit(facility, user, invoice, 2, net_amount=Decimal(61), total_amount=Decimal(61)),
            "credit_notes_within_invoice",
        ),
        (
            _credit(facility, user, invoice, 2, net_amount=Decimal(59), tax_amount=Decimal(1)),
            "credit_notes_within_invoice",
        ),
        (_credit(facility, user, invoice, 2, total_amount=Decimal(1)), "credit_notes_total"),
        (_credit(facility, user, unpaid, 2), "credit_notes_of_issued"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
            await insert(connection, table, row, "credit_note_id")
        assert refusal.value.constraint_name == constraint
    assert await insert(connection, table, _credit(facility, user, invoice, 2), "credit_note_number") == "C2026-000002"
    for statement in ("UPDATE finance.credit_notes SET reason = 'x'", "DELETE FROM finance.credit_notes"):
        with pytest.raises(asyncpg.RestrictViolationError):
            await connection.execute(statement)


async def _audit(connection: asyncpg.Connection) -> int:
    row = {"entity_type": "invoice", "entity_id": str(uuid4()), "action": "issue", "created_at": NOON}
    entry: int = await insert(connection, "finance.audit_logs", row, "audit_id")
    return entry


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE finance.audit_logs SET action = 'nothing' WHERE audit_id = $1",
        "UPDATE finance.audit_logs SET user_id = NULL, new_state = '{}' WHERE audit_id = $1",
        "UPDATE finance.audit_logs SET entry_hash = sha256('a'), action = 'nothing' WHERE audit_id = $1",
        "DELETE FROM finance.audit_logs WHERE audit_id = $1",
    ],
)
async def test_an_audit_entry_does_not_change(connection: asyncpg.Connection, statement: str) -> None:
    entry = await _audit(connection)
    with pytest.raises(asyncpg.RestrictViolationError) as refusal:
        await connection.execute(statement, entry)
    assert refusal.value.constraint_name == "audit_logs_append_only"
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute("TRUNCATE finance.audit_logs")


async def test_an_audit_entry_is_sealed_once(connection: asyncpg.Connection) -> None:
    entry = await _audit(connection)
    seal = "UPDATE finance.audit_logs SET previous_hash = sha256('a'), entry_hash = sha256($2) WHERE audit_id = $1"
    assert await connection.execute(seal, entry, b"b") == "UPDATE 1"
    with pytest.raises(asyncpg.RestrictViolationError):
        await connection.execute(seal, entry, b"c")


def _credits(package: str, entry_type: str, credits: int = 1, session: str | None = None) -> dict[str, Any]:
    row: dict[str, Any] = {"package_id": package, "coach_id": new_id(), "client_id": new_id(), "entry_type": entry_type}
    return row | {"credits": credits, "session_id": session}


async def test_package_credits_are_derived_from_the_ledger_and_never_below_zero(connection: asyncpg.Connection) -> None:
    table, package, sessions = "finance.package_credit_ledger", new_id(), [new_id() for _ in range(3)]
    for entry in (
        _credits(package, "grant", 3),
        _credits(package, "reserve", session=sessions[0]),
        _credits(package, "reserve", session=sessions[1]),
        _credits(package, "consume", session=sessions[0]),
        _credits(package, "release", session=sessions[1]),
        _credits(package, "expire", 1),
        _credits(package, "reserve", session=sessions[2]),
    ):
        await insert(connection, table, entry, "entry_id")
    for entry, constraint in (
        (_credits(package, "reserve", session=new_id()), "package_balances_remaining"),
        (_credits(package, "consume", session=sessions[0]), "package_credit_ledger_settle_key"),
        (_credits(package, "release", session=sessions[0]), "package_credit_ledger_settle_key"),
        (_credits(package, "reserve", session=sessions[2]), "package_credit_ledger_reserve_key"),
        (_credits(package, "reserve"), "package_credit_ledger_session"),
        (_credits(new_id(), "consume", session=new_id()), "package_balances_reserved_check"),
        (_credits(package, "grant", 0), "package_credit_ledger_credits_check"),
    ):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refusal:
            await insert(connection, table, entry, "entry_id")
        assert refusal.value.constraint_name == constraint
    row = await connection.fetchrow(
        "SELECT total, reserved, used, expired, refunded, remaining FROM finance.package_balances"
        " WHERE package_id = $1",
        package,
    )
    assert tuple(row) == (3, 1, 1, 1, 0, 0)


async def test_idempotency_keys_are_one_per_actor_and_operation_and_kept_a_day(connection: asyncpg.Connection) -> None:
    row: dict[str, Any] = {
        "actor_id": new_id(),
        "operation": "pay",
        "idempotency_key": "k",
        "request_hash": bytes(32),
        "created_at": NOON,
        "expires_at": NOON + timedelta(hours=24),
    }
    await insert(connection, "finance.idempotency_keys", row, "operation")
    with pytest.raises(asyncpg.UniqueViolationError):
        await insert(connection, "finance.idempotency_keys", row, "operation")
    short = row | {"idempotency_key": "l", "expires_at": NOON + timedelta(hours=23)}
    with pytest.raises(asyncpg.CheckViolationError):
        await insert(connection, "finance.idempotency_keys", short, "operation")


async def test_the_application_role_cannot_touch_what_triggers_derive_or_what_is_evidence(
    connection: asyncpg.Connection,
) -> None:
    facility, user = await open_account(connection), new_id()
    payment = await pay(connection, facility, user)
    await issue(connection, facility, [Bill(user)])
    async with connection.transaction():
        await connection.execute("SET LOCAL ROLE nexfit_app")
        # What it does every day works, triggers included.
        await settle(connection, await issue(connection, facility, [Bill(user)]), await pay(connection, facility, user))
        await connection.execute("UPDATE platform.member_facts SET name_folded = 'ayse' WHERE user_id = $1", user)
        for statement in (
            "UPDATE platform.member_facts SET balance = 0",
            "UPDATE finance.transaction_keys SET provider = 'x'",
            "UPDATE finance.document_counters SET last_sequence = 9",
            "UPDATE finance.transactions SET amount = 1",
            "DELETE FROM finance.transactions",
            "UPDATE finance.audit_logs SET action = 'x'",
            "DELETE FROM finance.audit_logs",
            "TRUNCATE finance.audit_logs",
            "SELECT * FROM finance.transactions_2026_03",
            "UPDATE finance.package_balances SET used = 0",
            "CREATE TABLE finance.mine (a integer)",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement)
    assert (
        await connection.fetchval("SELECT amount FROM finance.transactions WHERE transaction_id = $1", payment) == 100
    )

"""The hash chain of audit entries: parallel writers, prepared commits, and an administrator who tampers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from ledger_rows import new_id
from pydantic import SecretStr

from nexfit.api.finance.audit import MOST_VERIFIED
from nexfit.domains.finance import audit_chain
from nexfit.domains.finance.audit_chain import Break, Verified, verify
from nexfit.operations.audit_sealing import seal
from nexfit.settings import PostgresSettings
from nexfit.stores.commands import command_log
from nexfit.stores.postgres import Postgres

Connect = Callable[[], Awaitable[asyncpg.Connection]]

ADD = """INSERT INTO finance.audit_logs
    (facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent)
  VALUES ($1, 'invoice', $2, $3, 'issue', '{"a": 1}', $4, '10.0.0.1', 'curl')"""

LOOSE = """INSERT INTO finance.audit_logs (entity_type, entity_id, action, entry_hash)
    VALUES ('a', 'b', 'c', sha256('x'))"""


@pytest.fixture
async def postgres(database: str) -> AsyncIterator[Postgres]:
    opened = await Postgres.connect(PostgresSettings(url=SecretStr(database), statement_timeout=20))
    yield opened
    await opened.close()


async def business(connection: asyncpg.Connection, facilities: int = 1) -> tuple[str, list[str]]:
    """A business with facilities."""
    owner, made = new_id(), [new_id() for _ in range(facilities)]
    for facility in made:
        await connection.execute(
            "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $2, 'TRY')",
            *(facility, owner),
        )
    return owner, made


async def add(connection: asyncpg.Connection, facility: str | None, count: int = 1) -> None:
    for number in range(count):
        await connection.execute(ADD, facility, str(uuid4()), new_id(), f'{{"n": {number}}}')


async def sealed(connection: asyncpg.Connection, postgres: Postgres, count: int = 6) -> str:
    """A business with a sealed chain of entries."""
    chain, [facility] = await business(connection)
    await add(connection, facility, count)
    await seal(postgres)
    return chain


async def test_one_chain_per_business_whatever_the_facility(connection: asyncpg.Connection, postgres: Postgres) -> None:
    chain, (one, two) = await business(connection, 2)
    other, [foreign] = await business(connection)
    for facility in (one, foreign, two, None, one):
        await add(connection, facility)
    assert await seal(postgres) >= 5
    rows = await connection.fetch(
        "SELECT chain_position, previous_hash, entry_hash FROM finance.audit_logs WHERE chain = $1 ORDER BY 1", chain
    )
    assert [row["chain_position"] for row in rows] == [1, 2, 3]
    assert [row["previous_hash"] for row in rows] == [None, *(row["entry_hash"] for row in rows[:-1])]
    for name, entries in ((chain, 3), (other, 1)):
        found = await verify(postgres, name)
        assert (found.entries, found.complete, found.broken) == (entries, True, None)
        assert (found.until.position, found.length) == (entries, entries)
    assert (await verify(postgres, "platform")).broken is None
    assert {chain, other, "platform"} <= set(await audit_chain.chains(postgres))
    assert await seal(postgres) == 0


async def test_parallel_writers_and_sealers_keep_one_chain(connect: Connect, postgres: Postgres) -> None:
    connections = [await connect() for _ in range(6)]
    chain, facilities = await business(connections[0], 3)

    async def write(connection: asyncpg.Connection) -> None:
        for number in range(25):
            async with connection.transaction():
                await add(connection, facilities[number % 3])
                await asyncio.sleep(0)

    async def seals() -> None:
        for _ in range(30):
            await seal(postgres)

    await asyncio.gather(*map(write, connections), *(seals() for _ in range(3)))
    await seal(postgres)
    found = await verify(postgres, chain)
    assert (found.entries, found.until.position, found.broken) == (150, 150, None)


async def test_a_prepared_commit_is_sealed_when_it_is_decided(connect: Connect, postgres: Postgres) -> None:
    """Its entries have lower numbers than those sealed meanwhile, hold nobody up, and are in the chain in the end."""
    slow, quick = await connect(), await connect()
    chain, [facility] = await business(quick)
    name = f"audit-{uuid4().hex}"
    await slow.execute("BEGIN")
    await add(slow, facility, 2)
    await slow.execute(f"PREPARE TRANSACTION '{name}'")
    await add(quick, facility, 3)
    await seal(postgres)
    assert (await verify(postgres, chain)).entries == 3
    await quick.execute(f"COMMIT PREPARED '{name}'")
    await seal(postgres)
    found = await verify(postgres, chain)
    assert (found.entries, found.broken) == (5, None)


async def test_batches_of_a_long_chain_are_checked_one_after_the_other(
    connection: asyncpg.Connection, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = await sealed(connection, postgres, 23)
    monkeypatch.setattr(audit_chain, "BATCH", 5)
    assert (await verify(postgres, chain)).entries == 23
    part = await verify(postgres, chain, most=12)
    assert (part.entries, part.until.position, part.length, part.complete, part.broken) == (12, 12, 23, False, None)
    rest = await verify(postgres, chain, after=part.until, most=12)
    assert (rest.entries, rest.until.position, rest.length, rest.complete, rest.broken) == (11, 23, 23, True, None)
    again = await verify(postgres, chain, after=rest.until)
    assert (again.entries, again.complete, again.broken) == (0, True, None)


MANY = """DO $$ DECLARE entry finance.audit_logs; made bytea; before bytea; BEGIN
  SET LOCAL session_replication_role = replica;
  FOR n IN 1..{count} LOOP
    entry := jsonb_populate_record(NULL::finance.audit_logs, jsonb_build_object(
      'audit_id', nextval(pg_get_serial_sequence('finance.audit_logs', 'audit_id')), 'facility_id', '{facility}',
      'entity_type', 'invoice', 'entity_id', n::text, 'action', 'issue', 'new_state', jsonb_build_object('n', n),
      'created_at', now(), 'chain', '{chain}', 'chain_position', n));
    made := finance.audit_entry_hash(entry, '{chain}', n, before);
    entry.previous_hash := before;
    entry.entry_hash := made;
    INSERT INTO finance.audit_logs OVERRIDING SYSTEM VALUE SELECT (entry).*;
    before := made;
  END LOOP;
  INSERT INTO finance.audit_chains (chain, last_position, last_hash) VALUES ('{chain}', {count}, before);
END $$"""
"""A sealed chain, made faster than it could be sealed."""


async def test_a_chain_of_any_length_is_checked_to_its_end_by_small_statements(
    connection: asyncpg.Connection, postgres: Postgres
) -> None:
    """More than one answer of `verifyAudit` checks: the parts meet, and a fault far behind is found where it is."""
    count = 20_600
    chain, [facility] = await business(connection)
    await connection.execute(MANY.format(count=count, facility=facility, chain=chain))
    told: list[Verified] = []
    with command_log() as log:
        whole = await verify(postgres, chain, progress=told.append)
    assert (whole.entries, whole.until.position, whole.length, whole.complete) == (count, count, count, True)
    assert [one.until.position for one in told] == [5_000, 10_000, 15_000, 20_000, count]
    assert log.count("postgres") == 7  # the end, five parts, and that nothing follows
    first = await verify(postgres, chain, most=MOST_VERIFIED)
    assert (first.entries, first.length, first.complete, first.broken) == (MOST_VERIFIED, count, False, None)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            "UPDATE finance.audit_logs SET action = 'x' WHERE chain = $1 AND chain_position = 20234", chain
        )
    rest = await verify(postgres, chain, after=first.until, most=MOST_VERIFIED)
    assert rest.broken == Break(20_234, rest.broken.audit_id if rest.broken else None, "changed")
    assert (rest.entries, rest.until.position, rest.complete) == (233, 20_233, False)
    await connection.execute("ANALYZE finance.audit_logs")
    plan = "\n".join(
        row[0]
        for row in await connection.fetch(f"EXPLAIN {audit_chain._CHECK}", chain, 20_000, first.until.hash, 5_000)
    )
    assert "_chain_chain_position_idx" in plan


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("DELETE FROM finance.audit_logs WHERE chain = $1 AND chain_position >= 4", "cut"),
        ("UPDATE finance.audit_logs SET entry_hash = sha256('x') WHERE chain = $1 AND chain_position = 4", "changed"),
    ],
)
async def test_a_chain_is_not_gone_on_with_where_its_last_part_ended_otherwise(
    connection: asyncpg.Connection, postgres: Postgres, statement: str, fault: str
) -> None:
    """Also where the note of its end was written anew to fit."""
    chain = await sealed(connection, postgres)
    part = await verify(postgres, chain, most=4)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement, chain)
        await connection.execute(
            """UPDATE finance.audit_chains SET (last_position, last_hash) = (SELECT chain_position, entry_hash
                 FROM finance.audit_logs WHERE chain = $1 ORDER BY chain_position DESC LIMIT 1) WHERE chain = $1""",
            chain,
        )
    found = await verify(postgres, chain, after=part.until)
    assert found.broken is not None
    assert (found.broken.position, found.broken.fault, found.complete) == (4, fault, False)


TAMPERING = {
    "an action": (
        "UPDATE finance.audit_logs SET action = 'refund' WHERE chain = $1 AND chain_position = 3",
        3,
        "changed",
    ),
    "a state": ("UPDATE finance.audit_logs SET new_state = '{}' WHERE chain = $1 AND chain_position = 3", 3, "changed"),
    "a person": ("UPDATE finance.audit_logs SET user_id = NULL WHERE chain = $1 AND chain_position = 2", 2, "changed"),
    "a time": (
        """UPDATE finance.audit_logs SET created_at = created_at + interval '1 us'
           WHERE chain = $1 AND chain_position = 4""",
        *(4, "changed"),
    ),
    "a hash": (
        "UPDATE finance.audit_logs SET entry_hash = sha256('x') WHERE chain = $1 AND chain_position = 3",
        *(3, "changed"),
    ),
    "an entry and its hash": (
        """UPDATE finance.audit_logs a SET action = 'x', entry_hash = finance.audit_entry_hash(
             (SELECT jsonb_populate_record(c, '{"action": "x"}') FROM finance.audit_logs c
                WHERE c.audit_id = a.audit_id), a.chain, a.chain_position, a.previous_hash)
           WHERE chain = $1 AND chain_position = 3""",
        *(4, "unlinked"),
    ),
    "one taken out": ("DELETE FROM finance.audit_logs WHERE chain = $1 AND chain_position = 3", 4, "missing"),
    "the first taken out": ("DELETE FROM finance.audit_logs WHERE chain = $1 AND chain_position = 1", 2, "missing"),
    "the last taken out": ("DELETE FROM finance.audit_logs WHERE chain = $1 AND chain_position = 6", 6, "cut"),
    "all taken out": ("DELETE FROM finance.audit_logs WHERE chain = $1", 1, "cut"),
    "the end's note, too": ("DELETE FROM finance.audit_chains WHERE chain = $1", 6, "cut"),
    "two exchanged": (
        """UPDATE finance.audit_logs SET chain_position = 7 - chain_position
           WHERE chain = $1 AND chain_position IN (3, 4)""",
        *(3, "unlinked"),
    ),
}


@pytest.mark.parametrize("what", TAMPERING)
async def test_the_first_broken_entry_is_named(connection: asyncpg.Connection, postgres: Postgres, what: str) -> None:
    """By somebody who may switch the triggers off."""
    chain = await sealed(connection, postgres)
    statement, position, fault = TAMPERING[what]
    ids = dict(
        await connection.fetch("SELECT chain_position, audit_id FROM finance.audit_logs WHERE chain = $1", chain)
    )
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(statement, chain)
    broken = (await verify(postgres, chain)).broken
    assert broken is not None
    assert (broken.position, broken.fault) == (position, fault)
    if fault == "cut":
        assert broken.audit_id is None
    elif what != "two exchanged":
        assert broken.audit_id == ids[position]
        assert str(ids[position]) in str(broken)


async def test_one_added_in_between_is_named(connection: asyncpg.Connection, postgres: Postgres) -> None:
    chain = await sealed(connection, postgres)
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(
            """INSERT INTO finance.audit_logs
                 (entity_type, entity_id, action, chain, chain_position, previous_hash, entry_hash)
               SELECT 'invoice', 'x', 'forged', chain, 7, entry_hash, sha256('x') FROM finance.audit_logs
               WHERE chain = $1 AND chain_position = 6""",
            chain,
        )
    broken = (await verify(postgres, chain)).broken
    assert broken is not None
    assert (broken.position, broken.fault) == (7, "changed")


async def test_the_application_can_add_and_ask_for_sealing_and_nothing_else(
    connection: asyncpg.Connection, postgres: Postgres
) -> None:
    chain, [facility] = await business(connection)
    async with connection.transaction():
        await connection.execute("SET LOCAL ROLE nexfit_app")
        await add(connection, facility, 2)
        assert await connection.fetchval("SELECT finance.seal_audit_entries(1000)") >= 2
        for statement in (
            "UPDATE finance.audit_logs SET action = 'x'",
            "UPDATE finance.audit_logs SET chain = NULL, chain_position = NULL, entry_hash = NULL",
            "DELETE FROM finance.audit_logs",
            "TRUNCATE finance.audit_logs",
            "UPDATE finance.audit_chains SET last_position = 1",
            "DELETE FROM finance.audit_chains",
            # An entry that claims to be sealed would never be.
            LOOSE,
            "INSERT INTO finance.audit_logs (entity_type, entity_id, action, chain) VALUES ('a', 'b', 'c', 'd')",
        ):
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                async with connection.transaction():
                    await connection.execute(statement)
    assert (await verify(postgres, chain)).entries == 2
    assert await audit_chain.loose(postgres) is None


async def test_an_entry_with_a_hash_and_no_chain_is_found(connection: asyncpg.Connection, postgres: Postgres) -> None:
    rolled_back = connection.transaction()
    await rolled_back.start()
    entry = await connection.fetchval(f"{LOOSE} RETURNING audit_id")
    await rolled_back.rollback()
    assert await audit_chain.loose(postgres) is None
    await connection.execute(LOOSE)
    loose = await audit_chain.loose(postgres)
    assert loose == Break(0, entry + 1, "loose")

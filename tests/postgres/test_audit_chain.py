"""The hash chain of audit entries: parallel writers, prepared commits, and an administrator who tampers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import asyncpg
import pytest
from ledger_rows import new_id
from pydantic import SecretStr

from nexfit.domains.finance import audit_chain
from nexfit.domains.finance.audit_chain import Break, verify
from nexfit.operations.audit_sealing import seal
from nexfit.settings import PostgresSettings
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
    assert (found.entries, found.last_position, found.broken) == (150, 150, None)


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
    part = await verify(postgres, chain, most=10)
    assert (part.entries, part.complete, part.broken) == (10, False, None)


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

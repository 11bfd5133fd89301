"""Medical conditions of clients, decrypted for who may see them; and who but the client read what tells of health."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from bson import ObjectId

from nexfit.domains.identity.access import Actor
from nexfit.domains.identity.protected import MEDICAL_CONDITIONS, medical_conditions
from nexfit.hybrid.audit import Audit
from nexfit.hybrid.paging import Key, Page, PageRequest, instant, integer
from nexfit.hybrid.rows_paging import Conditions, RowList, pages_by_parent
from nexfit.hybrid.unit_of_work import PostgresWork, UnitsOfWork
from nexfit.stores.connections import Stores

RECORD, READ = "medical_record", "read"
"""Entity type (its id is the client's) and action of the audit entries of reads."""

READS_ORDER = "medical_reads:CREATED_AT:DESC"
_READS = RowList(
    "finance.audit_logs",
    "entity_id",
    (Key("created_at", instant, descending=True), Key("audit_id", integer, descending=True)),
)


async def conditions(stores: Stores, clients: Collection[ObjectId]) -> dict[ObjectId, list[str]]:
    """The conditions of each client who has told any. Raises StoreError, FieldEncryptionError."""
    rows = await stores.mongo.find("users", {"_id": {"$in": list(set(clients))}}, (MEDICAL_CONDITIONS,))
    return {
        row["_id"]: medical_conditions(stores.keys, row["_id"], envelope)
        for row in rows
        if (envelope := ((row.get("roleSpecificData") or {}).get("client") or {}).get("medicalConditions"))
    }


async def record(units: UnitsOfWork, reader: Actor, reads: Mapping[str, Collection[str]]) -> None:
    """Keep which fields of whom the reader is about to be shown, an entry a person, in one batch. Raises StoreError.

    To be committed before anything is given out. That somebody has told nothing is read as well.
    """
    by = str(reader.require())

    async def body(work: PostgresWork) -> None:
        for client, fields in reads.items():
            work.audit(Audit(READ, RECORD, client, user_id=by, after={"fields": sorted(fields)}))

    await units.postgres("read_health").run(body)


async def reads_of(stores: Stores, client: ObjectId, request: PageRequest, columns: Iterable[str]) -> Page:
    """One page of who read what tells of the client's health, the latest first."""
    ofwhat = Conditions()
    ofwhat.add("t.entity_type = {}", RECORD)
    return (await pages_by_parent(stores.postgres, _READS, [str(client)], request, columns, ofwhat))[0]

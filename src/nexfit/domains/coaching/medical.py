"""Medical conditions of clients, decrypted for who may see them; every reader but the client leaves an audit entry."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

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


async def conditions(
    stores: Stores, units: UnitsOfWork, reader: Actor, clients: Collection[ObjectId]
) -> dict[ObjectId, list[str]]:
    """The conditions of each client who has told any, for a reader who may see them all.

    The entry of who read what is committed before anything is given out: without it nothing is. Raises StoreError,
    FieldEncryptionError.
    """
    rows = await stores.mongo.find("users", {"_id": {"$in": list(set(clients))}}, (MEDICAL_CONDITIONS,))
    kept = {
        row["_id"]: envelope
        for row in rows
        if (envelope := ((row.get("roleSpecificData") or {}).get("client") or {}).get("medicalConditions"))
    }
    read = {id_: medical_conditions(stores.keys, id_, envelope) for id_, envelope in kept.items()}
    # That somebody has told none is read as well.
    await _record(units, reader, [id_ for id_ in dict.fromkeys(clients) if not reader.is_user(id_)])
    return read


async def _record(units: UnitsOfWork, reader: Actor, clients: Sequence[ObjectId]) -> None:
    if not clients:
        return

    async def body(work: PostgresWork) -> None:
        for client in clients:
            shown = {"fields": ["medicalConditions"]}
            work.audit(Audit(READ, RECORD, str(client), user_id=str(reader.require()), after=shown))

    await units.postgres("read_medical").run(body)


async def reads_of(stores: Stores, client: ObjectId, request: PageRequest, columns: Iterable[str]) -> Page:
    """One page of who read the client's medical fields, the latest first."""
    ofwhat = Conditions()
    ofwhat.add("t.entity_type = {}", RECORD)
    return (await pages_by_parent(stores.postgres, _READS, [str(client)], request, columns, ofwhat))[0]

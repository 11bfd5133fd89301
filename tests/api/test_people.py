"""Everything about a person: the registry knows it, an export has it, and after an erasure nothing names them."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import jsonschema
import pytest
from bson import ObjectId, json_util
from pydantic import SecretStr
from redis.asyncio import Redis

from nexfit.domains.analytics import keeping
from nexfit.domains.finance.audit_chain import chains, verify
from nexfit.embedded import EmbeddedServers
from nexfit.hybrid import fault_points
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations.audit_sealing import seal
from nexfit.operations.mongo_validators import validator
from nexfit.operations.people import erasing, registry, work
from nexfit.operations.people.desk import PeopleDesk
from nexfit.operations.people.export_schema import export_schema, schema_text
from nexfit.operations.people.registry import NOT_PEOPLE, Erased, Holding
from nexfit.settings import AuthSettings, FilesSettings, HttpSettings, Settings
from nexfit.stores.connections import Stores, open_stores
from nexfit.stores.errors import StoreError
from nexfit.stores.field_encryption import KeyDestroyed, KeyRing, Place
from tests.databases import migrated

from .conftest import PASSWORD, WIDE, Client, Mailbox, account, global_id, login, running
from .whole import DAY, MODELS, ROWS, whole

REDIS_DATABASE = 15
ROOT = Path(__file__).parents[2]

REQUEST = "request { id kind status stepsDone steps blockedBy dueAt requestedAt } userErrors { code path }"
ERASE = f"mutation ($i: RequestErasureInput!) {{ requestErasure(input: $i) {{ {REQUEST} }} }}"
EXPORT = f"mutation ($i: RequestExportInput!) {{ requestExport(input: $i) {{ {REQUEST} }} }}"
STAY = f"mutation ($i: CancelErasureInput!) {{ cancelErasure(input: $i) {{ {REQUEST} }} }}"
REQUESTS = """query ($user: ID) { dataRequests(user: $user) { id kind status stepsDone steps blockedBy fileUntil
  download { address expiresAt } } }"""


@dataclass(slots=True)
class World:
    """An application over stores of its own, with a facility that sells one plan."""

    http: httpx.AsyncClient
    settings: Settings
    stores: Stores
    mailbox: Mailbox
    operator: ObjectId
    facility: ObjectId
    plan: ObjectId
    owner: ObjectId

    @property
    def database(self) -> Any:
        """MongoDB's."""
        return self.stores.mongo.database

    @property
    def desk(self) -> PeopleDesk:
        """What a worker works with."""
        units = UnitsOfWork(self.stores, JoinedViews(self.stores.redis).invalidate)
        return PeopleDesk(self.settings, self.stores, units, None)

    async def put(self, collection: str, word: str = "something", /, **given: Any) -> ObjectId:
        """A whole document."""
        paths = {path.replace("__", "."): value for path, value in given.items()}
        document = whole(self.stores.keys, collection, word, paths)
        await self.database[collection].insert_one(document)
        return document["_id"]  # type: ignore[no-any-return]

    async def rows(self, statement: str, *arguments: object) -> list[Any]:
        """Rows of PostgreSQL."""
        return await self.stores.postgres.fetch(statement, *arguments)


@pytest.fixture(scope="module")
async def world(servers: EmbeddedServers, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    root = tmp_path_factory.mktemp("files")
    async with migrated(
        servers.urls,
        redis_database=REDIS_DATABASE,
        auth=AuthSettings(
            secret=SecretStr("a secret of the tests that is long enough"),
            bcrypt_hashes=False,
            tries_per_account=10_000,
            tries_per_address=10_000,
        ),
        http=HttpSettings(response_cache=False, log_requests=False),
        files=FilesSettings(root=root, address_seconds=60),
        limits=WIDE,
        background=False,
    ) as made:
        patient = made.redis.model_copy(update={"timeout": 10, "connect_timeout": 10})
        async with open_stores(made) as stores:
            operator, _ = await account(stores)
            changed = {"redis": patient, "operators": (str(operator),)}
            settings, mailbox = made.model_copy(update=changed), Mailbox()
            async with running(settings, mailbox) as http:
                owner, _ = await account(stores, role=["gym_owner"])
                world = World(http, settings, stores, mailbox, operator, ObjectId(), ObjectId(), owner)
                await _furnish(world)
                yield world


async def _furnish(world: World) -> None:
    await world.put("facilities", _id=world.facility, ownerId=world.owner, address__country="TR", staff=[])
    await world.put("memberships", _id=world.plan, facilityId=world.facility, replacedBy=None, isActive=True)
    account_of = "INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1, $1, 'TRY')"
    await world.rows(account_of, str(world.facility))


# --- the registry


def test_the_registry_knows_every_field_of_every_collection() -> None:
    assert registry.mongo().keys() == MODELS.keys()
    for collection, holding in registry.mongo().items():
        schema = validator(MODELS[collection])["$jsonSchema"]
        fields = schema["properties"].keys() - {"revisionId"}
        _compare(collection, holding, fields)
        assert isinstance(holding.exported, tuple)
        for path in _ids(schema):
            known = path in holding.rules() or path.rpartition(".")[2] in NOT_PEOPLE or path in ("_id", "revisionId")
            assert known, f"{collection}.{path}: say in mongo.yaml whose id it is"


async def test_the_registry_knows_every_column_of_every_table(world: World) -> None:
    columns: dict[str, dict[str, str]] = {}
    for row in await world.rows(
        """SELECT table_schema || '.' || table_name AS name, column_name, udt_name FROM information_schema.columns c
           WHERE table_schema NOT IN ('pg_catalog', 'information_schema') AND NOT EXISTS (
             SELECT FROM pg_inherits WHERE inhrelid = format('%I.%I', table_schema, table_name)::regclass)"""
    ):
        columns.setdefault(row["name"], {})[row["column_name"]] = row["udt_name"]
    assert registry.postgres().keys() == columns.keys()
    for table, holding in registry.postgres().items():
        _compare(table, holding, columns[table].keys())
        assert set(holding.set) <= columns[table].keys()
        for column, type_ in columns[table].items():
            known = type_ != "varchar" or not column.endswith(("_id", "_by")) or column in NOT_PEOPLE
            other = table == "platform.entity_attributes" or column in (
                *holding.rules(),
                *holding.internal,
                "entity_id",
            )
            assert known or other, f"{table}.{column}: say in postgres.yaml whose id it is"
        if isinstance(holding.exported, dict):
            for column, said in holding.exported.items():
                assert columns[table][column] in TYPES[said], f"{table}.{column} is no {said}"


TYPES = {
    "id": {"varchar"},
    "uuid": {"uuid"},
    "text": {"text", "varchar", "inet", "bpchar"},
    "texts": {"_text"},
    "decimal": {"numeric"},
    "int": {"int2", "int4", "int8"},
    "bool": {"bool"},
    "date": {"date"},
    "instant": {"timestamptz"},
    "json": {"jsonb"},
    "bytes": {"bytea"},
}


def _compare(name: str, holding: Holding, fields: Any) -> None:
    """Every field stands in the registry once, and what is changed says so of each."""
    if not holding.is_somebodys:
        assert not holding.exported, name
        return
    outer = [path.partition(".")[0] for path in (*holding.exported, *holding.internal)]
    assert set(outer) == set(fields), name
    assert len(outer) == len({*holding.exported, *holding.internal}), name
    if holding.erased is Erased.CHANGE and holding.kept:
        changed = {path.partition(".")[0] for path in (*holding.dropped, *holding.set)}
        whole_ones = {path for path in (*holding.dropped, *holding.set) if "." not in path}
        assert {*holding.kept} | changed == set(fields), name
        assert not {*holding.kept} & whole_ones, name


def _ids(schema: dict[str, Any], path: str = "") -> list[str]:
    """Paths of everything that is an ObjectId."""
    found = [path] if schema.get("bsonType") == "objectId" else []
    for name, inner in schema.get("properties", {}).items():
        found += _ids(inner, f"{path}.{name}" if path else name)
    if isinstance(schema.get("items"), dict):
        found += _ids(schema["items"], path)
    return found


def test_the_schema_of_exports_is_written_down() -> None:
    kept = (ROOT / "docs/person-export.schema.json").read_text(encoding="utf-8")
    assert kept == schema_text(), "run `nexfit person schema > docs/person-export.schema.json`"
    jsonschema.Draft202012Validator.check_schema(export_schema())


# --- somebody who used everything

WORD = "Zümrüt Şahbazoğlu, zumrut.sahbaz@example.org, +905321234567"
NAMES = ("zümrüt", "şahbazoğlu", "zumrut", "sahbazoglu", "sahbaz@", "905321234567")
EMAIL, PHONE = "zumrut.sahbaz@example.org", "+905321234567"


async def somebody(world: World) -> ObjectId:
    """A person with a document in every collection and a row in every table that people have any in."""
    user, _ = await account(world.stores)
    soon = datetime.now(UTC) + timedelta(days=2)
    await world.database["users"].delete_one({"_id": user})
    profile = {"firstName": "Zümrüt", "lastName": "Şahbazoğlu", "email": EMAIL, "emailNormalized": EMAIL}
    await world.put(
        "users",
        WORD,
        _id=user,
        **profile,
        nameFolded="zumrut sahbazoglu",
        phoneNumber=PHONE,
        erasedAt=None,
        deactivatedAt=None,
        role=["client"],
    )
    more: dict[str, dict[str, Any]] = {
        "audit_entries": {
            "_id": str(uuid4()),
            "previousState": json.dumps({"a": WORD}).encode(),
            "newState": b"{}",
            "ipAddress": "10.1.2.3",
        },
        "classes": {
            "schedule.endTime": DAY + timedelta(hours=1),
            "schedule.recurrence.maxOccurrences": None,
            "datesDueAt": None,
            "isActive": False,
        },
        "class_occurrences": {"endsAt": DAY + timedelta(hours=1)},
        "facilities": {"source": None, "sourceId": None},
        "idempotency_keys": {"_id": f"{user}:somethingElse:{uuid4()}", "outcome": WORD.encode()},
        "member_subscriptions": {"status": "expired", "facilityId": world.facility},
        "pt_sessions": {"endTime": DAY + timedelta(hours=1), "status": "completed"},
        "vocabulary": {"_id": f"foods {user} word"},
        "coach_clients": {"relationship.status": "ended"},
        "outbox": {"_id": str(uuid4())},
        "second_factors": {"confirmedAt": None},
    }
    for collection, holding in registry.mongo().items():
        for path, rule in holding.rules().items():
            if (path == "_id" and collection in ("users", "credentials")) or path == "ownerId":
                continue
            given = {**more.get(collection, {}), **dict.fromkeys(("expiresAt", "lastSeenAt"), soon)}
            given |= {name: value if not isinstance(value, dict) else None for name, value in rule.only.items()}
            given |= {path: EMAIL if rule.by_words else user}
            await _put_marked(world, collection, path, rule, given)
            if rule.otherwise is not None:  # what others go on using
                others = {name: value for name, value in given.items() if name not in rule.only and name != "_id"}
                await world.put(collection, **others)
        if holding.by_words or holding.by_prefix:
            given = {**more.get(collection, {}), "expiresAt": soon, "emailNormalized": EMAIL}
            await _put_marked(world, collection, "", holding.rule, given)
    async for template in world.database["workout_templates"].find({"createdBy": user}):
        word = "something" if template["isPublic"] else WORD
        await world.put("workout_template_versions", word, templateId=template["_id"])
    await world.database["credentials"].update_one({"_id": user}, {"$set": {"updatedAt": DAY}})
    await _money_of(world, user)
    for key in (f"photos/{user}/a.jpg", f"photos/{user}/b/c.png"):
        path = world.settings.files.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\xff\xd8\xff" + WORD.encode())
    return user


async def _put_marked(world: World, collection: str, of: str, rule: registry.Rule, given: dict[str, Any]) -> None:
    """A whole document that names the person wherever an erasure has to take it out, and nowhere else."""
    given = {path: value for path, value in given.items() if path.partition(".")[0] in _fields(collection)}
    given.setdefault("_id", ObjectId())
    keys = world.stores.keys
    document = whole(keys, collection, WORD if rule.erased is Erased.DELETE else "something", given)
    if rule.erased in (Erased.CHANGE, Erased.PULL):
        marked = whole(keys, collection, WORD, given)
        pulled = (of.partition(".")[0],) if rule.erased is Erased.PULL else ()
        for path in (*rule.dropped, *rule.set, *pulled):
            *outer, last = path.split(".")
            to, source = document, marked
            for name in outer:
                to, source = to[name], source[name]
            if last in source:
                to[last] = source[last]
    await world.database[collection].insert_one(document)


def _fields(collection: str) -> Any:
    return validator(MODELS[collection])["$jsonSchema"]["properties"]


SELL = """mutation ($i: SellMembershipInput!) { sellMembership(input: $i) {
  memberSubscription { id subscription { id } } userErrors { code path message } } }"""
REFUND = """mutation ($i: RefundPaymentInput!) { refundPayment(input: $i) { userErrors { code path } } }"""


async def _money_of(world: World, user: ObjectId) -> None:
    """A membership, paid and partly given back, and a row in every other table."""
    owner_email = (await world.database["users"].find_one({"_id": world.owner}))["email"]
    owner = await login(world.http, owner_email, PASSWORD)
    sale = {"plan": global_id("Membership", world.plan), "user": global_id("User", user), "method": "CASH"}
    sold = await owner.data(SELL, {"i": {**sale, "expectedTotal": "1", "idempotencyKey": uuid4().hex}})
    assert sold["sellMembership"]["userErrors"] == []
    [paid] = await world.rows("SELECT * FROM finance.transactions WHERE user_id = $1", str(user))
    back = {"transaction": global_id("Transaction", paid["transaction_id"]), "amount": "0.25", "reason": WORD}
    refunded = await owner.data(REFUND, {"i": {**back, "idempotencyKey": uuid4().hex}})
    assert refunded["refundPayment"]["userErrors"] == []
    names = {"person": user, "facility": world.facility, "owner": world.owner, "plan": world.plan}
    names |= {"one": ObjectId(), "other": ObjectId()}
    for statement in ROWS.split(";\n"):
        await world.rows(statement.format(word=WORD, **names))


async def dump(world: World) -> dict[str, str]:
    """Everything in all stores and files, as text by where it stands."""
    found: dict[str, str] = {}
    for collection in await world.database.list_collection_names():
        async for document in world.database[collection].find({}):
            raw = b"".join(value for value in document.values() if isinstance(value, bytes))
            text = json_util.dumps(document, ensure_ascii=False) + raw.decode("utf-8", "replace")
            found[f"mongo {collection} {document['_id']}"] = text
    tables = await world.rows(
        "SELECT format('%I.%I', schemaname, tablename) AS name FROM pg_tables"
        " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
    )
    for table in tables:
        for number, row in enumerate(await world.rows(f"SELECT to_jsonb(t)::text AS said FROM ONLY {table['name']} t")):
            found[f"postgres {table['name']} {number}"] = row["said"]
    async with Redis.from_url(world.settings.redis.url.get_secret_value()) as redis:
        async for key in redis.scan_iter():
            kind = (await redis.type(key)).decode()
            reads = {"string": redis.get, "hash": redis.hgetall, "stream": redis.xrange}
            value = await reads[kind](key) if kind in reads else await redis.zrange(key, 0, -1)
            found[f"redis {key.decode()}"] = repr(value)
    for path in world.settings.files.root.rglob("*"):
        found[f"file {path}"] = path.read_bytes().decode("utf-8", "replace") if path.is_file() else ""
    return found


def naming(dumped: dict[str, str]) -> list[str]:
    """Where the person is named."""
    return [place for place, text in dumped.items() if any(name in (place + text).lower() for name in NAMES)]


SUMS = """SELECT 'i' AS what, sum(net_amount) AS a, sum(tax_amount) AS b, count(*) AS n FROM finance.invoices
  UNION ALL SELECT 'l', sum(net_amount), sum(tax_amount), count(*) FROM finance.invoice_lines
  UNION ALL SELECT 'c', sum(net_amount), sum(tax_amount), count(*) FROM finance.credit_notes
  UNION ALL SELECT 't ' || transaction_type || status, sum(amount), 0, count(*) FROM finance.transactions GROUP BY 1
  UNION ALL SELECT 'r', sum(amount), 0, count(*) FROM finance.refunds
  UNION ALL SELECT 'p', sum(price), 0, count(*) FROM finance.coaching_packages
  UNION ALL SELECT 'd', sum(counted), 0, count(*) FROM finance.till_counts
  UNION ALL SELECT 'b', sum(remaining), sum(total), count(*) FROM finance.package_balances ORDER BY 1"""
FIGURES = "SELECT to_jsonb(a) - 'updated_at' - 'created_at' AS day FROM finance.analytics_daily a ORDER BY date"


async def figures(world: World) -> list[Any]:
    """The daily figures, computed anew, without what a membership that ends today changes today."""
    await keeping.rebuild(world.stores.mongo, world.stores.postgres, now=datetime.now(UTC))
    return [row["day"] | {"subscription_cancellations": 0} for row in await world.rows(FIGURES)]


async def exported(world: World, client: Client) -> tuple[dict[str, Any], zipfile.ZipFile]:
    """What the viewer fetches by the newest request's address."""
    [newest, *_] = (await client.data(REQUESTS))["dataRequests"]
    assert (newest["kind"], newest["status"]) == ("EXPORT", "DONE")
    answer = await world.http.get(newest["download"]["address"])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream")
    archive = zipfile.ZipFile(io.BytesIO(answer.content))
    return json.loads(archive.read("export.json")), archive


async def test_somebody_who_used_everything_is_copied_and_erased(world: World) -> None:
    user = await somebody(world)
    client = await login(world.http, EMAIL, PASSWORD)
    asked = await client.data(EXPORT, {"i": {"password": PASSWORD}})
    assert asked["requestExport"]["userErrors"] == []
    assert await work.work(world.desk, now=datetime.now(UTC)) == 1
    document, archive = await exported(world, client)
    jsonschema.validate(document, export_schema(), jsonschema.Draft202012Validator)
    _check_complete(document)
    assert document["sections"]["users"][0]["roleSpecificData"]["client"]["medicalConditions"] == [WORD]
    assert document["sections"]["measurements"][0]["notes"] == WORD
    for file in document["files"]:
        assert hashlib.sha256(archive.read(file["path"])).hexdigest() == file["sha256"]
    assert [file["key"] for file in document["files"]] == [f"photos/{user}/a.jpg", f"photos/{user}/b/c.png"]

    # --- and erased, killed at every step on the way
    backup = await world.database["measurements"].find_one({"userId": user})
    await seal(world.stores.postgres)
    sums, days = [tuple(row) for row in await world.rows(SUMS)], await figures(world)
    assert len(naming(await dump(world))) > 40
    asked = await client.data(ERASE, {"i": {"password": PASSWORD}})
    payload = asked["requestErasure"]
    assert payload["userErrors"] == []
    assert payload["request"]["dueAt"][:10] == str((datetime.now(UTC) + timedelta(days=14)).date())
    assert (await client.data(ERASE, {"i": {"password": PASSWORD}}))["requestErasure"] == payload
    assert await work.work(world.desk, now=datetime.now(UTC)) == 0  # not due
    request, due = UUID(payload["request"]["id"]), datetime.now(UTC) + timedelta(days=15)
    killed = await _killed_everywhere(world, request, due)
    assert killed == [f"{when} {name}" for name, _ in erasing.STEPS for when in ("before", "after")]
    done = await asyncio.gather(*(work.carry_out(world.desk, request, now=due) for _ in range(3)))
    assert sorted(done) == [False, False, True]

    await _check_erased(world, user)
    assert [tuple(row) for row in await world.rows(SUMS)] == sums
    assert await figures(world) == days
    after = await dump(world)
    assert await work.work(world.desk, now=due) == 0
    assert not await work.carry_out(world.desk, request, now=due)
    assert await dump(world) == after  # again, nothing more
    with pytest.raises(KeyDestroyed):  # a restored backup tells nothing, whichever process reads it
        KeyRing.of(world.settings.encryption).of_person(user).decrypt(
            Place("measurements", backup["_id"], "notes"), backup["notes"]
        )
    assert (await client.post("{ viewer { id } }")).json().get("data") != {"viewer": {"id": global_id("User", user)}}
    again, _ = await account(world.stores, email=EMAIL, emailNormalized=EMAIL)
    assert (again != user, (await login(world.http, EMAIL, PASSWORD)).token is not None) == (True, True)


def _check_complete(document: dict[str, Any]) -> None:
    """Every field that the registry promises is there."""
    for places in (registry.mongo(), registry.postgres()):
        for name, holding in places.items():
            rules = {"": holding.rule} if holding.is_somebodys else {}
            for path, rule in {**rules, **holding.others}.items():
                section = f"{name}.{path}" if path else name
                if not rule.exported or section in NOTHING_OF or path == "ownerId":
                    continue
                items = document["sections"][section]
                has = {key for item in items for key in item}
                wanted = {field.partition(".")[0] for field in rule.exported}
                assert wanted <= has | ABSENT.get(section, set()), section


NOTHING_OF = {"facilities", "platform.data_request_steps"}
"""Nobody who owns a facility is erased; an export has no steps."""
ABSENT = {"users": {"deactivatedAt"}, "second_factors": {"confirmedAt"}}


async def _killed_everywhere(world: World, request: UUID, now: datetime) -> list[str]:
    """Where the erasure was killed: at each of its points once, going on every time."""
    killed: list[str] = []
    steps = {name for name, _ in erasing.STEPS}

    def die(point: str) -> None:
        # The commits have points of their own (tests/writes).
        if point.partition(" ")[2] in steps and point not in killed:
            killed.append(point)
            raise Killed(point)

    fault_points.listen(die)
    try:
        while len(killed) < 2 * len(erasing.STEPS):
            with pytest.raises(Killed):
                await work.carry_out(world.desk, request, now=now)
    finally:
        fault_points.listen(None)
    return killed


class Killed(BaseException):
    """The process died."""


async def _check_erased(world: World, user: ObjectId) -> None:
    """Nothing names the person, and the chains of audit entries hold."""
    assert naming(await dump(world)) == []
    account = await world.database["users"].find_one({"_id": user})
    assert account["email"] == f"erased-{user}@erased.invalid"
    assert account.keys() == {
        *("_id", "email", "emailNormalized", "firstName", "lastName", "nameFolded", "role", "isActive"),
        *("roleSpecificData", "createdAt", "updatedAt", "erasedAt"),
    }
    for collection, holding in registry.mongo().items():
        for path, rule in holding.rules().items():
            if rule.erased is Erased.DELETE:
                assert await world.database[collection].count_documents({path: user, **rule.only}) == 0, collection
    assert not (world.settings.files.root / f"photos/{user}").exists()
    await seal(world.stores.postgres)
    assert await chains(world.stores.postgres)
    for chain in await chains(world.stores.postgres):
        checked = await verify(world.stores.postgres, chain)
        assert (checked.complete, checked.broken) == (True, None)
    counted = "SELECT count(state_digest) AS state, count(origin_digest) AS origin FROM finance.audit_logs"
    redacted = await world.rows(counted + " WHERE user_id = $1", str(user))
    assert redacted[0]["state"] >= 1
    assert redacted[0]["origin"] >= 1
    [facts] = await world.rows("SELECT * FROM platform.member_facts WHERE user_id = $1", str(user))
    assert (facts["name_folded"], facts["status"]) == ("erased person", "cancelled")


# --- asking, and going back on it


async def person(world: World, **fields: Any) -> tuple[ObjectId, Client]:
    """Somebody new, signed in."""
    user, email = await account(world.stores, **fields)
    return user, await login(world.http, email, PASSWORD)


async def package(world: World, id_: object, coach: ObjectId, client: ObjectId) -> None:
    """A package of sessions without any."""
    await world.rows(
        "INSERT INTO finance.coaching_packages (package_id, relation_id, coach_id, client_id) VALUES ($1, $1, $2, $3)",
        *(str(id_), str(coach), str(client)),
    )


async def moves(world: World, id_: object, kind: str, count: int, session: object = None) -> None:
    """A movement of a package's credits."""
    await world.rows(
        "INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits, session_id)"
        " SELECT package_id, coach_id, client_id, $2, $3, $4 FROM finance.coaching_packages WHERE package_id = $1",
        *(str(id_), kind, count, None if session is None else str(session)),
    )


def codes(payload: Any) -> list[str]:
    """Of the user errors."""
    return [error["code"] for error in payload["userErrors"]]


async def test_only_the_person_and_an_operator_with_a_reason_may_ask(world: World) -> None:
    user, client = await person(world)
    other, stranger = await person(world)
    operator = await login(world.http, f"somebody.{world.operator}@example.org", PASSWORD)
    for query, name in ((EXPORT, "requestExport"), (ERASE, "requestErasure")):
        for given, code in (({}, "BAD_USER_INPUT"), ({"password": "wrong"}, "INVALID_CREDENTIALS"),
                            ({"code": "123456"}, "INVALID_CODE")):  # fmt: skip
            assert codes((await client.data(query, {"i": given}))[name]) == [code]
        named = {"user": global_id("User", user), "password": PASSWORD}
        answer = await stranger.run(query, {"i": {**named, "reason": "curious"}})
        assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]
        assert codes((await operator.data(query, {"i": named}))[name]) == ["BAD_USER_INPUT"]
        nobody = {**named, "user": global_id("User", ObjectId()), "reason": "a letter"}
        assert codes((await operator.data(query, {"i": nobody}))[name]) == ["NOT_FOUND"]
    assert (
        await world.rows("SELECT 1 FROM platform.data_requests WHERE user_id = ANY ($1)", [str(user), str(other)]) == []
    )
    asked = await operator.data(EXPORT, {"i": {**named, "reason": "a letter of 1 May"}})
    assert codes(asked["requestExport"]) == []
    [seen] = (await operator.data(REQUESTS, {"user": named["user"]}))["dataRequests"]
    assert (seen["status"], seen["download"]) == ("WAITING", None)
    answer = await stranger.run(REQUESTS, {"user": named["user"]})
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["FORBIDDEN"]


async def test_an_erasure_can_be_cancelled_until_it_begins(world: World) -> None:
    user, client = await person(world)
    assert codes((await client.data(STAY, {"i": {}}))["cancelErasure"]) == ["INVALID_TRANSITION"]
    first = (await client.data(ERASE, {"i": {"password": PASSWORD}}))["requestErasure"]["request"]
    email = f"somebody.{user}@example.org"
    assert first["dueAt"][:10] in (await world.mailbox.newest(email, "erasure_requested")).text
    stays = (await client.data(STAY, {"i": {}}))["cancelErasure"]
    assert (stays["userErrors"], stays["request"]["id"], stays["request"]["status"]) == ([], first["id"], "CANCELLED")
    later = datetime.now(UTC) + timedelta(days=20)
    assert not await work.carry_out(world.desk, UUID(first["id"]), now=later)
    second = (await client.data(ERASE, {"i": {"password": PASSWORD}}))["requestErasure"]["request"]
    assert second["id"] != first["id"]
    assert await work.carry_out(world.desk, UUID(second["id"]), now=later)
    refused = await Client(world.http).data(
        "mutation ($i: LoginInput!) { login(input: $i) { userErrors { code } } }",
        {"i": {"email": email, "password": PASSWORD}},
    )
    assert codes(refused["login"]) == ["INVALID_CREDENTIALS"]


async def test_a_copy_can_be_fetched_by_its_owner_for_a_while(world: World) -> None:
    user, client = await person(world)
    await client.data(EXPORT, {"i": {"password": PASSWORD}})
    now = datetime.now(UTC)
    assert sum(await asyncio.gather(*(work.work(world.desk, now=now) for _ in range(3)))) >= 1
    document, _ = await exported(world, client)
    assert document["sections"]["users"][0]["_id"] == str(user)
    [request] = (await client.data(REQUESTS))["dataRequests"]
    address = request["download"]["address"]
    assert (await world.http.get(address.replace(str(user), str(world.owner)))).status_code == 403
    assert (await world.http.get(address.replace("expires=", "expires=1"))).status_code == 403
    operator = await login(world.http, f"somebody.{world.operator}@example.org", PASSWORD)
    [seen] = (await operator.data(REQUESTS, {"user": global_id("User", user)}))["dataRequests"]
    assert (seen["status"], seen["download"]) == ("DONE", None)
    await work.work(world.desk, now=now + timedelta(days=8))
    assert (await world.http.get(address)).status_code == 404
    [request] = (await client.data(REQUESTS))["dataRequests"]
    assert request["download"] is None


async def test_what_stands_in_the_way_is_told_and_waited_for(world: World) -> None:
    user, client = await person(world, role=["coach"])
    soon = datetime.now(UTC) + timedelta(days=3)
    facility = await world.put("facilities", ownerId=user, address__country="TR", source=None, sourceId=None)
    date = await world.put(
        "class_occurrences", instructor__userId=user, startsAt=soon, endsAt=soon + timedelta(hours=1)
    )
    one = ObjectId()
    await package(world, one, user, world.owner)
    await moves(world, one, "grant", 10)

    async def asks() -> list[str]:
        return codes((await client.data(ERASE, {"i": {"password": PASSWORD}}))["requestErasure"])

    assert await asks() == ["OWNS_FACILITY"]
    await world.database["facilities"].update_one({"_id": facility}, {"$set": {"ownerId": world.owner}})
    assert await asks() == ["TEACHES_CLASSES"]
    await world.database["class_occurrences"].update_one({"_id": date}, {"$unset": {"instructor": ""}})
    assert await asks() == ["PACKAGES_RUNNING"]
    await moves(world, one, "refund", 10)
    assert await asks() == []
    [request] = (await client.data(REQUESTS))["dataRequests"]
    owes = """INSERT INTO finance.invoices
        (user_id, business_id, facility_id, net_amount, tax_amount, total_amount, currency, status, due_date)
      VALUES ($1, $2, $2, 1, 0, 1, 'TRY', 'draft', '2026-01-01')"""
    await world.rows(owes, str(user), str(world.facility))
    due = datetime.now(UTC) + timedelta(days=15)
    assert not await work.carry_out(world.desk, UUID(request["id"]), now=due)
    [request] = (await client.data(REQUESTS))["dataRequests"]
    assert (request["status"], request["blockedBy"]) == ("BLOCKED", ["DEBT_OPEN"])
    await world.rows("DELETE FROM finance.invoices WHERE user_id = $1", str(user))
    assert await work.carry_out(world.desk, UUID(request["id"]), now=due + timedelta(days=1))


async def test_what_is_under_way_ends_by_its_own_rules(world: World) -> None:
    """A seat goes to who waits, a session's credit back, a job at a facility ends."""
    user, client = await person(world)
    waiting, _ = await person(world)
    now, soon = datetime.now(UTC), datetime.now(UTC) + timedelta(days=20)
    class_ = await world.put(
        "classes", facilityId=world.facility, instructor=None, schedule__endTime=DAY + timedelta(hours=1),
        schedule__recurrence__maxOccurrences=None, datesDueAt=None,
    )  # fmt: skip
    date = await world.put(
        "class_occurrences", classId=class_, facilityId=world.facility, startsAt=soon, endsAt=soon + timedelta(hours=1),
        instructor=None, seatsTaken=1, waitlisted=1, waitlistJoined=1, cancelledAt=None, cancellationReason=None,
    )  # fmt: skip
    booked = {"classId": class_, "occurrenceId": date, "facilityId": world.facility, "date": soon, "passedOver": None,
              "cancelledAt": None, "checkedInAt": None, "promotedAt": None}  # fmt: skip
    await world.put("class_bookings", userId=user, status="booked", waitlistPosition=None, **booked)
    second = await world.put("class_bookings", userId=waiting, status="waitlisted", waitlistPosition=1, **booked)
    plan = await world.put(
        "memberships", facilityId=world.facility, replacedBy=None, limitations={"classesIncluded": True}
    )
    until = datetime(soon.year, soon.month, soon.day, tzinfo=UTC) + timedelta(days=30)
    await world.put(
        "member_subscriptions", userId=waiting, facilityId=world.facility, membershipId=plan, status="active",
        startDate=DAY, endDate=until, subscriptionId=str(uuid4()), cancelledAt=None, cancellationReason=None,
    )  # fmt: skip
    coach, _ = await person(world, role=["coach"])
    relation = await world.put(
        "coach_clients", coachId=coach, clientId=user, relationship={"status": "active", "startDate": now}
    )
    session = await world.put(
        "pt_sessions", coachId=coach, clientId=user, facilityId=None, startTime=soon, endTime=soon + timedelta(hours=1),
        status="scheduled", cancelledAt=None, cancellationReason=None, cancelledBy=None,
    )  # fmt: skip
    await package(world, relation, coach, user)
    await moves(world, relation, "grant", 5)
    await moves(world, relation, "reserve", 1, session)
    entry = {"userId": user, "role": "reception", "permissions": [], "joinedAt": now}
    await world.database["facilities"].update_one({"_id": world.facility}, {"$set": {"staff": [entry]}})
    asked = (await client.data(ERASE, {"i": {"password": PASSWORD}}))["requestErasure"]["request"]
    assert await work.carry_out(world.desk, UUID(asked["id"]), now=now + timedelta(days=15))

    place = await world.database["class_occurrences"].find_one({"_id": date})
    assert (place["seatsTaken"], place["waitlisted"]) == (1, 0)
    assert (await world.database["class_bookings"].find_one({"_id": second}))["status"] == "booked"
    assert (await world.database["pt_sessions"].find_one({"_id": session}))["status"] == "cancelled"
    balance = await world.rows("SELECT * FROM finance.package_balances WHERE package_id = $1", str(relation))
    assert (balance[0]["reserved"], balance[0]["remaining"]) == (0, 5)
    assert (await world.database["coach_clients"].find_one({"_id": relation}))["relationship"]["status"] == "ended"
    assert (await world.database["facilities"].find_one({"_id": world.facility}))["staff"] == []
    told = await world.database["outbox"].distinct("eventType", {"aggregateId": {"$in": [str(second), str(user)]}})
    assert told


async def test_nothing_else_of_what_is_issued_can_change(world: World) -> None:
    """Not for somebody who is erased either, and for nobody else at all."""
    row = (await world.rows("SELECT invoice_id, user_id FROM finance.invoices WHERE status = 'paid' LIMIT 1"))[0]
    assert await world.rows("SELECT platform.is_erased($1) AS is", row["user_id"]) == [(True,)]
    for change in ("invoice_data = '{}'", "invoice_data = finance.without_buyer(invoice_data), due_date = '2030-01-01'",
                   "user_id = '65f000000000000000000001'"):  # fmt: skip
        with pytest.raises(StoreError, match="RestrictViolation"):
            await world.rows(f"UPDATE finance.invoices SET {change} WHERE invoice_id = $1", row["invoice_id"])
    with pytest.raises(StoreError, match="RestrictViolation"):
        await world.rows("UPDATE finance.credit_notes SET reason = 'another'")
    gone = "previous_state = NULL, new_state = NULL, state_salt = NULL"
    for change in (f"{gone}, state_digest = sha256('x')", gone, "action = 'x', state_digest = sha256('x')"):
        with pytest.raises(StoreError, match="RestrictViolation"):
            await world.rows(
                f"UPDATE finance.audit_logs SET {change} WHERE entry_hash IS NOT NULL AND state_digest IS NULL"
            )
    with pytest.raises(StoreError, match="nobody asked"):
        await world.rows("SELECT finance.redact_audit_entries($1, '{}', '{}')", str(world.owner))

"""Templates and programs: made, versioned, copied, gone through day by day, and reviewed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId

from nexfit.domains.training import figures
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, global_id, local, login

TEMPLATE = """id name version isPublic difficulty tags creator { id } forkedFrom { id }
    exercises { exercise { id } order superset notes defaultSets {
        kind reps repsMin repsMax weight percentOfMax restTime rpe rir tempo } }
    reviewSummary { averageRating count } reviews { rating text author { id } }"""
PROGRAM = """id name version isPublic duration creator { id } forkedFrom { id }
    schedule { day isRestDay workout { id name } notes }"""
ENROLMENT = """id name status startDate pointer programVersion restarts program { id } assignedBy { id }
    adherence { done due rate } days { day date isRestDay state workout { id } plan { version name exercises { order } }
        log { id } }"""


def mutation(name: str, input_: str, payload: str) -> str:
    return f"mutation ($i: {input_}!) {{ payload: {name}(input: $i) {{ {payload} userErrors {{ code path }} }} }}"


CREATE_TEMPLATE = mutation("createWorkoutTemplate", "CreateWorkoutTemplateInput", f"template {{ {TEMPLATE} }}")
UPDATE_TEMPLATE = mutation("updateWorkoutTemplate", "UpdateWorkoutTemplateInput", f"template {{ {TEMPLATE} }}")
COPY_TEMPLATE = mutation("copyWorkoutTemplate", "CopyInput", f"template {{ {TEMPLATE} }}")
CREATE_PROGRAM = mutation("createWorkoutProgram", "CreateWorkoutProgramInput", f"program {{ {PROGRAM} }}")
UPDATE_PROGRAM = mutation("updateWorkoutProgram", "UpdateWorkoutProgramInput", f"program {{ {PROGRAM} }}")
COPY_PROGRAM = mutation("copyWorkoutProgram", "CopyInput", f"program {{ {PROGRAM} }}")
ARCHIVE_TEMPLATE = mutation(
    "archiveWorkoutTemplate", "ArchiveWorkoutTemplateInput", "template { id version archivedAt }"
)
ARCHIVE_PROGRAM = mutation("archiveWorkoutProgram", "ArchiveWorkoutProgramInput", "program { id version archivedAt }")
REVIEW = mutation("saveReview", "SaveReviewInput", "review { rating text }")
ENROL = mutation("enrolInProgram", "EnrolInProgramInput", f"enrolment {{ {ENROLMENT} }}")
DONE = mutation("completeProgramDay", "CompleteProgramDayInput", f"enrolment {{ {ENROLMENT} }}")
SKIP = mutation("skipProgramDay", "SkipProgramDayInput", f"enrolment {{ {ENROLMENT} }}")
RESTART = mutation("restartProgram", "RestartProgramInput", f"enrolment {{ {ENROLMENT} }}")
END = mutation("endProgram", "EndProgramInput", f"enrolment {{ {ENROLMENT} }}")
LOG = """mutation ($i: SaveWorkoutLogsInput!) { payload: saveWorkoutLogs(input: $i) { results { outcome
    workout { id templateVersion template { id name } plan { version name } } userErrors { code path } } } }"""

COLLECTIONS = ("workout_templates", "workout_template_versions", "workout_programs", "program_enrolments", "reviews")


async def run(client: Client, text: str, /, **fields: Any) -> Any:
    if "idempotencyKey" not in fields and ("create" in text or "copy" in text):
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    return (await client.data(text, {"i": fields}))["payload"]


async def refused(client: Client, text: str, /, **fields: Any) -> list[tuple[str, list[str]]]:
    """Codes and paths of what a mutation is refused for."""
    if "idempotencyKey" not in fields and ("create" in text or "copy" in text):
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    answer = await client.run(text, {"i": fields})
    if answer.get("errors"):
        return [(error["extensions"]["code"], []) for error in answer["errors"]]
    return [(error["code"], error["path"]) for error in answer["data"]["payload"]["userErrors"]]


@pytest.fixture
async def people(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[tuple[Client, Client]]:
    """A coach and somebody who trains, both new; what was made meanwhile is taken back."""
    database = small_stores.mongo.database
    kept = {name: [row["_id"] async for row in database[name].find({}, {"_id": 1})] for name in COLLECTIONS}
    rated = await database["workout_templates"].find({}, {"reviews": 1}).to_list()
    _, trainer = await account(small_stores, role=["coach"])
    person, email = await account(small_stores)
    yield await login(small_http, trainer, PASSWORD), await login(small_http, email, PASSWORD)
    for name, ids in kept.items():
        await database[name].delete_many({"_id": {"$nin": ids}})
    for row in rated:
        await database["workout_templates"].update_one({"_id": row["_id"]}, {"$set": {"reviews": row["reviews"]}})
    await database["workout_logs"].delete_many({"userId": person})


@pytest.fixture
async def exercise(small_stores: Stores) -> str:
    found = await small_stores.mongo.database["exercises"].find_one({"isPublic": True})
    assert found is not None
    return global_id("Exercise", found["_id"])


def doing(exercise: str, *sets: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"exercise": exercise, "defaultSets": list(sets)}]


async def template_of(client: Client, exercise: str, **fields: Any) -> Any:
    """A template of one exercise."""
    return (await run(client, CREATE_TEMPLATE, exercises=doing(exercise), **fields))["template"]


async def test_a_template_keeps_every_prescription_and_its_versions(
    people: tuple[Client, Client], exercise: str, small_stores: Stores
) -> None:
    trainer, _ = people
    sets = [
        {"kind": "WARM_UP", "reps": 10, "weight": 20},
        {"repsMin": 6, "repsMax": 8, "percentOfMax": 75, "restTime": 120, "rpe": 8, "rir": 2, "tempo": "30X1"},
    ]
    exercises = [
        {"exercise": exercise, "superset": 1, "defaultSets": sets, "notes": "Yavaş"},
        {"exercise": exercise, "superset": 1},
    ]
    made = await run(trainer, CREATE_TEMPLATE, name="İtiş", difficulty="ADVANCED", tags=["Güç"], exercises=exercises)
    assert made["userErrors"] == []
    template = made["template"]
    assert (template["version"], template["isPublic"], template["tags"]) == (1, False, ["güç"])
    first, second = template["exercises"]
    assert [(one["order"], one["superset"]) for one in (first, second)] == [(1, 1), (2, 1)]
    shown = {name: value for name, value in first["defaultSets"][1].items() if value is not None}
    assert shown == {"kind": "WORKING", **sets[1]}
    id_ = template["id"]
    renamed = await run(trainer, UPDATE_TEMPLATE, template=id_, tags=["güç", "itiş"])
    assert renamed["template"]["version"] == 1  # nothing of what is to be done has changed
    for _ in range(2):
        changed = await run(trainer, UPDATE_TEMPLATE, template=id_, exercises=doing(exercise, {"reps": 5}))
        assert changed["template"]["version"] == 2
    database = small_stores.mongo.database
    versions = await database["workout_template_versions"].find({"templateId": ObjectId(local(id_))}).to_list()
    assert [(row["version"], len(row["exercises"])) for row in versions] == [(1, 2), (2, 1)]
    actions = [row["action"] async for row in database["audit_entries"].find({"entityId": local(id_)})]
    assert sorted(actions) == ["template.changed", "template.changed", "template.created"]


async def test_a_workout_points_to_the_version_it_was_done_by(people: tuple[Client, Client], exercise: str) -> None:
    trainer, person = people
    template = await template_of(trainer, exercise, name="A", isPublic=True)
    now = datetime.now(UTC)

    def sent(client_id: str, **more: Any) -> dict[str, Any]:
        begun = {"clientId": client_id, "revision": 1, "editedAt": now.isoformat(), "startTime": now.isoformat()}
        return {**begun, "template": template["id"], **more}

    async def logged(**fields: Any) -> Any:
        return (await run(person, LOG, logs=[sent(**fields)]))["results"][0]

    before = await logged(client_id="1")
    assert before["workout"]["templateVersion"] == 1
    await run(trainer, UPDATE_TEMPLATE, template=template["id"], name="B", exercises=doing(exercise, {"reps": 1}))
    after, late = await logged(client_id="2"), await logged(client_id="3", templateVersion=1)
    assert (after["workout"]["plan"], late["workout"]["plan"]) == (
        {"version": 2, "name": "B"},
        {"version": 1, "name": "A"},
    )
    assert after["workout"]["template"] == {"id": template["id"], "name": "B"}
    unknown = await logged(client_id="4", templateVersion=9)
    assert unknown["userErrors"] == [{"code": "NOT_FOUND", "path": ["template"]}]
    await run(trainer, UPDATE_TEMPLATE, template=template["id"], isPublic=False)
    hidden = await logged(client_id="5")
    assert hidden["userErrors"] == [{"code": "NOT_FOUND", "path": ["template"]}]
    # What a workout was done by stays with it.
    again = await logged(client_id="2", notes="?")
    assert again["outcome"] in ("UPDATED", "KEPT")


async def test_copies_are_private_and_remember_from_where(people: tuple[Client, Client], exercise: str) -> None:
    trainer, person = people
    template = (await run(trainer, CREATE_TEMPLATE, name="Kaynak", isPublic=True, exercises=doing(exercise)))[
        "template"
    ]
    both = await asyncio.gather(
        *(run(person, COPY_TEMPLATE, original=template["id"], idempotencyKey="copy") for _ in range(2))
    )
    assert both[0] == both[1]
    copied = both[0]["template"]
    assert (copied["isPublic"], copied["forkedFrom"], copied["version"]) == (False, {"id": template["id"]}, 1)
    assert copied["exercises"] == template["exercises"]
    assert copied["creator"] != template["creator"]
    mine = "{ workoutTemplates(filter: { mine: true }) { nodes { id } } }"
    assert (await person.data(mine))["workoutTemplates"]["nodes"] == [{"id": copied["id"]}]
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await trainer.data(node, {"id": copied["id"]}))["node"] is None
    program = (await run(trainer, CREATE_PROGRAM, name="P", isPublic=True, schedule=[{"workout": template["id"]}, {}]))[
        "program"
    ]
    copy = (await run(person, COPY_PROGRAM, original=program["id"]))["program"]
    assert (copy["schedule"], copy["duration"], copy["forkedFrom"]) == (program["schedule"], 2, {"id": program["id"]})


async def test_what_is_archived_is_found_and_begun_no_more_and_who_goes_by_it_goes_on(
    people: tuple[Client, Client], exercise: str, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    trainer, person = people
    _, email = await account(small_stores)
    late, guest = await login(small_http, email, PASSWORD), Client(small_http)
    template = await template_of(trainer, exercise, name="Zyklus", isPublic=True)
    days = [{"workout": template["id"]}, {}]
    program = (await run(trainer, CREATE_PROGRAM, name="Zyklus", isPublic=True, schedule=days))["program"]
    enrolment = (await run(person, ENROL, program=program["id"]))["enrolment"]
    both = ((ARCHIVE_TEMPLATE, "template", template["id"]), (ARCHIVE_PROGRAM, "program", program["id"]))
    for text, name, id_ in both:
        assert await refused(person, text, **{name: id_}) == [("FORBIDDEN", [])]
        assert await refused(guest, text, **{name: id_}) == [("UNAUTHENTICATED", [])]

    async def shown(client: Client, more: str = "") -> list[list[Any]]:
        asked = f'(filter: {{ name: "zyklus" {more} }}) {{ totalCount nodes {{ id }} }}'
        found = await client.data(f"{{ workoutTemplates{asked} workoutPrograms{asked} }}")
        assert all(one["totalCount"] == len(one["nodes"]) for one in found.values())
        return [[node["id"] for node in one["nodes"]] for one in found.values()]

    everything = [[template["id"]], [program["id"]]]
    for client in (trainer, person, guest):
        assert await shown(client) == everything
    for text, name, id_ in both:
        first, again = [(await run(trainer, text, **{name: id_}))[name] for _ in range(2)]
        assert (first, first["version"]) == (again, 1)
        assert first["archivedAt"] is not None
    for client, more in ((trainer, ""), (trainer, "mine: true"), (person, ""), (guest, ""), (person, "archived: true")):
        assert await shown(client, more) == [[], []], more
    assert await shown(trainer, "archived: true") == everything
    node = "query ($id: ID!) { node(id: $id) { id } }"
    for id_ in (template["id"], program["id"]):
        assert [(await client.data(node, {"id": id_}))["node"] for client in (trainer, late)] == [{"id": id_}, None]
    copying = ((COPY_TEMPLATE, "template", template["id"]), (COPY_PROGRAM, "program", program["id"]))
    for text, name, id_ in copying:
        assert await refused(late, text, original=id_) == [("NOT_FOUND", [name])]
        assert await refused(trainer, text, original=id_) == [("INVALID_TRANSITION", ["original"])]
        assert await refused(late, REVIEW, subject=id_, rating=5) == [("NOT_FOUND", ["subject"])]
    assert await refused(late, ENROL, program=program["id"]) == [("NOT_FOUND", ["program"])]
    assert await refused(trainer, ENROL, program=program["id"]) == [("INVALID_TRANSITION", ["program"])]
    new = {"name": "Neu", "schedule": days}
    assert await refused(late, CREATE_PROGRAM, **new) == [("NOT_FOUND", ["schedule"])]
    assert await refused(trainer, ARCHIVE_PROGRAM, program=template["id"]) == [("NOT_FOUND", ["program"])]
    # Who began it goes on and logs by it; its maker changes it and keeps what it names.
    now = datetime.now(UTC).isoformat()
    log = {"clientId": "late", "revision": 1, "editedAt": now, "startTime": now, "template": template["id"]}
    [logged] = (await run(person, LOG, logs=[log]))["results"]
    assert logged["workout"]["plan"] == {"version": 1, "name": "Zyklus"}
    done = await run(person, DONE, enrolment=enrolment["id"], day=1, workout=logged["workout"]["id"])
    [first, _] = done["enrolment"]["days"]
    assert (first["state"], first["workout"], first["plan"]["name"]) == ("DONE", {"id": template["id"]}, "Zyklus")
    assert done["enrolment"]["program"] == {"id": program["id"]}
    longer = await run(trainer, UPDATE_PROGRAM, program=program["id"], schedule=[*days, {}])
    assert longer["program"]["version"] == 2
    for text, name, id_ in both:
        back, again = [(await run(trainer, text, **{name: id_}, archived=False))[name] for _ in range(2)]
        assert (back, back["archivedAt"]) == (again, None)
    assert await shown(late) == everything
    assert (await run(late, ENROL, program=program["id"]))["userErrors"] == []
    entries = small_stores.mongo.database["audit_entries"].find({"entityId": local(template["id"])})
    actions = [entry["action"] async for entry in entries.sort("_id", 1)]
    assert sorted(actions) == ["template.archived", "template.created", "template.taken_back"]


async def test_what_is_refused_writes_nothing(
    people: tuple[Client, Client], exercise: str, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    trainer, person = people
    database = small_stores.mongo.database
    private = (await run(trainer, CREATE_TEMPLATE, name="Gizli", exercises=doing(exercise)))["template"]["id"]
    public = (await run(trainer, CREATE_TEMPLATE, name="Açık", isPublic=True, exercises=doing(exercise)))["template"][
        "id"
    ]
    own = ObjectId()
    user = ObjectId(local((await person.data("{ viewer { id } }"))["viewer"]["id"]))
    await database["exercises"].insert_one(
        {"_id": own, "name": "Kendi", "nameFolded": "kendi", "isPublic": False, "createdBy": user}
    )
    program = (await run(trainer, CREATE_PROGRAM, name="P", isPublic=True, schedule=[{"workout": public}]))["program"][
        "id"
    ]
    empty = (await run(trainer, CREATE_PROGRAM, name="Boş", isPublic=True))["program"]["id"]
    enrolment = (await run(person, ENROL, program=program))["enrolment"]["id"]
    nobody = global_id("WorkoutTemplate", ObjectId())

    async def state() -> list[int]:
        return [await database[name].count_documents({}) for name in (*COLLECTIONS, "audit_entries", "outbox")]

    before = await state()
    for client, text, fields, expected in (
        (trainer, CREATE_TEMPLATE, {"name": ""}, ("BAD_USER_INPUT", ["name"])),
        (trainer, CREATE_TEMPLATE, {"name": "x", "exercises": doing("?")}, ("NOT_FOUND", ["exercises"])),
        (
            trainer,
            CREATE_TEMPLATE,
            {"name": "x", "exercises": doing(global_id("Exercise", own))},
            ("NOT_FOUND", ["exercises"]),
        ),
        (
            trainer,
            CREATE_TEMPLATE,
            {"name": "x", "exercises": doing(exercise, {"reps": 5, "repsMin": 1})},
            ("BAD_USER_INPUT", ["exercises", "0", "defaultSets", "0"]),
        ),
        (
            trainer,
            CREATE_TEMPLATE,
            {"name": "x", "exercises": doing(exercise, {"repsMin": 8, "repsMax": 6})},
            ("BAD_USER_INPUT", ["exercises", "0", "defaultSets", "0"]),
        ),
        (person, CREATE_TEMPLATE, {"name": "x", "isPublic": True}, ("FORBIDDEN", [])),
        (person, UPDATE_TEMPLATE, {"template": public, "name": "x"}, ("FORBIDDEN", [])),
        (person, UPDATE_TEMPLATE, {"template": private, "name": "x"}, ("NOT_FOUND", ["template"])),
        (person, COPY_TEMPLATE, {"original": private}, ("NOT_FOUND", ["template"])),
        (person, COPY_TEMPLATE, {"original": nobody}, ("NOT_FOUND", ["template"])),
        (trainer, CREATE_PROGRAM, {"name": "x", "schedule": [{"workout": nobody}]}, ("NOT_FOUND", ["schedule"])),
        (
            trainer,
            CREATE_PROGRAM,
            {"name": "x", "isPublic": True, "schedule": [{"workout": private}]},
            ("BAD_USER_INPUT", ["schedule"]),
        ),
        (trainer, CREATE_PROGRAM, {"name": "x", "schedule": [{}] * 366}, ("BAD_USER_INPUT", ["schedule"])),
        (person, ENROL, {"program": nobody}, ("NOT_FOUND", ["program"])),
        (person, ENROL, {"program": empty}, ("BAD_USER_INPUT", ["program"])),
        (trainer, ENROL, {"program": program, "user": global_id("User", user)}, ("NOT_FOUND", ["user"])),
        (person, DONE, {"enrolment": enrolment, "day": 2}, ("INVALID_TRANSITION", ["day"])),
        (person, DONE, {"enrolment": enrolment, "day": 0}, ("INVALID_TRANSITION", ["day"])),
        (
            person,
            DONE,
            {"enrolment": enrolment, "day": 1, "workout": global_id("WorkoutLog", ObjectId())},
            ("NOT_FOUND", ["workout"]),
        ),
        *((trainer, text, {"enrolment": enrolment, "day": 1}, ("NOT_FOUND", ["enrolment"])) for text in (DONE, SKIP)),
        *((trainer, text, {"enrolment": enrolment}, ("NOT_FOUND", ["enrolment"])) for text in (RESTART, END)),
        (trainer, REVIEW, {"subject": public, "rating": 5}, ("FORBIDDEN", [])),
        (person, REVIEW, {"subject": private, "rating": 5}, ("NOT_FOUND", ["subject"])),
        (person, REVIEW, {"subject": exercise, "rating": 5}, ("NOT_FOUND", ["subject"])),
        (person, REVIEW, {"subject": public, "rating": 6}, ("BAD_USER_INPUT", ["rating"])),
    ):
        assert await refused(client, text, **fields) == [expected], fields
    assert await state() == before
    await database["exercises"].delete_one({"_id": own})


async def test_a_program_is_gone_through_day_by_day(people: tuple[Client, Client], exercise: str) -> None:
    trainer, person = people
    template = await template_of(trainer, exercise, name="A", isPublic=True)
    days = [{"workout": template["id"]}, {"notes": "Dinlen"}, {"workout": template["id"]}]
    program = (await run(trainer, CREATE_PROGRAM, name="Üç gün", isPublic=True, schedule=days))["program"]
    start = datetime.now(UTC).date() - timedelta(days=2)
    both = await asyncio.gather(*(run(person, ENROL, program=program["id"], startDate=str(start)) for _ in range(4)))
    assert all(one == both[0] for one in both)
    enrolment = both[0]["enrolment"]
    assert (enrolment["status"], enrolment["pointer"], enrolment["assignedBy"]) == ("ACTIVE", 1, None)
    assert [(one["date"], one["isRestDay"]) for one in enrolment["days"]] == [
        (str(start + timedelta(days=offset)), offset == 1) for offset in range(3)
    ]
    assert enrolment["adherence"] == {"done": 0, "due": 2, "rate": 0.0}
    # The program changes; who is on the way goes on as it was.
    await run(trainer, UPDATE_TEMPLATE, template=template["id"], exercises=doing(exercise, {"reps": 3}))
    await run(trainer, UPDATE_PROGRAM, program=program["id"], schedule=[{}])
    now = datetime.now(UTC).isoformat()
    log = {"clientId": "day1", "revision": 1, "editedAt": now, "startTime": now, "template": template["id"]}
    [logged] = (await run(person, LOG, logs=[log]))["results"]
    done = {"enrolment": enrolment["id"], "day": 1, "workout": logged["workout"]["id"]}
    after = (await run(person, DONE, **done))["enrolment"]
    assert (after["pointer"], after["days"][0]["state"], after["days"][0]["plan"]["version"]) == (2, "DONE", 1)
    assert after["days"][0]["log"] == {"id": logged["workout"]["id"]}
    assert (await run(person, DONE, **done))["enrolment"] == after
    assert await refused(person, SKIP, enrolment=enrolment["id"], day=1) == [("INVALID_TRANSITION", ["day"])]
    assert (await run(person, DONE, enrolment=enrolment["id"], day=2))["enrolment"]["pointer"] == 3
    over = (await run(person, SKIP, enrolment=enrolment["id"], day=3))["enrolment"]
    assert (over["status"], over["pointer"]) == ("COMPLETED", 4)
    assert over["adherence"] == {"done": 1, "due": 2, "rate": 0.5}
    progress = f"""{{ viewer {{ progress(from: "{start}", to: "{start + timedelta(days=5)}") {{
        adherence {{ done due rate }} }} }} }}"""
    assert (await person.data(progress))["viewer"]["progress"]["adherence"] == over["adherence"]
    assert await refused(person, END, enrolment=enrolment["id"]) == [("INVALID_TRANSITION", ["enrolment"])]
    anew = {"enrolment": enrolment["id"], "startDate": str(start)}
    fresh = (await run(person, RESTART, **anew))["enrolment"]
    assert (fresh["status"], fresh["pointer"], fresh["restarts"]) == ("ACTIVE", 1, 1)
    assert {one["state"] for one in fresh["days"]} == {"PENDING"}
    assert (await run(person, RESTART, **anew))["enrolment"] == fresh
    ended = (await run(person, END, enrolment=enrolment["id"]))["enrolment"]
    assert ended["status"] == "ENDED"
    assert (await run(person, END, enrolment=enrolment["id"]))["enrolment"] == ended
    assert await refused(person, DONE, enrolment=enrolment["id"], day=1) == [("INVALID_TRANSITION", ["enrolment"])]
    lists = "{ viewer { programEnrolments(status: ENDED) { totalCount nodes { id } } } }"
    assert (await person.data(lists))["viewer"]["programEnrolments"]["nodes"] == [{"id": enrolment["id"]}]


async def test_a_coach_begins_a_program_for_a_client_who_lets_them(
    small_http: httpx.AsyncClient, people: tuple[Client, Client], exercise: str, small_stores: Stores
) -> None:
    coach, member = await login(small_http, "coach@demo.nexfit.app"), await login(small_http, "client@demo.nexfit.app")
    template = (await run(coach, CREATE_TEMPLATE, name="Özel", exercises=doing(exercise)))["template"]
    program = (await run(coach, CREATE_PROGRAM, name="Sana", schedule=[{"workout": template["id"]}]))["program"]
    client = (await member.data("{ viewer { id } }"))["viewer"]["id"]
    begun = (await run(coach, ENROL, program=program["id"], user=client))["enrolment"]
    assert begun["assignedBy"] == (await coach.data("{ viewer { id } }"))["viewer"]
    # The client sees it, and logs by its template, which nobody else finds.
    seen = await member.data("{ viewer { programEnrolments(first: 1) { nodes { id days { plan { name } } } } } }")
    assert seen["viewer"]["programEnrolments"]["nodes"] == [{"id": begun["id"], "days": [{"plan": {"name": "Özel"}}]}]
    now = datetime.now(UTC).isoformat()
    log = {"clientId": "ozel", "revision": 1, "editedAt": now, "startTime": now, "template": template["id"]}
    [logged] = (await run(member, LOG, logs=[log]))["results"]
    assert logged["workout"]["plan"] == {"version": 1, "name": "Özel"}
    query = "query ($id: ID!) { node(id: $id) { id } }"
    assert (await coach.data(query, {"id": begun["id"]}))["node"] == {"id": begun["id"]}
    for stranger in (people[1], Client(small_http)):
        assert (await stranger.data(query, {"id": begun["id"]}))["node"] is None
    await small_stores.mongo.database["workout_logs"].delete_one({"_id": ObjectId(local(logged["workout"]["id"]))})


async def test_each_person_reviews_once_and_the_average_follows(
    people: tuple[Client, Client], exercise: str, small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    trainer, person = people
    template = (await run(trainer, CREATE_TEMPLATE, name="R", isPublic=True, exercises=doing(exercise)))["template"][
        "id"
    ]
    others = [await login(small_http, (await account(small_stores))[1], PASSWORD) for _ in range(5)]
    ratings = (5, 4, 4, 3, 1)
    await asyncio.gather(
        *(run(client, REVIEW, subject=template, rating=rating) for client, rating in zip(others, ratings, strict=True)),
        *(run(person, REVIEW, subject=template, rating=2, text="Kısa") for _ in range(3)),
    )
    query = f"query ($id: ID!) {{ node(id: $id) {{ ... on WorkoutTemplate {{ {TEMPLATE} }} }} }}"
    node = (await person.data(query, {"id": template}))["node"]
    assert node["reviewSummary"] == {"averageRating": round(19 / 6, 2), "count": 6}
    assert sorted(one["rating"] for one in node["reviews"]) == [1, 2, 3, 4, 4, 5]
    await run(person, REVIEW, subject=template, rating=5)
    node = (await person.data(query, {"id": template}))["node"]
    assert node["reviewSummary"] == {"averageRating": round(22 / 6, 2), "count": 6}
    assert [one["text"] for one in node["reviews"] if one["text"]] == []


def test_due_days_are_the_training_days_of_the_range_until_a_program_ends() -> None:
    def enrolment(*states: str, ended: date | None = None) -> dict[str, Any]:
        days = [{"day": n, "isRestDay": one == "rest", "state": one} for n, one in enumerate(states, 1)]
        row: dict[str, Any] = {"startDate": datetime(2026, 6, 1, tzinfo=UTC), "days": days}
        return row | ({"endedAt": datetime(ended.year, ended.month, ended.day, tzinfo=UTC)} if ended else {})

    whole = enrolment("done", "rest", "skipped", "done", "pending")
    first, last = date(2026, 6, 1), date(2026, 6, 5)
    assert figures.program_days([whole], first, last) == (2, 4)
    assert figures.program_days([whole], first, date(2026, 6, 3)) == (1, 2)
    assert figures.program_days([whole], date(2026, 6, 4), last) == (1, 2)
    # What was left is due no more; what was done before stays done.
    left = enrolment("done", "pending", "pending", ended=date(2026, 6, 2))
    assert figures.program_days([left, whole], first, last) == (3, 5)
    assert figures.program_days([], first, last) == (0, 0)

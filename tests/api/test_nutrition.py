"""Foods, plans and the diary: found, verified, added up from the foods as they are, and held against targets."""

from __future__ import annotations

import asyncio
import csv
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from bson import ObjectId
from hypothesis import given
from hypothesis import strategies as st

from nexfit.domains.nutrition import figures, foods
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations.importers import import_foods
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, global_id, local, login

DATA = Path(__file__).parents[2].parent / "shared" / "data"

NUTRIENTS = "calories protein carbs fat fiber sugar sodium"
FOOD = (
    f"id name category verification isVerified nutrients {{ {NUTRIENTS} }} servings {{ name grams }} creator {{ id }}"
)
PLAN = f"""id name isTemplate isPublic forUser {{ id }} target {{ calories protein carbs fat }} contents {{
    meals {{ name time portions {{ food {{ id }} quantity unit grams contains {{ calories protein }} }}
        totals {{ {NUTRIENTS} }} }} totals {{ {NUTRIENTS} }} error {{ calories protein carbs fat worst }} }}"""
ENTRY = "id meal quantity unit grams contains { calories protein } food { id }"


def mutation(name: str, input_: str, payload: str) -> str:
    return f"mutation ($i: {input_}!) {{ payload: {name}(input: $i) {{ {payload} userErrors {{ code path }} }} }}"


CREATE = mutation("createFood", "CreateFoodInput", f"food {{ {FOOD} }}")
UPDATE = mutation("updateFood", "UpdateFoodInput", f"food {{ {FOOD} }}")
SUBMIT = mutation("submitFood", "SubmitFoodInput", f"food {{ {FOOD} }}")
WRITE = mutation("createNutritionPlan", "CreateNutritionPlanInput", f"plan {{ {PLAN} }}")
REWRITE = mutation("updateNutritionPlan", "UpdateNutritionPlanInput", f"plan {{ {PLAN} }}")
ASSIGN = mutation("assignNutritionPlan", "AssignNutritionPlanInput", f"plan {{ {PLAN} }}")
EAT = mutation("logFood", "LogFoodInput", f"entry {{ {ENTRY} }}")
TAKE_BACK = mutation("deleteDiaryEntry", "DeleteDiaryEntryInput", "deletedId")
KEYED = (CREATE, WRITE, ASSIGN, EAT)
FIND = "query ($f: FoodsFilter) { foods(first: 100, filter: $f) { totalCount nodes { id name } } }"
DIARY = f"""query ($from: Date!, $to: Date!) {{ viewer {{ foodDiary(from: $from, to: $to) {{ day plan
    entries {{ {ENTRY} }} totals {{ calories protein }} target {{ calories protein }}
    error {{ calories protein worst }} }} }} }}"""
OATS = {"name": "Zürafa Yulafı", "calories": 370, "protein": 13, "carbs": 60, "fat": 7, "fiber": 10}
COLLECTIONS = ("foods", "nutrition_plans", "food_diary")


async def run(client: Client, text: str, /, **fields: Any) -> Any:
    if text in KEYED:
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    return (await client.data(text, {"i": fields}))["payload"]


async def refused(client: Client, text: str, /, **fields: Any) -> list[tuple[str, list[str]]]:
    """Codes and paths of what a mutation is refused for."""
    if text in KEYED:
        fields = {"idempotencyKey": str(ObjectId()), **fields}
    answer = await client.run(text, {"i": fields})
    if answer.get("errors"):
        return [(error["extensions"]["code"], []) for error in answer["errors"]]
    return [(error["code"], error["path"]) for error in answer["data"]["payload"]["userErrors"]]


async def found(client: Client, **filter: Any) -> list[str]:
    data = (await client.data(FIND, {"f": filter}))["foods"]
    assert data["totalCount"] == len(data["nodes"]) or data["totalCount"] > 100
    return [node["name"] for node in data["nodes"]]


@pytest.fixture
async def people(small_http: httpx.AsyncClient, small_stores: Stores) -> AsyncIterator[tuple[Client, Client]]:
    """A coach and somebody who eats, both new; what was made meanwhile is taken back."""
    database = small_stores.mongo.database
    kept = {name: [row["_id"] async for row in database[name].find({}, {"_id": 1})] for name in COLLECTIONS}
    _, trainer = await account(small_stores, role=["coach"])
    _, email = await account(small_stores)
    yield await login(small_http, trainer, PASSWORD), await login(small_http, email, PASSWORD)
    for name, ids in kept.items():
        await database[name].delete_many({"_id": {"$nin": ids}})


# --- foods


async def test_foods_are_found_by_words_with_slips_in_few_commands(guest: Client, stores: Stores) -> None:
    row = await stores.mongo.database["foods"].find_one({"nameFolded": {"$regex": "^yulaf"}}) or {}
    assert row["name"] in await found(guest, text="yulaf")
    assert await found(guest, text="yulfa") == await found(guest, text="yulaf")
    assert await found(guest, text="xqzwv") == []
    assert set(await found(guest, category=row["category"])) >= {row["name"]}
    assert await found(guest, verified=False) == []
    _, log = await guest.counted('{ foods(filter: { text: "yulaf" }) { nodes { name } } }')
    assert (log.count("mongo"), log.count("postgres")) == (2, 0)


async def test_a_food_is_its_makers_until_an_operator_verifies_it(
    people: tuple[Client, Client], small_stores: Stores
) -> None:
    trainer, person = people
    made = (await run(person, CREATE, **OATS, servings=[{"name": "kase", "grams": 45}]))["food"]
    assert (made["verification"], made["isVerified"]) == ("DRAFT", False)
    id_ = ObjectId(local(made["id"]))
    node = "query ($id: ID!) { node(id: $id) { id } }"
    assert await found(person, text="zurafa") == await found(person, mine=True) == [OATS["name"]]
    assert await found(trainer, text="zurafa") == []
    assert (await trainer.data(node, {"id": made["id"]}))["node"] is None
    units, now = UnitsOfWork(small_stores, _no_purge), datetime.now(UTC)
    with pytest.raises(foods.NotThisFood):
        await foods.decide(units, id_, verified=True, now=now)  # nobody asked
    for _ in range(2):
        assert (await run(person, SUBMIT, food=made["id"]))["food"]["verification"] == "SUBMITTED"
    assert [row["_id"] for row in await foods.submitted(small_stores.mongo, 10)] == [id_]
    await foods.decide(units, id_, verified=False, now=now)
    changed = (await run(person, UPDATE, food=made["id"], fiber=11))["food"]
    assert (changed["verification"], changed["nutrients"]["fiber"]) == ("DRAFT", 11.0)
    await run(person, SUBMIT, food=made["id"])
    for _ in range(2):
        await foods.decide(units, id_, verified=True, now=now)
    assert await found(trainer, text="zurfaa") == [OATS["name"]]
    assert (await trainer.data(node, {"id": made["id"]}))["node"] == {"id": made["id"]}
    assert await refused(person, UPDATE, food=made["id"], fiber=1) == [("INVALID_TRANSITION", ["food"])]
    assert await refused(person, SUBMIT, food=made["id"]) == [("INVALID_TRANSITION", ["food"])]
    actions = [row["action"] async for row in small_stores.mongo.database["audit_entries"].find({"entityId": str(id_)})]
    assert sorted(actions) == sorted(
        ["food.saved", "food.submitted", "food.rejected", "food.saved", "food.submitted", "food.verified"]
    )


async def _no_purge(_: object) -> None:
    """Cache tags are not what is tested here."""


async def test_substitutes_have_the_same_energy_and_the_most_alike_macros(guest: Client, stores: Stores) -> None:
    rows = await stores.mongo.database["foods"].find({"nutrients.calories": {"$gt": 0}}).to_list()
    food = max(rows, key=lambda row: sum(other["category"] == row["category"] for other in rows))
    query = "query ($id: ID!) { foodSubstitutes(food: $id, grams: 80) { grams difference food { id name category } } }"
    shown = (await guest.data(query, {"id": global_id("Food", food["_id"])}))["foodSubstitutes"]
    assert 1 < len(shown) <= 10
    assert [one["difference"] for one in shown] == sorted(one["difference"] for one in shown)
    by_id = {global_id("Food", row["_id"]): row for row in rows}
    for one in shown:
        other = by_id[one["food"]["id"]]
        assert other["category"] == food["category"] != other["_id"]
        assert other["nutrients"]["calories"] * one["grams"] == pytest.approx(
            food["nutrients"]["calories"] * 80, rel=0.01, abs=5
        )
    assert (await guest.data(query, {"id": global_id("Food", ObjectId())}))["foodSubstitutes"] == []


# --- plans


async def test_a_plan_adds_up_from_the_foods_as_they_are(people: tuple[Client, Client]) -> None:
    _, person = people
    oats = (await run(person, CREATE, **OATS, servings=[{"name": "kase", "grams": 45}]))["food"]["id"]
    me = (await person.data("{ viewer { id } }"))["viewer"]["id"]
    portions = [{"food": oats, "quantity": 50}, {"food": oats, "quantity": 2, "unit": "kase"}]
    written = await run(
        person,
        WRITE,
        name="Sabah",
        user=me,
        calories=500,
        protein=30,
        meals=[{"name": "Kahvaltı", "time": "08:00", "portions": portions}, {"name": "Boş"}],
    )
    assert written["userErrors"] == []
    plan = written["plan"]
    contents = plan["contents"]
    assert [one["grams"] for one in contents["meals"][0]["portions"]] == [50.0, 90.0]
    assert contents["totals"] == contents["meals"][0]["totals"]
    assert contents["totals"]["calories"] == pytest.approx(370 * 1.4)
    assert contents["error"] == {
        "calories": pytest.approx(18.0),
        "protein": pytest.approx(-11.8),
        "carbs": None,
        "fat": None,
        "worst": pytest.approx(11.8 / 30, abs=0.0001),
    }
    await run(person, UPDATE, food=oats, calories=400)
    node = f"query ($id: ID!) {{ node(id: $id) {{ ... on NutritionPlan {{ {PLAN} }} }} }}"
    again = (await person.data(node, {"id": plan["id"]}))["node"]
    assert again["contents"]["totals"]["calories"] == pytest.approx(400 * 1.4)
    query = f"{{ viewer {{ nutritionPlans(first: 20) {{ nodes {{ {PLAN} }} }} }} }}"
    _, log = await person.counted(query)
    assert (log.count("mongo"), log.count("postgres")) == (5, 0)  # viewer, plans, whom for, their foods, and by name


async def test_templates_are_public_by_coaches_and_assigned_to_clients_who_let_them(
    people: tuple[Client, Client], small_http: httpx.AsyncClient
) -> None:
    trainer, person = people
    coach, member = await login(small_http, "coach@demo.nexfit.app"), await login(small_http, "client@demo.nexfit.app")
    client = (await member.data("{ viewer { id } }"))["viewer"]["id"]
    template = (await run(trainer, WRITE, name="Şablon", isTemplate=True, isPublic=True, calories=2000))["plan"]
    assigned = await asyncio.gather(
        *(run(coach, ASSIGN, template=template["id"], user=client, idempotencyKey="assign") for _ in range(2))
    )
    assert assigned[0] == assigned[1]
    plan = assigned[0]["plan"]
    assert (plan["forUser"], plan["isTemplate"], plan["isPublic"]) == ({"id": client}, False, False)
    own = await member.data("{ viewer { nutritionPlans(first: 1) { nodes { id } } } }")
    assert own["viewer"]["nutritionPlans"]["nodes"] == [{"id": plan["id"]}]
    node = "query ($id: ID!) { node(id: $id) { id } }"
    for who, seen in ((coach, True), (member, True), (person, False), (trainer, False), (Client(small_http), False)):
        assert ((await who.data(node, {"id": plan["id"]}))["node"] is not None) == seen
    mine = (await run(person, ASSIGN, template=template["id"]))["plan"]
    assert mine["forUser"] == (await person.data("{ viewer { id } }"))["viewer"]
    assert await refused(trainer, ASSIGN, template=template["id"], user=client) == [("NOT_FOUND", ["user"])]
    assert await refused(person, ASSIGN, template=plan["id"]) == [("NOT_FOUND", ["template"])]


# --- diary


async def test_a_diary_adds_up_by_day_against_the_plan(people: tuple[Client, Client]) -> None:
    _, person = people
    oats = (await run(person, CREATE, **OATS))["food"]["id"]
    me = (await person.data("{ viewer { id } }"))["viewer"]["id"]
    await run(person, WRITE, name="Eski", user=me, calories=1)
    await run(person, WRITE, name="Plan", user=me, calories=400, protein=13)
    both = [
        await run(person, EAT, food=oats, quantity=100, day="2026-06-01", meal="Sabah", idempotencyKey="e")
        for _ in "ab"
    ]
    assert both[0] == both[1]
    await run(person, EAT, food=oats, quantity=0.05, unit="kg", day="2026-06-01")
    later = (await run(person, EAT, food=oats, quantity=10, day="2026-06-02"))["entry"]
    await run(person, UPDATE, food=oats, calories=1)  # what was eaten stays what it was
    dates = {"from": "2026-06-01", "to": "2026-06-30"}
    data, log = await person.counted(DIARY, dates)
    assert (log.count("mongo"), log.count("postgres")) == (4, 0)  # viewer, diary, plan, foods
    first, second = data["viewer"]["foodDiary"]
    assert (first["day"], first["plan"], len(first["entries"])) == ("2026-06-01", "Plan", 2)
    assert first["totals"] == {"calories": 555.0, "protein": 19.5}
    assert first["error"] == {"calories": 155.0, "protein": 6.5, "worst": 0.5}
    assert second["totals"]["calories"] == 37.0
    assert (await run(person, TAKE_BACK, entry=later["id"]))["deletedId"] == later["id"]
    assert await refused(person, TAKE_BACK, entry=later["id"]) == [("NOT_FOUND", ["entry"])]
    assert len((await person.data(DIARY, dates))["viewer"]["foodDiary"]) == 1


async def test_a_diary_is_for_the_person_and_a_coach_they_let(coach: Client, member: Client, owner: Client) -> None:
    me = (await member.data("{ viewer { id } }"))["viewer"]["id"]
    query = """query ($id: ID!) { node(id: $id) { ... on User { firstName nutritionPlans(first: 2) { totalCount }
        foodDiary(from: "2026-06-01", to: "2026-06-15") { day } } } }"""
    assert (await coach.data(query, {"id": me}))["node"]["nutritionPlans"]["totalCount"] >= 1
    node = (await owner.data(query, {"id": me}))["node"]
    assert (node["firstName"], node["nutritionPlans"], node["foodDiary"]) == ("Ece", None, None)


async def test_what_is_refused_writes_nothing(
    people: tuple[Client, Client], small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    trainer, person = people
    database = small_stores.mongo.database
    hers = (await run(trainer, CREATE, **OATS))["food"]["id"]
    mine = (await run(person, CREATE, **OATS))["food"]["id"]
    plan = (await run(trainer, WRITE, name="Gizli", isTemplate=True))["plan"]["id"]
    public = (await run(trainer, WRITE, name="Açık", isTemplate=True, isPublic=True))["plan"]["id"]
    client = global_id("User", ObjectId())

    async def state() -> list[int]:
        names = (*COLLECTIONS, "audit_entries", "outbox", "vocabulary")
        return [await database[name].count_documents({}) for name in names]

    def meal(food: str, **more: Any) -> list[dict[str, Any]]:
        return [{"name": "m", "portions": [{"food": food, "quantity": 1, **more}]}]

    before = await state()
    ahead, late = str((datetime.now(UTC) + timedelta(days=5)).date()), [{"name": "m", "time": "25:00"}]
    for who, text, fields, expected in (
        (person, CREATE, {**OATS, "name": ""}, ("BAD_USER_INPUT", ["name"])),
        (person, CREATE, {**OATS, "fat": None}, ("BAD_USER_INPUT", ["fat"])),
        (person, CREATE, {**OATS, "fat": 60}, ("BAD_USER_INPUT", ["protein"])),
        (person, CREATE, {**OATS, "calories": 901}, ("BAD_USER_INPUT", ["calories"])),
        (person, UPDATE, {"food": hers, "fat": 1}, ("NOT_FOUND", ["food"])),
        (person, SUBMIT, {"food": hers}, ("NOT_FOUND", ["food"])),
        (person, WRITE, {"name": "x", "meals": meal(hers)}, ("NOT_FOUND", ["meals"])),
        (person, WRITE, {"name": "x", "meals": meal(mine, unit="fıçı")}, ("BAD_USER_INPUT", ["meals"])),
        (
            person,
            WRITE,
            {"name": "x", "meals": late},
            ("BAD_USER_INPUT", ["meals", "0", "time"]),
        ),
        (person, WRITE, {"name": "x", "user": client}, ("NOT_FOUND", ["user"])),
        (person, WRITE, {"name": "x", "isTemplate": True, "isPublic": True}, ("FORBIDDEN", [])),
        (trainer, WRITE, {"name": "x", "isPublic": True}, ("BAD_USER_INPUT", ["isPublic"])),
        (person, REWRITE, {"plan": plan, "name": "x"}, ("NOT_FOUND", ["plan"])),
        (person, REWRITE, {"plan": public, "name": "x"}, ("FORBIDDEN", [])),
        (person, ASSIGN, {"template": plan}, ("NOT_FOUND", ["template"])),
        (person, EAT, {"food": hers, "quantity": 1, "day": "2026-06-01"}, ("NOT_FOUND", ["food"])),
        (person, EAT, {"food": mine, "quantity": 0, "day": "2026-06-01"}, ("BAD_USER_INPUT", ["quantity"])),
        (person, EAT, {"food": mine, "quantity": 1, "day": ahead}, ("BAD_USER_INPUT", ["day"])),
        (person, EAT, {"food": mine, "quantity": 1, "unit": "x", "day": "2026-06-01"}, ("BAD_USER_INPUT", ["food"])),
    ):
        assert await refused(who, text, **fields) == [expected], fields
    guest = Client(small_http)
    assert await refused(guest, CREATE, **OATS) == [("UNAUTHENTICATED", [])]
    assert await state() == before


# --- figures


async def test_macros_of_the_real_foods_equal_an_independent_computation(small_stores: Stores, people: Any) -> None:
    _, person = people
    path = DATA / "fndds-2017-2018-nutrient-values.csv"
    if not path.is_file():
        pytest.skip(f"the real input files are not here: {path} does not exist")
    await import_foods(small_stores, path)
    with path.open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    names = [" ".join(cell.split()) for cell in header]
    columns = [names.index(name) for name in ("Energy (kcal)", "Protein (g)", "Carbohydrate (g)", "Total Fat (g)")]
    chosen = rows[::700][:10]
    found = small_stores.mongo.database["foods"].find({"sourceId": {"$in": [row[0] for row in chosen]}})
    ids = {row["sourceId"]: global_id("Food", row["_id"]) async for row in found}
    grams = [37.5 * (place + 1) for place in range(len(chosen))]
    portions = [{"food": ids[row[0]], "quantity": grams[place]} for place, row in enumerate(chosen)]
    plan = (await run(person, WRITE, name="FNDDS", meals=[{"name": "m", "portions": portions}]))["plan"]
    for name, column in zip(("calories", "protein", "carbs", "fat"), columns, strict=True):
        expected = sum(float(row[column]) * grams[place] / 100 for place, row in enumerate(chosen))
        assert plan["contents"]["totals"][name] == pytest.approx(expected, abs=0.01)
    first = chosen[0][1].split(",")[0]
    assert any(first.lower() in name.lower() for name in await found_names(person, first))


async def found_names(client: Client, text: str) -> list[str]:
    """Names of the first hundred foods found by a text."""
    nodes = (await client.data(FIND, {"f": {"text": text}}))["foods"]["nodes"]
    return [node["name"] for node in nodes]


@given(st.lists(st.tuples(st.floats(0, 900), st.floats(0.1, 2000)), max_size=20))
def test_totals_are_sums_of_portions(entries: list[tuple[float, float]]) -> None:
    def food(energy: float) -> dict[str, Any]:
        return {"nutrients": {"calories": energy, "protein": 1.0, "carbs": 2.0, "fat": 3.0}}

    portions = [figures.nutrients_in(grams, food(energy)) for energy, grams in entries]
    total = figures.total(portions)
    assert total["calories"] == pytest.approx(sum(energy * grams / 100 for energy, grams in entries), abs=0.1)
    assert "fiber" not in total


def test_units_errors_and_likeness_by_hand() -> None:
    milk = {"nutrients": {"servingSize": 200, "servingUnit": "ml"}, "servings": [{"name": "yudum", "grams": 15}]}
    for quantity, unit, grams in (
        (2, "serving", 400),
        (3, "yudum", 45),
        (1, "kg", 1000),
        (0.5, "l", 500),
        (1, "x", None),
    ):
        assert figures.grams_of(quantity, unit, milk) == grams
    assert figures.grams_of(1, "serving", {"nutrients": {}}) is None
    error = figures.macro_error({"calories": 1800.0, "protein": 90.0}, {"calories": 2000, "protein": 100, "fat": 0})
    assert error == {"calories": -200.0, "protein": -10.0, "fat": 0.0, "worst": 0.1}
    assert figures.macro_error({}, {}) == {}
    lean = {"nutrients": {"calories": 100, "protein": 20, "carbs": 0, "fat": 2}}
    double = {"nutrients": {"calories": 200, "protein": 40, "carbs": 0, "fat": 4}}
    assert figures.likeness(lean, double) == 0
    assert figures.same_energy(100, lean, double) == 50

"""Finding facilities: distance, open doors, words, amenities, price and rating, mixed, against looking at each."""

from __future__ import annotations

import math
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.facilities.directory import COLLECTION
from nexfit.domains.facilities.hours import DAYS, is_open
from nexfit.domains.facilities.listing import refresh_all
from nexfit.domains.facilities.open_now import conditions
from nexfit.domains.text import fold, pattern_of
from nexfit.stores.commands import command_log
from tests.api.conftest import global_id
from tests.api.lists import backwards, forwards

from .conftest import Town

ZONES = (
    "Europe/Istanbul",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",
    "Africa/Cairo",
    "Asia/Kathmandu",
)
ALWAYS = [{"day": day, "openTime": "00:00", "closeTime": "00:00", "isClosed": False} for day in DAYS]
ISTANBUL = (41.0, 29.0)


# --- open doors


def hours_by(chance: Random) -> dict[str, Any]:
    """Hours of all kinds: breaks, nights, closed days, special days."""

    def clock() -> str:
        return f"{chance.randrange(24):02}:{chance.choice(('00', '15', '30', '45'))}"

    hours = [
        {"day": chance.choice(DAYS), "openTime": clock(), "closeTime": clock(), "isClosed": chance.random() < 0.1}
        for _ in range(chance.randrange(12))
    ]
    days = {chance.choice(CHANGES).date() + timedelta(days=chance.randint(-1, 1)) for _ in range(chance.randrange(3))}
    special = [
        {
            "date": datetime.combine(day, datetime.min.time(), UTC),
            **chance.choice(({}, {"openings": []}, {"openings": [{"openTime": clock(), "closeTime": clock()}]})),
        }
        for day in days
    ]
    return {"timezone": chance.choice(ZONES), "operatingHours": hours, "specialDays": special}


CHANGES = [
    datetime(2026, 3, 29, 1, tzinfo=UTC),  # Berlin goes forward
    datetime(2026, 10, 25, 1, tzinfo=UTC),  # and back
    datetime(2026, 3, 8, 7, tzinfo=UTC),  # New York
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),  # Lord Howe, by half an hour
    datetime(2026, 4, 23, 22, tzinfo=UTC),  # Cairo, at midnight
    datetime(2026, 10, 29, 21, tzinfo=UTC),
    datetime(2026, 6, 17, 12, tzinfo=UTC),  # nothing
]


async def test_the_query_opens_the_doors_the_rule_opens(town: Town) -> None:
    chance = Random(7)  # noqa: S311
    facilities = [{"_id": number, **hours_by(chance)} for number in range(150)]
    scratch = town.database["open_now"]
    await scratch.insert_many(facilities)
    try:
        seen = set()
        for change in CHANGES:
            for minutes in (-1470, -61, -1, 0, 1, 29, 31, 59, 61, 121, 1439):
                now = change + timedelta(minutes=minutes, seconds=chance.randrange(60))
                expected = {one["_id"] for one in facilities if is_open(one, now)}
                found = await scratch.find({"$or": conditions(ZONES, now)}, {"_id": 1}).to_list()
                assert {one["_id"] for one in found} == expected, now
                seen |= expected
        assert len(seen) > 100
    finally:
        await scratch.drop()


# --- letters


@pytest.mark.parametrize("word", ["Şişli", "SAUNA", "ısıtma", "Çocuk odası", "Łódź", "a.b*c", "İçecek"])
def test_a_pattern_finds_what_folds_alike(word: str) -> None:
    pattern = re.compile(f"^{pattern_of(word)}$")
    for spelled in (word, word.upper(), word.lower(), fold(word), fold(word).upper()):
        if fold(spelled) == fold(word) and len(spelled) == len(fold(word)):
            assert pattern.match(spelled), spelled
    assert not pattern.match(word + "x")
    assert not pattern.match("x" + word)


# --- the search


@dataclass(frozen=True, slots=True)
class City:
    """Facilities made for searching, all with an amenity that no other has."""

    town: Town
    tag: str
    facilities: list[dict[str, Any]]
    prices: dict[ObjectId, float]
    ratings: dict[ObjectId, float]

    def query(self, filter: str = "", order: str = "", inner: str = "edges { cursor node { id } }") -> str:
        """A page of them."""
        order = f"orderBy: {{ {order} }}" if order else ""
        return f"""query ($first: Int $after: String $last: Int $before: String) {{
          facilities(first: $first after: $after last: $last before: $before {order}
            filter: {{ amenities: ["{self.tag}"] {filter} }}) {{
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} {inner} }} }}"""

    def ids(self, key: Callable[[dict[str, Any]], Any], *, descending: bool = False, **rows: Any) -> list[str]:
        """Global ids by a key, ties by id."""
        wanted = rows.get("of", self.facilities)
        ordered = sorted(wanted, key=lambda one: (key(one), one["_id"]), reverse=descending)
        return [global_id("Facility", one["_id"]) for one in ordered]


def metres(one: dict[str, Any], point: tuple[float, float] = ISTANBUL) -> float:
    """The great circle, by haversines."""
    longitude, latitude = map(math.radians, one["address"]["coordinates"]["coordinates"])
    up, east = math.radians(point[0]), math.radians(point[1])
    half = (
        math.sin((latitude - up) / 2) ** 2 + math.cos(up) * math.cos(latitude) * math.sin((longitude - east) / 2) ** 2
    )
    return 2 * 6_378_100 * math.asin(math.sqrt(half))


@pytest.fixture(scope="module")
async def city(town: Town) -> AsyncIterator[City]:
    """Sixty of them: some share a place, a price, a rating, or have none."""
    chance, tag, now = Random(3), f"havuz {ObjectId()}", datetime.now(UTC)  # noqa: S311
    facilities, plans, reviews = [], [], []
    places = [(29 + chance.uniform(-0.5, 0.5), 41 + chance.uniform(-0.4, 0.4)) for _ in range(40)]
    for number in range(60):
        name = f"{chance.choice(('Işık', 'Çınar', 'ŞAMPİYON', 'Iron-Gym'))} Spor {number}"
        closed = {"operatingHours": ALWAYS} if chance.random() < 0.5 else {"operatingHours": ALWAYS[:0]}
        facilities.append(
            {
                "_id": ObjectId(),
                "name": name,
                "nameFolded": fold(name),
                "type": "gym",
                "timezone": chance.choice(ZONES),
                "address": {
                    "city": "İzmir",
                    "cityFolded": "izmir",
                    "coordinates": {"type": "Point", "coordinates": list(chance.choice(places))},
                },
                "amenities": [tag.upper(), *(["Çocuk Odası"] if number % 3 == 0 else [])],
                "staff": [],
                "createdAt": now + timedelta(minutes=number % 7),
                "updatedAt": now,
                **closed,
            }
        )
    prices: dict[ObjectId, float] = {}
    ratings: dict[ObjectId, float] = {}
    for one in facilities:
        for price in [chance.choice((500, 900, 900.5, 1200)) for _ in range(chance.randrange(3))]:
            prices[one["_id"]] = min(price, prices.get(one["_id"], price))
            plans.append(_plan(one["_id"], price, now))
        plans.append({**_plan(one["_id"], 1, now), "isActive": False})
        stars = [chance.randint(1, 5) for _ in range(chance.randrange(4))]
        if stars:
            ratings[one["_id"]] = sum(stars) / len(stars)
        reviews += [
            {"authorId": ObjectId(), "subjectType": "facility", "subjectId": one["_id"], "rating": star,
             "createdAt": now, "updatedAt": now}
            for star in stars
        ]  # fmt: skip
    await town.database[COLLECTION].insert_many(facilities)
    await town.database["memberships"].insert_many(plans)
    await town.database["reviews"].insert_many(reviews)
    # Others of the town change no plans meanwhile, so all that is wrong is ours.
    assert await refresh_all(town.stores.mongo) >= len(facilities)
    assert await refresh_all(town.stores.mongo) == 0
    yield City(town, tag, facilities, prices, ratings)
    await town.database[COLLECTION].delete_many({"_id": {"$in": [one["_id"] for one in facilities]}})


def _plan(facility: ObjectId, price: float, now: datetime) -> dict[str, Any]:
    return {
        "facilityId": facility,
        "name": f"Plan {price}",
        "duration": {"value": 1, "unit": "month"},
        "price": Decimal128(str(price)),
        "currency": "TRY",
        "features": [],
        "limitations": {"classesIncluded": True},
        "isActive": True,
        "createdAt": now,
        "updatedAt": now,
    }


NEAR = "near: { latitude: 41, longitude: 29, kilometres: 40 }"


@pytest.mark.parametrize("order", ["NAME", "CREATED_AT", "DISTANCE", "PRICE", "RATING"])
@pytest.mark.parametrize("filter", ["", NEAR, f"{NEAR} openNow: true", "openNow: true"])
async def test_any_order_mixes_with_any_filter_and_pages_both_ways(city: City, filter: str, order: str) -> None:
    given = filter
    if order == "DISTANCE" and "near" not in filter:
        given += " near: { latitude: 41, longitude: 29, kilometres: 500 }"
    wanted = [
        one
        for one in city.facilities
        if ("near" not in filter or metres(one) <= 40_000) and ("openNow" not in filter or one["operatingHours"])
    ]
    assert 10 < len(wanted) < (61 if filter == "" else 60)
    for way in ("ASC", "DESC"):
        missing = -1.0 if way == "DESC" else math.inf
        keys: dict[str, Callable[[dict[str, Any]], Any]] = {
            "NAME": lambda one: one["nameFolded"],
            "CREATED_AT": lambda one: one["createdAt"],
            "DISTANCE": lambda one: round(metres(one), 3),
            "PRICE": lambda one, missing=missing: city.prices.get(one["_id"], missing),
            "RATING": lambda one: city.ratings.get(one["_id"], 0.0),
        }
        expected = city.ids(keys[order], descending=way == "DESC", of=wanted)
        query = city.query(given, f"field: {order} direction: {way}")
        assert await forwards(city.town.guest, query, 60) == expected
        for size in (7, 1) if order == "DISTANCE" and "openNow" in filter else (7,):
            assert await forwards(city.town.guest, query, size) == expected
            assert await backwards(city.town.guest, query, size) == expected


async def test_what_is_shown_is_what_it_was_ordered_by(city: City) -> None:
    inner = "totalCount nodes { id distance priceFrom { amount currency } rating { average count } openNow }"
    order = "field: DISTANCE"
    with command_log() as log:
        data = await city.town.guest.data(city.query(NEAR, order, inner), {"first": 50})
    by_id = {global_id("Facility", one["_id"]): one for one in city.facilities}
    found = data["facilities"]
    assert found["totalCount"] == len(found["nodes"]) > 10
    # The page, how many there are, prices and ratings: one command each.
    assert log.count("mongo") == 4
    for node in found["nodes"]:
        one = by_id[node["id"]]
        assert node["distance"] == pytest.approx(metres(one) / 1000, abs=0.001)
        price = city.prices.get(one["_id"])
        assert (node["priceFrom"] and float(node["priceFrom"]["amount"])) == price
        assert (node["rating"] and node["rating"]["average"]) == city.ratings.get(one["_id"])
    for given, size in ((NEAR, 1), (f"{NEAR} openNow: true", 50)):
        with command_log() as log:
            for order in ("NAME", "PRICE", "RATING", "DISTANCE"):
                await city.town.guest.data(city.query(given, f"field: {order}", "nodes { id }"), {"first": size})
        assert log.count("mongo") <= 5  # one each, and the time zones once


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ('text: "isik"', lambda one: "Işık" in one["name"]),
        ('text: "ÇIN"', lambda one: "Çınar" in one["name"]),
        ('text: "şampiyon İZM"', lambda one: "ŞAMP" in one["name"]),
        ('text: "gym"', lambda one: "Gym" in one["name"]),  # behind a hyphen
        ('text: "inar"', lambda _: False),  # in the middle of a word
        ('text: "spor 7"', lambda one: one["name"].split()[-1].startswith("7")),
        ('text: ".*"', lambda _: False),
        ('text: "  "', lambda _: True),
        ("type: STUDIO", lambda _: False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_words_are_found_however_they_are_spelled(city: City, filter: str, wanted: Callable[[Any], bool]) -> None:
    of = [one for one in city.facilities if wanted(one)]
    expected = city.ids(lambda one: one["nameFolded"], of=of)
    assert await forwards(city.town.guest, city.query(filter), 60) == expected


async def test_all_amenities_are_asked_for(city: City) -> None:
    query = city.query().replace(f'"{city.tag}"', f'"{city.tag}", "cocuk odasi"')
    of = [one for one in city.facilities if len(one["amenities"]) == 2]
    assert await forwards(city.town.guest, query, 60) == city.ids(lambda one: one["nameFolded"], of=of)


async def test_what_cannot_be_found_is_refused(city: City) -> None:
    guest = city.town.guest

    async def code(query: str, **variables: Any) -> tuple[str, list[str]]:
        [error] = (await guest.run(query, {"first": 5, **variables}))["errors"]
        return error["extensions"]["code"], error["extensions"].get("argument")

    assert await code(city.query(order="field: DISTANCE")) == ("BAD_USER_INPUT", ["filter", "near"])
    wrong = "near: { latitude: 91, longitude: 29, kilometres: 40 }"
    assert await code(city.query(wrong)) == ("BAD_USER_INPUT", ["filter", "near", "latitude"])
    many = city.query().replace(f'"{city.tag}"', ", ".join(['"a"'] * 21))
    assert await code(many) == ("BAD_USER_INPUT", ["filter", "amenities"])
    # A cursor belongs to its order, and by distance to its point.
    data = await guest.data(city.query(NEAR, "field: DISTANCE"), {"first": 2})
    cursor = data["facilities"]["pageInfo"]["endCursor"]
    elsewhere = "near: { latitude: 41, longitude: 29.1, kilometres: 40 }"
    for query in (city.query(elsewhere, "field: DISTANCE"), city.query(NEAR, "field: NAME")):
        assert await code(query, after=cursor) == ("BAD_USER_INPUT", ["after"])


async def test_across_the_date_line_and_the_poles(town: Town) -> None:
    tag, now = f"kutup {ObjectId()}", datetime.now(UTC)
    spots = {"fiji": (179.9, -17.0), "samoa": (-179.9, -17.0), "pole": (90.0, 89.9), "behind": (-90.0, 89.9)}
    made = [
        {
            "_id": ObjectId(), "name": name, "nameFolded": name, "type": "gym", "timezone": "UTC", "amenities": [tag],
            "address": {"coordinates": {"type": "Point", "coordinates": list(spot)}}, "staff": [], "createdAt": now,
            "updatedAt": now,
        }
        for name, spot in spots.items()
    ]  # fmt: skip
    await town.database[COLLECTION].insert_many(made)

    async def names(latitude: float, longitude: float, kilometres: float) -> list[tuple[str, int]]:
        query = f"""{{ facilities(orderBy: {{ field: DISTANCE }} filter: {{ amenities: ["{tag}"]
          near: {{ latitude: {latitude}, longitude: {longitude}, kilometres: {kilometres} }} }}) {{
          nodes {{ name distance }} }} }}"""
        nodes = (await town.guest.data(query))["facilities"]["nodes"]
        return [(node["name"], round(node["distance"])) for node in nodes]

    try:
        assert await names(-17.0, 179.95, 40) == [("fiji", 5), ("samoa", 16)]
        assert sorted(await names(-17.0, -180, 40)) == [("fiji", 11), ("samoa", 11)]
        assert await names(89.95, 90.0, 40) == [("pole", 6), ("behind", 17)]
        assert sorted(await names(90.0, 0.0, 40)) == [("behind", 11), ("pole", 11)]
    finally:
        await town.database[COLLECTION].delete_many({"_id": {"$in": [one["_id"] for one in made]}})

"""Finding coaches, against looking at each; what they say of themselves; and what clients say of them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.coaching.availability import free, open_ahead, opened
from nexfit.domains.facilities.hours import DAYS
from nexfit.domains.identity import certificates, coach_listing
from nexfit.domains.text import fold
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations.feeds.documents import DocumentEffect
from nexfit.stores.change_stream import DocumentChange
from nexfit.stores.commands import command_log
from tests.api.conftest import global_id, local
from tests.api.lists import backwards, forwards

from .conftest import Person, Town, asks, codes

POINT = (41.0, 29.0)
NEAR = "near: { latitude: 41, longitude: 29, kilometres: 40 }"
PRICE = 'price: { currency: "TRY" }'

# The first of a whole number of days from now, so that what is asked of is ahead while the test runs.
MONDAY = (datetime.now(UTC) + timedelta(days=8)).replace(hour=0, minute=0, second=0, microsecond=0)
FREE = f'free: {{ since: "{MONDAY.isoformat()}" until: "{(MONDAY + timedelta(days=2)).isoformat()}" minutes: 90 }}'


@dataclass(frozen=True, slots=True)
class Guild:
    """Coaches made for searching, all good at something that nobody else is."""

    town: Town
    tag: str
    coaches: list[dict[str, Any]]
    metres: Mapping[ObjectId, float]
    ratings: Mapping[ObjectId, float]
    free: Mapping[ObjectId, bool]

    def query(self, filter: str = "", order: str = "", inner: str = "edges { cursor node { id } }") -> str:
        """A page of them."""
        order = f"orderBy: {{ {order} }}" if order else ""
        return f"""query ($first: Int $after: String $last: Int $before: String) {{
          coaches(first: $first after: $after last: $last before: $before {order}
            filter: {{ specializations: ["{self.tag}"] {filter} }}) {{
            pageInfo {{ hasNextPage hasPreviousPage startCursor endCursor }} {inner} }} }}"""

    def wanted(self, filter: str) -> list[dict[str, Any]]:
        """Whom a filter leaves."""
        return [
            one
            for one in self.coaches
            if ("near" not in filter or self.metres[one["_id"]] <= 40_000)
            and ("price" not in filter or one["roleSpecificData"]["coach"].get("currency") == "TRY")
            and ("free" not in filter or self.free[one["_id"]])
        ]

    def ids(self, key: Callable[[dict[str, Any]], Any], of: list[dict[str, Any]], *, descending: bool) -> list[str]:
        """Global ids by a key, ties by id."""
        ordered = sorted(of, key=lambda one: (key(one), one["_id"]), reverse=descending)
        return [global_id("Coach", one["_id"]) for one in ordered]


def metres(point: tuple[float, float], other: tuple[float, float]) -> float:
    """The great circle between two (latitude, longitude), by haversines."""
    (up, east), (north, right) = (tuple(map(math.radians, one)) for one in (point, other))
    half = math.sin((north - up) / 2) ** 2 + math.cos(up) * math.cos(north) * math.sin((right - east) / 2) ** 2
    return 2 * 6_378_100 * math.asin(math.sqrt(half))


def person(name: str, part: dict[str, Any], *, role: str = "coach") -> dict[str, Any]:
    first, _, last = name.partition(" ")
    id_, now = ObjectId(), datetime.now(UTC)
    return {
        "_id": id_, "email": f"{id_}@example.org", "emailNormalized": f"{id_}@example.org", "firstName": first,
        "lastName": last, "nameFolded": fold(name), "role": [role], "isActive": True,
        "roleSpecificData": {role: part}, "createdAt": now, "updatedAt": now,
    }  # fmt: skip


def facility(city: str, point: tuple[float, float], staff: list[ObjectId]) -> dict[str, Any]:
    now = datetime.now(UTC)
    return {
        "_id": ObjectId(), "name": "Salon", "nameFolded": "salon", "type": "gym", "timezone": "Europe/Istanbul",
        "address": {
            "city": city, "cityFolded": fold(city),
            "coordinates": {"type": "Point", "coordinates": [point[1], point[0]]},
        },
        "staff": [{"userId": one, "role": "coach", "permissions": [], "joinedAt": now} for one in staff],
        "createdAt": now, "updatedAt": now,
    }  # fmt: skip


def hours_by(chance: Random) -> dict[str, Any]:
    week = [
        {
            "day": day,
            "openTime": f"{chance.choice((6, 9, 22)):02}:30",
            "closeTime": f"{chance.choice((1, 11, 14)):02}:15",
            "isClosed": False,
        }
        for day in DAYS
        if chance.random() < 0.5
    ]
    zone = chance.choice(("Europe/Istanbul", "America/New_York", "Asia/Kathmandu"))
    return {"timezone": zone, "operatingHours": week, "updatedAt": datetime.now(UTC)}


@pytest.fixture(scope="module")
async def guild(town: Town) -> AsyncIterator[Guild]:
    """Sixty of them: some share a place, a price, a rating, or have none; some work at two places, some at none."""
    chance, tag, now, database = Random(5), f"Ölçü {ObjectId()}", datetime.now(UTC), town.database  # noqa: S311
    coaches, hours, busy, reviews = [], [], [], []
    spots = [(41 + chance.uniform(-0.4, 0.4), 29 + chance.uniform(-0.5, 0.5)) for _ in range(20)]
    places: dict[ObjectId, list[tuple[float, float]]] = {}
    taken: dict[ObjectId, list[tuple[datetime, datetime]]] = {}
    for number in range(60):
        part: dict[str, Any] = {"specializations": [tag.upper(), chance.choice(("Pilates", "Güreş"))]}
        if chance.random() < 0.8:
            price = Decimal128(str(chance.choice((500, 900, "900.50", 1200))))
            part |= {"hourlyRate": price, "currency": chance.choice(("TRY", "TRY", "EUR"))}
        one = person(f"{chance.choice(('Işıl', 'Çağrı', 'Ömer'))} Koç{number % 9}", part)
        coaches.append(one)
        places[one["_id"]] = [chance.choice(spots)] if chance.random() < 0.2 else []
        if places[one["_id"]]:
            [(latitude, longitude)] = places[one["_id"]]
            part["workplace"] = {"type": "Point", "coordinates": [longitude, latitude]}
        stars = [chance.randint(1, 5) for _ in range(chance.randrange(4))]
        reviews += [
            {
                "authorId": ObjectId(),
                "subjectType": "coach",
                "subjectId": one["_id"],
                "rating": star,
                "createdAt": now,
                "updatedAt": now,
            }
            for star in stars
        ]
        if chance.random() < 0.8:
            hours.append({"_id": one["_id"], **hours_by(chance)})
        taken[one["_id"]] = []
        for _ in range(chance.randrange(12)):
            starts = MONDAY + timedelta(minutes=chance.randrange(-60, 48 * 60, 15))
            ends = starts + timedelta(minutes=chance.choice((45, 90, 240)))
            where, counts = chance.choice(("coachId", "clientId", "class")), chance.random() < 0.7
            busy.append((where, one["_id"], starts, ends, counts))
            if counts:
                taken[one["_id"]].append((starts, ends))
    facilities = []
    for spot in spots:
        staff = [one["_id"] for one in chance.sample(coaches, 5)]
        facilities.append(facility("Muğla", spot, staff))
        for id_ in staff:
            places[id_].append(spot)
    await database["users"].insert_many(coaches)
    await database["facilities"].insert_many(facilities)
    await database["reviews"].insert_many(reviews)
    await database["coach_hours"].insert_many(hours)
    await database["pt_sessions"].insert_many([_session(*one) for one in busy if one[0] != "class"])
    await database["class_occurrences"].insert_many([_date(*one[1:]) for one in busy if one[0] == "class"])
    assert await coach_listing.refresh_all(town.stores.mongo) >= 60
    assert await coach_listing.refresh_all(town.stores.mongo) == 0
    assert await open_ahead(town.stores.mongo, now=now) >= len(hours)
    assert await open_ahead(town.stores.mongo, now=now) == 0
    by_id = {one["_id"]: one for one in hours}
    until, least = MONDAY + timedelta(days=2), timedelta(minutes=90)
    ratings: dict[ObjectId, list[int]] = {}
    for review in reviews:
        ratings.setdefault(review["subjectId"], []).append(review["rating"])
    yield Guild(
        town,
        tag,
        coaches,
        {id_: min((metres(POINT, spot) for spot in at), default=math.inf) for id_, at in places.items()},
        {id_: sum(stars) / len(stars) for id_, stars in ratings.items()},
        {
            one["_id"]: one["_id"] in by_id
            and bool(free(opened(by_id[one["_id"]], MONDAY, until), taken[one["_id"]], least))
            for one in coaches
        },
    )
    ids = [one["_id"] for one in coaches]
    await database["users"].delete_many({"_id": {"$in": ids}})
    await database["coach_hours"].delete_many({"_id": {"$in": ids}})
    await database["pt_sessions"].delete_many({"$or": [{"coachId": {"$in": ids}}, {"clientId": {"$in": ids}}]})
    await database["class_occurrences"].delete_many({"instructor.userId": {"$in": ids}})
    await database["facilities"].delete_many({"_id": {"$in": [one["_id"] for one in facilities]}})


def _good_at(coach: dict[str, Any]) -> list[str]:
    found: list[str] = coach["roleSpecificData"]["coach"]["specializations"]
    return found


def _session(side: str, whose: ObjectId, starts: datetime, ends: datetime, counts: bool) -> dict[str, Any]:
    other = "clientId" if side == "coachId" else "coachId"
    return {
        side: whose, other: ObjectId(), "startTime": starts, "endTime": ends, "duration": 60,
        "status": "scheduled" if counts else "cancelled", "location": {"type": "online"}, "createdAt": starts,
        "updatedAt": starts,
    }  # fmt: skip


def _date(whose: ObjectId, starts: datetime, ends: datetime, counts: bool) -> dict[str, Any]:
    return {
        "classId": ObjectId(), "facilityId": ObjectId(), "originalStart": starts, "startsAt": starts, "endsAt": ends,
        "timezone": "UTC", "capacity": 5, "seatsTaken": 0, "waitlisted": 0,
        "status": "scheduled" if counts else "cancelled",
        "instructor": {"userId": whose, "name": "Koç"}, "createdAt": starts, "updatedAt": starts,
    }  # fmt: skip


@pytest.mark.parametrize("order", ["NAME", "DISTANCE", "PRICE", "RATING"])
@pytest.mark.parametrize("filter", ["", NEAR, f"{NEAR} {FREE} {PRICE}", FREE], ids=["all", "near", "mixed", "free"])
async def test_any_order_mixes_with_any_filter_and_pages_both_ways(guild: Guild, filter: str, order: str) -> None:
    given = filter
    if order == "DISTANCE" and "near" not in given:
        given += " near: { latitude: 41, longitude: 29, kilometres: 500 }"
    if order == "PRICE" and "price" not in given:
        given += f" {PRICE}"
    wanted = guild.wanted(filter + (PRICE if order == "PRICE" else ""))
    if order == "DISTANCE":
        wanted = [one for one in wanted if guild.metres[one["_id"]] < math.inf]
    assert 3 < len(wanted) <= 60
    keys: dict[str, Callable[[dict[str, Any]], Any]] = {
        "NAME": lambda one: one["nameFolded"],
        "DISTANCE": lambda one: round(guild.metres[one["_id"]], 3),
        "PRICE": lambda one: one["roleSpecificData"]["coach"]["hourlyRate"].to_decimal(),
        "RATING": lambda one: guild.ratings.get(one["_id"], 0.0),
    }
    for way in ("ASC", "DESC"):
        expected = guild.ids(keys[order], wanted, descending=way == "DESC")
        query = guild.query(given, f"field: {order} direction: {way}")
        assert await forwards(guild.town.guest, query, 60) == expected
        assert await forwards(guild.town.guest, query, 7) == expected
        assert await backwards(guild.town.guest, query, 7) == expected


async def test_a_page_is_one_command_and_its_parts_one_each(guild: Guild) -> None:
    between = f'since: "{MONDAY.isoformat()}" until: "{(MONDAY + timedelta(days=2)).isoformat()}" minutes: 90'
    inner = f"""totalCount nodes {{ id firstName distance rating reviewCount hourlyRate {{ amount currency }}
      languages facilities {{ name }} profiles {{ role }} freeTimes({between}) {{ startsAt }}
      reviews(first: 2) {{ nodes {{ rating authorName }} }} }}"""
    counts = []
    for size in (2, 20):
        query = guild.query(f"{NEAR} {FREE} {PRICE}", "field: DISTANCE", inner)
        with command_log() as log:
            found = (await guild.town.guest.data(query, {"first": size}))["coaches"]
        counts.append(log.count("mongo"))
        assert found["totalCount"] == len(guild.wanted(f"{NEAR} {FREE} {PRICE}"))
        for node in found["nodes"]:
            assert node["freeTimes"]  # whom the search finds has the time
            assert node["reviewCount"] >= len(node["reviews"]["nodes"])
    # The page and how many there are; facilities, profiles, reviews; hours, sessions and classes; authors.
    assert counts[0] == counts[1] <= 9


@pytest.mark.parametrize(
    ("filter", "wanted"),
    [
        ('text: "isil"', lambda one: one["firstName"] == "Işıl"),
        ('text: "ÇAĞRİ"', lambda one: one["firstName"] == "Çağrı"),
        ('text: "pilatse"', lambda one: "Pilates" in _good_at(one)),
        ('text: "gures om"', lambda one: one["firstName"] == "Ömer" and "Güreş" in _good_at(one)),
        ('text: "zzzzzz"', lambda _: False),
        ('text: "  "', lambda _: True),
    ],
    ids=["marks", "case", "slip", "two", "none", "blank"],
)  # fmt: skip
async def test_words_are_found_however_they_are_spelled(
    guild: Guild, filter: str, wanted: Callable[[Any], bool]
) -> None:
    of = [one for one in guild.coaches if wanted(one)]
    assert of or "zzz" in filter
    expected = guild.ids(lambda one: one["nameFolded"], of, descending=False)
    assert await forwards(guild.town.guest, guild.query(filter), 60) == expected


async def test_other_filters_and_what_is_refused(guild: Guild) -> None:
    guest = guild.town.guest
    good = [one for one in guild.coaches if guild.ratings.get(one["_id"], 0) >= 3.5]
    by_name = guild.ids(lambda one: one["nameFolded"], good, descending=False)
    assert await forwards(guest, guild.query("rating: 3.5"), 60) == by_name
    cheap = [
        one for one in guild.wanted(PRICE) if 600 <= one["roleSpecificData"]["coach"]["hourlyRate"].to_decimal() <= 900
    ]
    found = await forwards(guest, guild.query('price: { currency: "TRY" least: "600" most: "900" }'), 60)
    assert found == guild.ids(lambda one: one["nameFolded"], cheap, descending=False) != []
    assert await forwards(guest, guild.query(f'facility: "{global_id("Facility", ObjectId())}"'), 60) == []
    assert await forwards(guest, guild.query('facility: "nothing"'), 60) == []
    late = (MONDAY + timedelta(days=300)).isoformat()
    for query, argument in (
        (guild.query(order="field: DISTANCE"), ["filter", "near"]),
        (guild.query(order="field: PRICE"), ["filter", "price"]),
        (guild.query('price: { currency: "LIR" }'), ["filter", "price", "currency"]),
        (guild.query('price: { currency: "TRY" least: "-1" }'), ["filter", "price", "least"]),
        (guild.query("rating: 6"), ["filter", "rating"]),
        (guild.query(FREE.replace("minutes: 90", "minutes: 5")), ["filter", "free", "minutes"]),
        (guild.query(f'free: {{ since: "{late}" until: "{late}" }}'), ["filter", "free", "until"]),
    ):
        [error] = (await guest.run(query, {"first": 5}))["errors"]
        assert (error["extensions"]["code"], error["extensions"].get("argument")) == ("BAD_USER_INPUT", argument)


# --- what coaches say of themselves

PROFILE = """mutation ($i: UpdateProfileInput!) { updateProfile(input: $i) {
  viewer { coachProfiles { languages certifications certificates { name issuer expiresOn verifiedAt }
    hourlyRate { amount currency } workplace { latitude longitude } } coach { id } } userErrors { code path } } }"""


async def test_a_profile_is_found_at_once_and_only_an_operator_verifies_a_certificate(town: Town) -> None:
    coach = await town.person("coach", first="Sude", last="Özbilge")
    words = f"Kürek {ObjectId()}"
    part = {
        "specializations": [words],
        "languages": ["TR", "pl"],
        "certificates": [{"name": "İlk yardım", "issuer": "Kızılay", "expiresOn": "2027-05-31"}, {"name": "CPT"}],
        "hourlyRate": {"amount": "750.50", "currency": "TRY"},
        "workplace": {"latitude": 38.4, "longitude": 27.1},
    }
    done = await asks(coach.here, PROFILE, coach=part)
    assert done["userErrors"] == []
    [shown] = done["viewer"]["coachProfiles"]
    assert shown["languages"] == ["tr", "pl"]
    assert shown["certifications"] == ["İlk yardım", "CPT"]
    assert shown["workplace"] == {"latitude": 38.4, "longitude": 27.1}
    find = "query ($t: String!) { coaches(filter: { text: $t }) { nodes { id hourlyRate { amount } languages } } }"
    found = (await town.guest.data(find, {"t": words.lower()}))["coaches"]["nodes"]
    assert [one["id"] for one in found] == [done["viewer"]["coach"]["id"]] == [global_id("Coach", coach.id)]
    assert (found[0]["hourlyRate"]["amount"], found[0]["languages"]) == ("750.50", ["pl", "tr"])

    units = UnitsOfWork(town.stores, _no_purge)
    given = {"verified": True, "now": datetime.now(UTC)}
    waiting = [
        one["name"] for one in await certificates.unverified(town.stores.mongo, 1000) if one["coach"] == coach.id
    ]
    assert waiting == ["İlk yardım", "CPT"]
    await certificates.decide(units, coach.id, "İlk yardım", "Kızılay", **given)
    await certificates.decide(units, coach.id, "İlk yardım", "Kızılay", **given)
    with pytest.raises(Exception, match="no such"):
        await certificates.decide(units, coach.id, "CPT", "Kızılay", **given)
    [shown] = (await asks(coach.here, PROFILE, coach={"certificates": part["certificates"]}))["viewer"]["coachProfiles"]
    assert [one["verifiedAt"] is not None for one in shown["certificates"]] == [True, False]
    renewed = [{**part["certificates"][0], "expiresOn": "2029-05-31"}]
    [shown] = (await asks(coach.here, PROFILE, coach={"certificates": renewed}))["viewer"]["coachProfiles"]
    assert [one["verifiedAt"] for one in shown["certificates"]] == [None]

    before = await town.stored("users", coach.id)
    for wrong, path in (
        ({"languages": ["xx"]}, ["coach", "languages", "0"]),
        ({"certificates": [{"name": "A"}, {"name": "A"}]}, ["coach", "certificates"]),
        ({"certificates": [{"name": "A"}], "certifications": ["A"]}, ["coach", "certificates"]),
        ({"hourlyRate": {"amount": "1.005", "currency": "TRY"}}, ["coach", "hourlyRate"]),
        ({"workplace": {"latitude": 91, "longitude": 0}}, ["coach", "workplace", "latitude"]),
    ):
        assert codes(await asks(coach.here, PROFILE, coach=wrong)) == [("BAD_USER_INPUT", path)], wrong
    assert await town.stored("users", coach.id) == before


async def _no_purge(_: object) -> None:
    """Cache tags are not what is tested here."""


async def test_the_feed_lists_who_was_changed_by_others(town: Town) -> None:
    coach = person(f"Seyhan {ObjectId()}", {})
    place = facility("Ardahan", POINT, [])
    await town.database["users"].insert_one(coach)
    await town.database["facilities"].insert_one(place)
    effect = DocumentEffect(town.stores, _Ignored())  # type: ignore[arg-type]

    async def listed(collection: str, id_: ObjectId, *changed: str) -> Any:
        kind = "update" if changed else "insert"
        change = DocumentChange(collection, kind, id_, None, None, frozenset(changed), datetime.now(UTC))
        assert coach["_id"] in await effect._listed([change])
        await coach_listing.refresh_people(town.stores.mongo, await effect._listed([change]))
        return (await town.stored("users", coach["_id"])).get("coachListing")

    assert (await listed("users", coach["_id"]))["facilityIds"] == []
    entry = {"userId": coach["_id"], "role": "coach", "permissions": [], "joinedAt": datetime.now(UTC)}
    await town.database["facilities"].update_one({"_id": place["_id"]}, {"$set": {"staff": [entry]}})
    there = await listed("facilities", place["_id"], "staff")
    assert (there["facilityIds"], "ardahan" in there["words"]) == ([place["_id"]], True)
    await town.database["facilities"].update_one({"_id": place["_id"]}, {"$set": {"staff": []}})
    assert (await listed("facilities", place["_id"], "staff.0"))["places"] == []
    await town.database["users"].update_one({"_id": coach["_id"]}, {"$set": {"isActive": False}})
    assert await listed("users", coach["_id"], "isActive") is None
    own = DocumentChange("users", "update", coach["_id"], None, None, frozenset({"coachListing"}), datetime.now(UTC))
    assert await effect._listed([own]) == set()


class _Ignored:
    """Freshness that nobody looks at."""


# --- what clients say of them

REVIEW = """mutation ($i: SaveCoachReviewInput!) { saveCoachReview(input: $i) {
  review { id rating text reply { text } } coach { rating reviewCount } userErrors { code path } } }"""
DELETE = """mutation ($i: DeleteCoachReviewInput!) { deleteCoachReview(input: $i) {
  review { id } coach { rating reviewCount } userErrors { code path } } }"""
REPLY = """mutation ($i: ReplyToCoachReviewInput!) { replyToCoachReview(input: $i) {
  review { reply { text } } userErrors { code path } } }"""
REPORT = """mutation ($i: ReportCoachReviewInput!) { reportCoachReview(input: $i) {
  review { id } coach { reviewCount } userErrors { code path } } }"""


async def _trained(town: Town, coach: Person, status: str = "completed") -> Person:
    """Somebody who had a session with the coach."""
    client, ago = await town.person(), datetime.now(UTC) - timedelta(days=2)
    session = _session("coachId", coach.id, ago, ago + timedelta(hours=1), counts=True)
    await town.database["pt_sessions"].insert_one({**session, "clientId": client.id, "status": status})
    return client


async def _agrees(town: Town, coach: Person) -> tuple[float, int]:
    """What is kept of a coach is what the reviews say, wherever it is kept."""
    reviews = await town.database["reviews"].find({"subjectType": "coach", "subjectId": coach.id}).to_list()
    mean = sum(one["rating"] for one in reviews) / len(reviews) if reviews else 0.0
    stored = await town.stored("users", coach.id)
    assert (stored["coachListing"]["rating"], stored["coachListing"]["reviews"]) == (mean, len(reviews))
    part = stored["roleSpecificData"]["coach"]
    assert (part.get("ratings", 0.0), part.get("reviewCount", 0)) == (mean, len(reviews))
    return mean, len(reviews)


async def test_a_client_reviews_a_coach_once_and_only_after_a_session(town: Town) -> None:
    coach = await town.person("coach")
    await town.database["users"].update_one({"_id": coach.id}, {"$set": {"roleSpecificData": {"coach": {}}}})
    gid = global_id("Coach", coach.id)
    client, other = await _trained(town, coach), await _trained(town, coach)
    for stranger in (
        await town.person(),
        await _trained(town, coach, "cancelled"),
        await _trained(town, coach, "no_show"),
        coach,
    ):
        before = await town.everything()
        assert codes(await asks(stranger.here, REVIEW, coach=gid, rating=1)) == [("INVALID_TRANSITION", ["coach"])]
        assert await town.everything() == before
    for wrong, path in ((0, ["rating"]), (6, ["rating"])):
        assert codes(await asks(client.here, REVIEW, coach=gid, rating=wrong)) == [("BAD_USER_INPUT", path)]
    assert codes(await asks(client.here, REVIEW, coach=client.gid, rating=5)) == [("NOT_FOUND", ["coach"])]

    done = await asks(client.here, REVIEW, coach=gid, rating=5, text="Çok iyi")
    assert done["coach"] == {"rating": 5.0, "reviewCount": 1}
    await asks(other.here, REVIEW, coach=gid, rating=2)
    again = await asks(client.there, REVIEW, coach=gid, rating=3)
    assert (again["review"]["id"], again["review"]["text"]) == (done["review"]["id"], None)
    assert await _agrees(town, coach) == (2.5, 2)

    review = done["review"]["id"]
    assert codes(await asks(other.here, REPLY, review=review, text="Ben değilim")) == [("NOT_FOUND", ["review"])]
    assert (await asks(coach.here, REPLY, review=review, text="Teşekkürler"))["review"]["reply"][
        "text"
    ] == "Teşekkürler"
    assert codes(await asks(other.here, DELETE, review=review)) == [("NOT_FOUND", ["review"])]
    for _ in range(2):
        assert codes(await asks(coach.here, REPORT, review=review, reason="Kaba")) == []
    assert codes(await asks(coach.here, REPORT, review=review, reason=" ")) == [("BAD_USER_INPUT", ["reason"])]
    [stored] = await town.database["reviews"].find({"subjectId": coach.id, "reportedAt": {"$exists": True}}).to_list()
    assert [one["reason"] for one in stored["reports"]] == ["Kaba"]
    page = """query ($c: ID!) { coach(id: $c) { rating
      reviews { totalCount nodes { rating reply { text } authorName isMine } } } }"""
    shown = (await town.guest.data(page, {"c": gid}))["coach"]["reviews"]
    assert [one["reply"] and one["reply"]["text"] for one in shown["nodes"]] == [None, "Teşekkürler"]
    assert {(one["authorName"], one["isMine"]) for one in shown["nodes"]} == {("Deniz K.", False)}
    own = (await client.here.data(page, {"c": gid}))["coach"]["reviews"]
    assert [one["isMine"] for one in own["nodes"]] == [False, True]
    assert (await asks(coach.here, REPLY, review=review))["review"] == {"reply": None}
    gone = await asks(client.here, DELETE, review=review)
    assert (gone["review"], gone["coach"]) == (None, {"rating": 2.0, "reviewCount": 1})
    await asks(
        other.here,
        DELETE,
        review=global_id("CoachReview", (await town.database["reviews"].find_one({"subjectId": coach.id}))["_id"]),
    )
    assert await _agrees(town, coach) == (0.0, 0)


async def test_the_mean_is_right_however_many_review_at_once(town: Town) -> None:
    coach = await town.person("coach")
    await town.database["users"].update_one({"_id": coach.id}, {"$set": {"roleSpecificData": {"coach": {}}}})
    gid, clients = global_id("Coach", coach.id), [await _trained(town, coach) for _ in range(8)]

    async def acts(number: int, client: Person) -> None:
        at = client.here if number % 2 else client.there
        for rating in (1 + number % 5, 1 + (number + 2) % 5):
            await asks(at, REVIEW, coach=gid, rating=rating)
        if number % 3 == 0:
            own = await town.database["reviews"].find_one({"authorId": client.id, "subjectId": coach.id})
            await asks(at, DELETE, review=global_id("CoachReview", own["_id"]))

    await asyncio.gather(*(acts(number, client) for number, client in enumerate(clients)))
    assert (await _agrees(town, coach))[1] == 5
    # One client at two places at once has one review.
    await asyncio.gather(*(asks(at, REVIEW, coach=gid, rating=4) for at in (clients[0].here, clients[0].there)))
    assert (await _agrees(town, coach))[1] == 6


# --- what they earn

SELL = """mutation ($i: SellPackageAtDeskInput!) { sellPackageAtDesk(input: $i) {
  package { id payment remaining price { amount } facility { name } } userErrors { code path } } }"""
PAY = "mutation ($i: RecordPaymentInput!) { recordPayment(input: $i) { invoice { status } userErrors { code path } } }"
CLIENTS = """{ viewer { clients(first: 5) { nodes { overview { payment credits { remaining } }
  packages { payment remaining } } }
  earnings(from: "2000-01-01", to: "2030-01-01", by: MONTH) { sold { amount currency } sessions } } }"""
HERE = """query ($f: ID!) { facility(id: $f) { invoices(first: 5) { nodes { id status } }
  coachEarnings(from: "2000-01-01", to: "2030-01-01", by: MONTH) { coach { firstName } sold { amount } } } }"""


async def test_a_desk_sells_a_package_and_everybody_sees_whether_it_is_paid(town: Town) -> None:
    owner, coach, client = await town.person("gym_owner"), await town.person("coach"), await town.person(first="Ece")
    place = await town.facility(owner, address={"city": "İstanbul", "country": "TR"})
    now = datetime.now(UTC)
    entry = {"userId": coach.id, "role": "coach", "permissions": [], "joinedAt": now}
    await town.database["facilities"].update_one({"_id": ObjectId(local(place))}, {"$push": {"staff": entry}})
    relation = ObjectId()
    await town.database["coach_clients"].insert_one(
        {
            "_id": relation,
            "coachId": coach.id,
            "clientId": client.id,
            "relationship": {"status": "active", "startDate": now},
            "createdAt": now,
            "updatedAt": now,
        }
    )
    offer = {
        "facility": place,
        "relation": global_id("CoachClient", relation),
        "name": "PT 8",
        "sessions": 8,
        "price": "4000",
        "currency": "TRY",
        "startsOn": f"{now:%Y-%m-%d}",
        "endsOn": f"{now + timedelta(days=60):%Y-%m-%d}",
        "idempotencyKey": "tap",
    }
    for person, code in ((coach, "NOT_FOUND"), (client, "NOT_FOUND")):
        assert codes(await asks(person.here, SELL, **offer)) == [(code, ["facility"])]
    assert codes(await asks(owner.here, SELL, **{**offer, "method": "WALLET"})) == [("BAD_USER_INPUT", ["method"])]
    sold = await asks(owner.here, SELL, **offer)
    assert sold["userErrors"] == []
    assert (sold["package"]["payment"], sold["package"]["remaining"]) == ("OPEN", 8)
    assert sold["package"]["facility"]["name"] == "Kule Spor"
    assert (await asks(owner.there, SELL, **offer))["package"]["id"] == sold["package"]["id"]
    shown = (await coach.here.data(CLIENTS))["viewer"]
    assert shown["clients"]["nodes"] == [
        {
            "overview": {"payment": "OPEN", "credits": {"remaining": 8}},
            "packages": [{"payment": "OPEN", "remaining": 8}],
        }
    ]
    assert [(one["sold"], one["sessions"]) for one in shown["earnings"]] == [({"amount": "4000", "currency": "TRY"}, 0)]
    here = (await owner.here.data(HERE, {"f": place}))["facility"]
    [invoice] = here["invoices"]["nodes"]
    assert [(one["coach"]["firstName"], one["sold"]["amount"]) for one in here["coachEarnings"]] == [("Deniz", "4000")]
    paid = await asks(owner.there, PAY, invoice=invoice["id"], method="CASH", idempotencyKey="paid")
    assert paid["userErrors"] == []
    [seen] = (await coach.here.data(CLIENTS))["viewer"]["clients"]["nodes"]
    assert (seen["overview"]["payment"], seen["packages"][0]["payment"]) == ("PAID", "PAID")
    # Nobody else's: a colleague has earned nothing, and the coach may not read the facility's money.
    colleague = await town.person("coach")
    assert (await colleague.here.data(CLIENTS))["viewer"]["earnings"] == []
    refused = await coach.here.run(HERE, {"f": place})
    assert refused["data"]["facility"]["coachEarnings"] is None
    assert {error["extensions"]["code"] for error in refused["errors"]} == {"FORBIDDEN"}
    for person, found in ((client, True), (coach, True), (owner, True), (colleague, False)):
        node = await person.here.data("query ($i: ID!) { node(id: $i) { id } }", {"i": sold["package"]["id"]})
        assert (node["node"] is not None) is found

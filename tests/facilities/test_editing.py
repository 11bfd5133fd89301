"""Opening and changing facilities through the API, seen by two processes."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from tests.api.conftest import local

from .conftest import CREATE, Person, Town, asks, codes

UPDATE = """mutation ($i: UpdateFacilityInput!) { updateFacility(input: $i) {
  facility { name address { street city latitude longitude } contact { email } amenities rooms { name capacity }
    equipments { name quantity } media { logo images } bookingPolicy {
      opensDaysBefore plannedDaysAhead waitlistLimit lateCancelUsesQuota noShowUsesQuota mostNoShows noShowDays } }
  userErrors { code message path } } }"""
HOURS = """mutation ($i: SetFacilityHoursInput!) { setFacilityHours(input: $i) {
  facility { openNow operatingHours { day openTime closeTime } specialDays { date name openings { openTime } } }
  userErrors { code message path } } }"""
NAMES = "{ facilities(first: 100) { nodes { name } } }"
ONE = "query ($id: ID!) { facility(id: $id) { name openNow address { city } } }"
FULL: dict[str, Any] = {
    "name": "  Işık Stüdyo ",
    "type": "STUDIO",
    "timezone": "Europe/Istanbul",
    "address": {
        "street": "Moda Cd. 1",
        "city": "İstanbul",
        "country": "TR",
        "latitude": 40.98,
        "longitude": 29.03,
    },
    "contact": {"phoneNumber": "+902121234567", "email": "Merhaba@Example.org", "website": "https://example.org"},
    "media": {"logo": "https://example.org/logo.png", "images": ["https://example.org/1.jpg"]},
    "amenities": ["sauna", "duş"],
    "equipments": [{"name": "Mat", "quantity": 20}],
    "rooms": [{"name": "Salon 1", "capacity": 12}, {"name": "Salon 2"}],
    "bookingPolicy": {"opensDaysBefore": 7},
}


async def test_a_facility_is_opened_once_per_key_and_everybody_finds_it(town: Town) -> None:
    owner = await town.person("studio_owner")
    before = await town.guest.data(NAMES)
    key = uuid4().hex
    made = await asyncio.gather(
        *(asks(client, CREATE, **FULL, idempotencyKey=key) for client in (owner.here, owner.there, owner.here))
    )
    assert len({payload["facility"]["id"] for payload in made}) == 1
    assert codes(await asks(owner.here, CREATE, **{**FULL, "name": "Other"}, idempotencyKey=key)) == [
        ("IDEMPOTENCY_CONFLICT", ["idempotencyKey"])
    ]
    facility = made[0]["facility"]
    assert facility["address"] == {"city": "İstanbul", "country": "TR", "latitude": 40.98, "longitude": 29.03}
    assert "Işık Stüdyo" not in str(before)
    assert {"name": "Işık Stüdyo"} in (await owner.there.data(NAMES))["facilities"]["nodes"]
    stored = await town.stored("facilities", local(facility["id"]))
    assert stored["nameFolded"] == "isik studyo"
    assert stored["address"]["cityFolded"] == "istanbul"
    assert stored["address"]["coordinates"] == {"type": "Point", "coordinates": [29.03, 40.98]}
    assert stored["ownerId"] == owner.id
    assert await town.told(stored["_id"]) == ["FacilityCreated"]
    [entry] = await town.audited(stored["_id"])
    assert (entry["action"], entry["by"]) == ("facility.created", owner.id)


async def test_what_is_given_changes_and_shows_at_once_in_every_process(town: Town) -> None:
    owner = await town.person("studio_owner")
    id_ = await town.facility(owner, **FULL)
    for client in (owner.here, owner.there):
        assert (await client.data(ONE, {"id": id_}))["facility"]["name"] == "Işık Stüdyo"
    payload = await asks(
        owner.here,
        UPDATE,
        facility=id_,
        name="Işık",
        address={"city": "Kadıköy", "latitude": -89.5, "longitude": 180},
        contact={"email": None},
        amenities=["sauna"],
        rooms=None,
        media={"logo": None},
        bookingPolicy={"opensDaysBefore": None, "plannedDaysAhead": 90, "noShowUsesQuota": False, "mostNoShows": 3},
    )
    assert payload["userErrors"] == []
    assert payload["facility"] == {
        "name": "Işık",
        "address": {"street": "Moda Cd. 1", "city": "Kadıköy", "latitude": -89.5, "longitude": 180},
        "contact": {"email": None},
        "amenities": ["sauna"],
        "rooms": None,
        "equipments": [{"name": "Mat", "quantity": 20}],
        "media": {"logo": None, "images": ["https://example.org/1.jpg"]},
        "bookingPolicy": {
            "opensDaysBefore": 14,
            "plannedDaysAhead": 90,
            "waitlistLimit": 0,
            "lateCancelUsesQuota": True,
            "noShowUsesQuota": False,
            "mostNoShows": 3,
            "noShowDays": 30,
        },
    }
    seen = await owner.there.data(ONE, {"id": id_})
    assert seen["facility"]["name"] == "Işık"
    assert {"name": "Işık"} in (await owner.there.data(NAMES))["facilities"]["nodes"]
    assert await town.told(local(id_)) == ["FacilityCreated", "FacilityChanged"]
    [_, entry] = await town.audited(local(id_))
    assert entry["before"]["name"] == "Işık Stüdyo"
    assert entry["after"]["name"] == "Işık"
    assert "amenities" in entry["after"]
    assert "equipments" not in entry["after"]
    assert (await town.stored("facilities", local(id_)))["address"]["cityFolded"] == "kadikoy"


async def test_a_change_that_changes_nothing_writes_nothing(town: Town) -> None:
    owner = await town.person("gym_owner", "studio_owner")
    id_ = await town.facility(owner, **FULL)
    hours = {
        "facility": id_,
        "hours": [{"day": "MONDAY", "openTime": "07:00", "closeTime": "23:00"}],
        "specialDays": [],
    }
    await asks(owner.here, HOURS, **hours)
    before = await town.everything()
    same = {name: value for name, value in FULL.items() if name not in ("type", "bookingPolicy")}
    assert codes(await asks(owner.here, UPDATE, facility=id_, **same)) == []
    assert codes(await asks(owner.here, UPDATE, facility=id_)) == []
    assert codes(await asks(owner.here, HOURS, **hours)) == []
    assert await town.everything() == before


async def test_hours_are_replaced_part_by_part_and_open_the_door(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner, timezone="Pacific/Kiritimati")
    assert (await owner.here.data(ONE, {"id": id_}))["facility"]["openNow"] is None
    always = [
        {"day": day, "openTime": "00:00", "closeTime": "00:00"}
        for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
    ]
    payload = await asks(owner.here, HOURS, facility=id_, hours=always)
    assert payload["facility"]["openNow"] is True
    assert (await owner.there.data(ONE, {"id": id_}))["facility"]["openNow"] is True
    today = datetime.now(UTC).date()
    days = [today.fromordinal(today.toordinal() + step) for step in (2, 1, 0)]
    closed = [{"date": day.isoformat(), "name": "Bayram"} for day in days]
    payload = await asks(owner.here, HOURS, facility=id_, specialDays=closed)
    assert payload["facility"]["openNow"] is False
    assert len(payload["facility"]["operatingHours"]) == 7
    assert [day["date"] for day in payload["facility"]["specialDays"]] == sorted(day["date"] for day in closed)
    assert (await owner.there.data(ONE, {"id": id_}))["facility"]["openNow"] is False


async def test_the_zone_stays_once_days_were_counted_in_it(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    assert codes(await asks(owner.here, UPDATE, facility=id_, timezone="Asia/Tokyo")) == []
    visit = {"facilityId": (await town.stored("facilities", local(id_)))["_id"], "userId": owner.id}
    await town.database["visits"].insert_one({**visit, "at": datetime.now(UTC), "source": "front_desk"})
    payload = await asks(owner.here, UPDATE, facility=id_, timezone="Europe/Warsaw", name="Other")
    assert codes(payload) == [("INVALID_TRANSITION", ["timezone"])]
    stored = await town.stored("facilities", local(id_))
    assert (stored["timezone"], stored["name"]) == ("Asia/Tokyo", "Kule Spor")


WRONG: dict[str, tuple[dict[str, Any], list[list[str]]]] = {
    "an empty name": ({"name": "  "}, [["name"]]),
    "no name": ({"name": None}, [["name"]]),
    "a name with a line break": ({"name": "a\nb"}, [["name"]]),
    "an unknown zone": ({"timezone": "Mars/Olympus"}, [["timezone"]]),
    "a path for a zone": ({"timezone": "../etc/passwd"}, [["timezone"]]),
    "half a place": ({"address": {"latitude": 4}}, [["address"]]),
    "half a place and null": ({"address": {"latitude": 4, "longitude": None}}, [["address"]]),
    "beyond the pole": ({"address": {"latitude": 90.1, "longitude": 0}}, [["address", "latitude"]]),
    "beyond the date line": ({"address": {"latitude": 0, "longitude": -180.1}}, [["address", "longitude"]]),
    "a script for a site": ({"contact": {"website": "javascript:alert(1)"}}, [["contact", "website"]]),
    "a key of somebody's file": ({"media": {"logo": "users/1/photo.jpg"}}, [["media", "logo"]]),
    "a phone number": ({"contact": {"phoneNumber": "12"}}, [["contact", "phoneNumber"]]),
    "an amenity twice": ({"amenities": ["Duş", "DUŞ"]}, [["amenities"]]),
    "a room twice": ({"rooms": [{"name": "İç"}, {"name": "ic"}]}, [["rooms"]]),
    "too many amenities": ({"amenities": [f"a{n}" for n in range(101)]}, [["amenities"]]),
    "a room for nobody": ({"rooms": [{"name": "a", "capacity": 0}]}, [["rooms", "0", "capacity"]]),
    "less than none": ({"equipments": [{"name": "a", "quantity": -1}]}, [["equipments", "0", "quantity"]]),
    "a policy": ({"bookingPolicy": {"opensDaysBefore": 0}}, [["bookingPolicy", "opensDaysBefore"]]),
    "no no-show": ({"bookingPolicy": {"mostNoShows": 0}}, [["bookingPolicy", "mostNoShows"]]),
    "two at once": ({"name": "", "amenities": [""]}, [["name"], ["amenities", "0"]]),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_bad_input_is_named_and_changes_nothing(town: Town, wrong: str) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    change, paths = WRONG[wrong]
    before = await town.everything()
    for query, given in (
        (UPDATE, {"facility": id_}),
        (CREATE, {"name": "a", "type": "GYM", "timezone": "UTC", "idempotencyKey": uuid4().hex}),
    ):
        if query is CREATE and change.get("name", "") is None:
            continue  # the schema says so itself
        payload = await asks(owner.here, query, **{**given, **change})
        assert codes(payload) == [("BAD_USER_INPUT", path) for path in paths]
        assert payload["facility"] is None
    assert await town.everything() == before


async def staff_of(town: Town, facility: str, *permissions: str) -> Person:
    """Somebody who works at a facility."""
    person = await town.person()
    entry = {"userId": person.id, "role": "manager", "permissions": list(permissions), "joinedAt": datetime.now(UTC)}
    await town.database["facilities"].update_one(
        {"_id": (await town.stored("facilities", local(facility)))["_id"]}, {"$push": {"staff": entry}}
    )
    return person


async def test_staff_with_the_permission_may_change_it(town: Town) -> None:
    owner = await town.person("gym_owner")
    id_ = await town.facility(owner)
    manager = await staff_of(town, id_, "facility_write")
    assert codes(await asks(manager.there, UPDATE, facility=id_, name="Yeni")) == []
    assert (await owner.here.data(ONE, {"id": id_}))["facility"]["name"] == "Yeni"

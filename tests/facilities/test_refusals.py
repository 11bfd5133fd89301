"""Every mutation of this area, refused: guests, strangers, staff without the permission, and what does not exist."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from bson import ObjectId

from tests.api.conftest import Client, global_id

from .conftest import CREATE, Person, Town, asks, codes
from .test_calendars import FEED, REVOKE
from .test_classes import CLASS, FOLLOWING, ONE_DATE, PLAN, TEXT
from .test_editing import HOURS, UPDATE, staff_of
from .test_staffing import CHANGE, INVITE, REMOVE, WITHDRAW


@dataclass(slots=True)
class World:
    """A facility with its owner, and somebody for every reason to be refused."""

    town: Town
    owner: Person
    facility: str
    stranger: Person
    """Owns another facility."""
    unpermitted: Person
    """Works there with every permission but the one that is needed."""


Input = dict[str, Any]
Valid = Callable[[World], Awaitable[Input]]

PERMISSIONS = (
    "facility_write",
    "staff_write",
    "members_read",
    "members_write",
    "plans_write",
    "classes_write",
    "check_in",
)


async def _create(_: World) -> Input:
    return {"name": "Yeni", "type": "GYM", "timezone": "UTC", "idempotencyKey": uuid4().hex}


async def _update(world: World) -> Input:
    return {"facility": world.facility, "name": "Yeni"}


async def _hours(world: World) -> Input:
    return {"facility": world.facility, "hours": [{"day": "MONDAY", "openTime": "07:00", "closeTime": "23:00"}]}


async def _invite(world: World) -> Input:
    return {"facility": world.facility, "email": "yeni@example.org", "role": "COACH", "permissions": []}


async def _withdraw(world: World) -> Input:
    assert (await asks(world.owner.here, INVITE, **await _invite(world)))["userErrors"] == []
    return {"facility": world.facility, "email": "yeni@example.org"}


async def _change(world: World) -> Input:
    person = await staff_of(world.town, world.facility, "check_in")
    return {"facility": world.facility, "user": person.gid, "role": "RECEPTION", "permissions": ["CHECK_IN"]}


async def _remove(world: World) -> Input:
    person = await staff_of(world.town, world.facility, "check_in")
    return {"facility": world.facility, "user": person.gid}


async def _class(world: World) -> Input:
    return {**CLASS, "facility": world.facility, "idempotencyKey": uuid4().hex}


async def _planned(world: World) -> Any:
    payload = await asks(world.owner.here, PLAN, **await _class(world))
    assert payload["userErrors"] == []
    return payload["class"]


async def _feed(world: World) -> Input:
    return {"kind": "FACILITY", "facility": world.facility}


async def _text(world: World) -> Input:
    return {"class": (await _planned(world))["id"], "name": "Yin"}


async def _date(world: World) -> Input:
    return {"occurrence": (await _planned(world))["occurrences"][0]["id"], "capacity": 3}


_STAFF = (("facility", "Facility"), ("user", "User"))


@dataclass(frozen=True, slots=True)
class Case:
    """A mutation: a valid input, the permission it needs, and the inputs that name something."""

    query: str
    valid: Valid
    permission: str | None = None
    names: tuple[tuple[str, str], ...] = ()
    """Field and type of what an input names."""
    stranger: str | None = "FORBIDDEN"
    """The code for somebody who works elsewhere; None where everybody with an account may."""


CASES = {
    "createFacility": Case(CREATE, _create),
    "updateFacility": Case(UPDATE, _update, "facility_write", (("facility", "Facility"),)),
    "createClass": Case(PLAN, _class, "classes_write", (("facility", "Facility"),)),
    "updateClass": Case(TEXT, _text, "classes_write", (("class", "Class"),)),
    "changeClassDate": Case(ONE_DATE, _date, "classes_write", (("occurrence", "ClassOccurrence"),)),
    "changeFollowingDates": Case(FOLLOWING, _date, "classes_write", (("occurrence", "ClassOccurrence"),)),
    "createCalendarFeed": Case(FEED, _feed, None, (("facility", "Facility"),), stranger=None),
    "revokeCalendarFeed": Case(REVOKE, _feed, stranger=None),
    "inviteStaff": Case(INVITE, _invite, "staff_write", (("facility", "Facility"),)),
    "withdrawStaffInvitation": Case(WITHDRAW, _withdraw, "staff_write", (("facility", "Facility"),)),
    "changeStaff": Case(CHANGE, _change, "staff_write", _STAFF),
    "removeStaff": Case(REMOVE, _remove, "staff_write", _STAFF),
    "setFacilityHours": Case(HOURS, _hours, "facility_write", (("facility", "Facility"),)),
}


async def world_for(town: Town, permission: str | None) -> World:
    owner, stranger = await town.person("gym_owner"), await town.person("gym_owner")
    facility = await town.facility(owner)
    await town.facility(stranger)
    others = [one for one in PERMISSIONS if one != permission]
    return World(town, owner, facility, stranger, await staff_of(town, facility, *others))


async def refused(town: Town, client: Client, query: str, given: Input) -> list[tuple[str, list[str]]]:
    """Codes and paths of the errors, of the operation or of the payload; nothing may have been written."""
    before = await town.everything()
    answer = await client.run(query, {"i": given})
    assert await town.everything() == before
    if "errors" in answer:
        assert answer["data"] is None
        return [(error["extensions"]["code"], error["path"]) for error in answer["errors"]]
    payload = next(iter(answer["data"].values()))
    assert all(value is None for name, value in payload.items() if name != "userErrors")
    return codes(payload)


@pytest.mark.parametrize("name", CASES)
async def test_who_may_not_is_refused_and_nothing_is_written(town: Town, name: str) -> None:
    case = CASES[name]
    world = await world_for(town, case.permission)
    given = await case.valid(world)
    assert await refused(town, town.guest, case.query, given) == [("UNAUTHENTICATED", [name])]
    if name == "createFacility":
        for role in ("client", "studio_owner"):
            person = await town.person(role)
            assert [code for code, _ in await refused(town, person.here, case.query, given)] == ["FORBIDDEN"]
        return
    if case.stranger is None:
        return
    for person, code in ((world.stranger, case.stranger), (world.unpermitted, "FORBIDDEN")):
        assert [found for found, _ in await refused(town, person.here, case.query, given)] == [code], person


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.names])
async def test_what_does_not_exist_is_not_found(town: Town, name: str) -> None:
    case = CASES[name]
    world = await world_for(town, case.permission)
    given = await case.valid(world)
    for field, type_ in case.names:
        for wrong in (global_id(type_, ObjectId()), global_id("Visit", ObjectId()), "nonsense", global_id(type_, "x")):
            found = await refused(town, world.owner.here, case.query, {**given, field: wrong})
            assert found == [("NOT_FOUND", [field])], (field, wrong)

"""Profiles: every role's part is written and read back, private ones stay so, and bad input changes nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from bson import Decimal128, ObjectId

from nexfit.domains.identity.documents import Role
from nexfit.domains.identity.protected import client_field, medical_conditions, tax_id, tax_id_index
from nexfit.stores.connections import Stores

from .conftest import PASSWORD, Client, account, assert_refused, global_id, login

UPDATE = """mutation ($i: UpdateProfileInput!) { updateProfile(input: $i) {
    viewer { firstName lastName profileImage bodyProfile { dateOfBirth height weight dietaryRestrictions }
        medicalConditions coachProfiles { role bio specializations experience certifications rating reviewCount }
        roleProfiles { client { fitnessGoals fitnessLevel } coach { isFreelance hourlyRate { amount currency } }
            gymOwner { ...owner } studioOwner { ...owner } gymMember { ...visitor } studioClient { ...visitor } } }
    userErrors { code message path } } }
    fragment owner on OwnerProfile { businessName businessAddress businessPhoneNumber businessEmail taxId }
    fragment visitor on VisitorProfile {
        homeFacility { id } emergencyContactName emergencyContactPhoneNumber }"""
OWNER = {
    "businessName": "Kas ve Kemik",
    "businessAddress": "Moda Cd. 1, Kadıköy",
    "businessPhoneNumber": "+902121234567",
    "businessEmail": "iletisim@example.org",
    "taxId": "123 456 78 90",
}
COACH = {"bio": "Güç.\nDenge.", "specializations": ["Halter"], "experience": 7.5, "certifications": ["NSCA-CPT"]}
CLIENT = {
    "dateOfBirth": "1990-02-28",
    "height": 171.5,
    "weight": 68.0,
    "fitnessGoals": ["10 km"],
    "fitnessLevel": "INTERMEDIATE",
    "dietaryRestrictions": ["fıstık"],
    "medicalConditions": ["astım"],
}
EMERGENCY = {"emergencyContactName": "Ayşe Kaya", "emergencyContactPhoneNumber": "+905321234567"}


async def person(http: httpx.AsyncClient, stores: Stores, *roles: str, **fields: Any) -> tuple[Client, ObjectId]:
    user, email = await account(stores, role=list(roles), **fields)
    return await login(http, email, PASSWORD), user


async def update(client: Client, /, **fields: Any) -> dict[str, Any]:
    payload: dict[str, Any] = (await client.data(UPDATE, {"i": fields}))["updateProfile"]
    return payload


async def stored(stores: Stores, user: ObjectId) -> dict[str, Any]:
    found = await stores.mongo.database["users"].find_one({"_id": user})
    assert found is not None
    return dict(found)


async def test_every_role_has_its_part(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    client, user = await person(small_http, small_stores, *Role)
    facility = await small_stores.mongo.database["facilities"].find_one({})
    assert facility is not None
    home = global_id("Facility", facility["_id"])
    payload = await update(
        client,
        firstName=" Işıl ",
        profileImage="https://example.org/i.jpg",
        client=CLIENT,
        coach={**COACH, "isFreelance": True, "hourlyRate": {"amount": "1250.50", "currency": "TRY"}},
        gymOwner=OWNER,
        gymMember={**EMERGENCY, "homeFacilityId": home},
        gymCoach={"bio": "Gym"},
        studioOwner={"taxId": "99-88-77"},
        studioCoach={"experience": 2},
        studioClient=EMERGENCY,
    )
    assert payload["userErrors"] == []
    viewer = payload["viewer"]
    assert (viewer["firstName"], viewer["lastName"]) == ("Işıl", "Kaya")
    assert viewer["profileImage"] == "https://example.org/i.jpg"
    body = ("dateOfBirth", "height", "weight", "dietaryRestrictions")
    assert viewer["bodyProfile"] == {name: CLIENT[name] for name in body}
    assert viewer["medicalConditions"] == ["astım"]
    unsaid = {**dict.fromkeys(COACH), "rating": None, "reviewCount": None}
    assert viewer["coachProfiles"] == [
        {**unsaid, "role": "COACH", **COACH},
        {**unsaid, "role": "GYM_COACH", "bio": "Gym"},
        {**unsaid, "role": "STUDIO_COACH", "experience": 2},
    ]
    assert viewer["roleProfiles"] == {
        "client": {"fitnessGoals": ["10 km"], "fitnessLevel": "INTERMEDIATE"},
        "coach": {"isFreelance": True, "hourlyRate": {"amount": "1250.50", "currency": "TRY"}},
        "gymOwner": OWNER,
        "studioOwner": {**dict.fromkeys(OWNER), "taxId": "99-88-77"},
        "gymMember": {**EMERGENCY, "homeFacility": {"id": home}},
        "studioClient": {**EMERGENCY, "homeFacility": None},
    }
    kept, keys = await stored(small_stores, user), small_stores.keys
    parts = kept["roleSpecificData"]
    assert kept["nameFolded"] == "isil kaya"
    assert parts["coach"]["hourlyRate"] == Decimal128("1250.50")
    for name in ("height", "weight", "dietaryRestrictions"):
        assert client_field(keys, user, name, parts["client"][name]) == CLIENT[name]
    assert medical_conditions(keys, user, parts["client"]["medicalConditions"]) == ["astım"]
    assert tax_id(keys, user, "gym_owner", parts["gym_owner"]["taxId"]) == OWNER["taxId"]
    assert parts["gym_owner"]["taxIdIndex"] == tax_id_index(keys, "1234567890")
    database = small_stores.mongo.database
    [entry] = await database["audit_entries"].find({"entityId": str(user), "action": "profile.updated"}).to_list()
    [event] = await database["outbox"].find({"aggregateId": str(user), "eventType": "ProfileUpdated"}).to_list()
    told = repr(entry) + repr(event)
    assert "roleSpecificData.client.medicalConditions" in told
    assert not [word for word in ("astım", "fıstık", "171.5", "123 456", "Işıl") if word in told or word in repr(parts)]
    assert f"user:{user}" in repr(event)


async def test_what_is_left_out_stays_and_null_forgets(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    client, user = await person(small_http, small_stores, "client", "coach", "gym_owner")
    rate = {"amount": "900", "currency": "TRY"}
    await update(client, client=CLIENT, coach={**COACH, "hourlyRate": rate}, gymOwner={**OWNER, "taxId": "31-41-59"})
    payload = await update(
        client,
        lastName="Öz",
        client={"weight": None, "medicalConditions": None},
        coach={"hourlyRate": None, "certifications": []},
        gymOwner={"taxId": None},
    )
    assert payload["userErrors"] == []
    kept = await stored(small_stores, user)
    parts = kept["roleSpecificData"]
    assert (kept["firstName"], kept["lastName"], kept["nameFolded"]) == ("Deniz", "Öz", "deniz oz")
    assert parts["client"].keys() == CLIENT.keys() - {"weight", "medicalConditions"}
    assert parts["coach"] == {**COACH, "certifications": [], "certificates": []}
    assert parts["gym_owner"].keys() == OWNER.keys() - {"taxId"}
    assert payload["viewer"]["medicalConditions"] is None
    before = await stored(small_stores, user)
    assert (await update(client))["userErrors"] == []  # nothing given, nothing written
    assert await stored(small_stores, user) == before


@pytest.mark.parametrize(
    ("change", "code", "path"),
    [
        pytest.param({"firstName": None}, "BAD_USER_INPUT", ["firstName"], id="no-name"),
        pytest.param({"lastName": "x" * 81}, "BAD_USER_INPUT", ["lastName"], id="long-name"),
        pytest.param({"profileImage": "javascript:alert(1)"}, "BAD_USER_INPUT", ["profileImage"], id="script"),
        pytest.param({"client": None}, "BAD_USER_INPUT", ["client"], id="null-part"),
        pytest.param({"client": {"height": 12}}, "BAD_USER_INPUT", ["client", "height"], id="too-low"),
        pytest.param({"client": {"weight": 5000}}, "BAD_USER_INPUT", ["client", "weight"], id="too-heavy"),
        pytest.param({"client": {"dateOfBirth": "2200-01-01"}}, "BAD_USER_INPUT", ["client", "dateOfBirth"], id="born"),
        pytest.param(
            {"client": {"fitnessGoals": ["x"] * 51}}, "BAD_USER_INPUT", ["client", "fitnessGoals"], id="too-many"
        ),
        pytest.param(
            {"client": {"medicalConditions": ["ok", ""]}},
            "BAD_USER_INPUT",
            ["client", "medicalConditions", "1"],
            id="empty-line",
        ),
        pytest.param({"studioOwner": {"taxId": "12345"}}, "BAD_USER_INPUT", ["studioOwner"], id="foreign-role"),
        pytest.param({"gymCoach": {}}, "BAD_USER_INPUT", ["gymCoach"], id="foreign-role-without-fields"),
        pytest.param({"gymOwner": {"taxId": "??"}}, "BAD_USER_INPUT", ["gymOwner", "taxId"], id="tax-id"),
        pytest.param(
            {"coach": {"hourlyRate": {"amount": "1.001", "currency": "TRY"}}},
            "BAD_USER_INPUT",
            ["coach", "hourlyRate"],
            id="too-fine",
        ),
        pytest.param(
            {"coach": {"hourlyRate": {"amount": "1", "currency": "XQX"}}},
            "BAD_USER_INPUT",
            ["coach", "hourlyRate", "currency"],
            id="no-currency",
        ),
        pytest.param(
            {"gymMember": {"homeFacilityId": "nonsense"}}, "NOT_FOUND", ["gymMember", "homeFacilityId"], id="no-id"
        ),
        pytest.param(
            {"gymMember": {"homeFacilityId": global_id("Facility", "f" * 24)}},
            "NOT_FOUND",
            ["gymMember", "homeFacilityId"],
            id="unknown-facility",
        ),
        pytest.param(
            {"gymMember": {"emergencyContactPhoneNumber": "12"}},
            "BAD_USER_INPUT",
            ["gymMember", "emergencyContactPhoneNumber"],
            id="phone",
        ),
    ],
)
async def test_what_does_not_fit_changes_nothing(
    small_http: httpx.AsyncClient, small_stores: Stores, change: dict[str, Any], code: str, path: list[str]
) -> None:
    client, user = await person(small_http, small_stores, "client", "coach", "gym_owner", "gym_member")
    before = await stored(small_stores, user)
    payload = await update(client, **{"lastName": "Değişti", **change})
    assert payload["viewer"] is None
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [(code, path)]
    assert payload["userErrors"][0]["message"]
    assert await stored(small_stores, user) == before
    audited = {"entityId": str(user), "action": "profile.updated"}
    assert await small_stores.mongo.database["audit_entries"].count_documents(audited) == 0


async def test_a_tax_id_belongs_to_one_account(small_http: httpx.AsyncClient, small_stores: Stores) -> None:
    first, _ = await person(small_http, small_stores, "gym_owner")
    second, user = await person(small_http, small_stores, "gym_owner")
    assert (await update(first, gymOwner={"taxId": "PL 27-18-28"}))["userErrors"] == []
    before = await stored(small_stores, user)
    payload = await update(second, lastName="Değişti", gymOwner={"taxId": "pl271828"})
    assert [(error["code"], error["path"]) for error in payload["userErrors"]] == [
        ("BAD_USER_INPUT", ["gymOwner", "taxId"])
    ]
    assert await stored(small_stores, user) == before
    assert (await update(first, gymOwner={"taxId": None}))["userErrors"] == []
    assert (await update(second, gymOwner={"taxId": "pl271828"}))["userErrors"] == []


async def test_everybody_sees_what_a_coach_shows_and_nothing_else(
    small_http: httpx.AsyncClient, small_stores: Stores
) -> None:
    coach, user = await person(small_http, small_stores, "coach", "gym_owner")
    await update(
        coach, coach={**COACH, "hourlyRate": {"amount": "5", "currency": "EUR"}}, gymOwner={"taxId": "555-555"}
    )
    asked = """query ($id: ID!) { node(id: $id) { ... on User {
        coachProfiles { role bio } roleProfiles { gymOwner { taxId } coach { isFreelance } } } } }"""
    stranger, _ = await person(small_http, small_stores, "client")
    for viewer in (Client(small_http), stranger):
        answer = await viewer.run(asked, {"id": global_id("User", user)})
        assert answer["data"]["node"] == {
            "coachProfiles": [{"role": "COACH", "bio": COACH["bio"]}],
            "roleProfiles": None,
        }
    # A role that was given up shows nothing any more.
    await small_stores.mongo.database["users"].update_one({"_id": user}, {"$set": {"role": ["gym_owner"]}})
    own = (await coach.data("{ viewer { coachProfiles { role } roleProfiles { coach { isFreelance } } } }"))["viewer"]
    assert own == {"coachProfiles": [], "roleProfiles": {"coach": None}}


async def test_a_guest_has_no_profile_to_change(small_http: httpx.AsyncClient) -> None:
    response = await Client(small_http).post(UPDATE, {"i": {"firstName": "Kimse"}})
    assert_refused(response, "UNAUTHENTICATED")

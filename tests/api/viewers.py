"""The viewers of the demo, what each may do where, and what is whose: read from the stores, not from the API."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from nexfit.api.rights import MATRIX
from nexfit.domains.identity.access import Right
from nexfit.stores.connections import Stores

if TYPE_CHECKING:
    from .conftest import Client

ROLES = ("guest", "member", "coach", "desk", "owner", "studio_owner")
FACILITIES = ("kadikoy", "besiktas", "cankaya", "karsiyaka", "alsancak")


@dataclass(frozen=True, slots=True)
class Role:
    """A client, who it is, and what it may do where, as the stored facilities say."""

    client: Client
    user: ObjectId | None
    facilities: list[dict[str, Any]]

    def may(self, permission: str) -> set[str]:
        """Ids of the facilities where this role has a permission."""
        return {
            str(facility["_id"])
            for facility in self.facilities
            if self.user is not None
            and (
                facility["ownerId"] == self.user
                or any(
                    entry["userId"] == self.user and permission in entry["permissions"] for entry in facility["staff"]
                )
            )
        }


PUBLIC = (
    *("Facility", "Membership", "Class", "ClassOccurrence", "Exercise", "WorkoutTemplate", "WorkoutProgram", "Food"),
    *("Coach", "CoachReview"),
)


class Truth:
    """Which entities exist, and whose they are, read from the stores."""

    def __init__(self) -> None:
        self.scope: dict[str, dict[str, tuple[str, str]]] = {}
        """By type: local id to (facility, person)."""
        self.facility_of: dict[str, str] = {}
        """What is public to the facility whose it is."""
        self.author: dict[str, str] = {}
        """A relation to its coach."""
        self.clients: set[tuple[str, str]] = set()
        """Active (coach, client)."""
        self.consents: dict[tuple[str, str], set[str]] = {}
        """What an active client opens to the coach."""
        self.plans: dict[str, dict[str, Any]] = {}
        """Nutrition plans: public as templates, else for who wrote them, whom they are for, and by consent."""
        self.coaches: set[str] = set()
        self.reviews: set[str] = set()
        """Of coaches."""
        self.staff: dict[str, set[str]] = {}
        self.contact: dict[str, set[str]] = {}
        """Person to e-mail address and phone number."""

    @classmethod
    async def read(cls, stores: Stores) -> Truth:
        truth = cls()
        for name, table, column in (
            ("Transaction", "finance.transactions", "transaction_id::text"),
            ("Subscription", "finance.subscriptions", "subscription_id::text"),
            ("Invoice", "finance.invoices", "invoice_id::text"),
            ("MembershipPurchase", "finance.purchases WHERE plan_id IS NOT NULL", "purchase_id::text"),
            ("ProgramPurchase", "finance.purchases WHERE program_id IS NOT NULL", "purchase_id::text"),
            ("Member", "platform.member_facts", "facility_id || ':' || user_id"),
        ):
            found = await stores.postgres.fetch(f"SELECT {column} AS id, facility_id, user_id FROM {table}")
            truth.scope[name] = {row["id"]: (row["facility_id"], row["user_id"]) for row in found}
        audits = await stores.postgres.fetch(
            "SELECT audit_id::text AS id, facility_id, entity_type, entity_id FROM finance.audit_logs"
        )
        truth.scope["AuditEntry"] = {row["id"]: (row["facility_id"], "") for row in audits if row["facility_id"]}
        truth.scope["MedicalRead"] = {
            row["id"]: ("", row["entity_id"]) for row in audits if row["entity_type"] == "medical_record"
        }
        contracts = await stores.mongo.database["member_subscriptions"].find({}).to_list()
        truth.scope["MemberSubscription"] = {
            str(row["_id"]): (str(row["facilityId"]), str(row["userId"])) for row in contracts
        }
        sessions = await stores.mongo.database["sessions"].find({}).to_list()
        truth.scope["Session"] = {str(row["_id"]): ("", str(row["userId"])) for row in sessions}
        bookings = await stores.mongo.database["class_bookings"].find({}).to_list()
        truth.scope["ClassBooking"] = {
            str(row["_id"]): (str(row["facilityId"]), str(row["userId"])) for row in bookings
        }
        measured = await stores.mongo.database["measurements"].find({}, {"userId": 1}).to_list()
        truth.scope["Measurement"] = {str(row["_id"]): ("", str(row["userId"])) for row in measured}
        logged = await stores.mongo.database["workout_logs"].find({}, {"userId": 1}).to_list()
        truth.scope["WorkoutLog"] = {str(row["_id"]): ("", str(row["userId"])) for row in logged}
        enrolled = await stores.mongo.database["program_enrolments"].find({}, {"userId": 1}).to_list()
        truth.scope["ProgramEnrolment"] = {str(row["_id"]): ("", str(row["userId"])) for row in enrolled}
        sessions = await stores.mongo.database["pt_sessions"].find({}, {"clientId": 1, "coachId": 1}).to_list()
        truth.scope["PtSession"] = {str(row["_id"]): ("", str(row["clientId"])) for row in sessions}
        packages = await stores.postgres.fetch("SELECT package_id, client_id, coach_id FROM finance.coaching_packages")
        truth.scope["CoachingPackage"] = {row["package_id"]: ("", row["client_id"]) for row in packages}
        truth.plans = {str(row["_id"]): row async for row in stores.mongo.database["nutrition_plans"].find({})}
        relations = await stores.mongo.database["coach_clients"].find({}).to_list()
        truth.scope["CoachClient"] = {str(row["_id"]): ("", str(row["clientId"])) for row in relations}
        # A package of the demo has the id of its relation.
        truth.author = {str(row["_id"]): str(row["coachId"]) for row in (*relations, *sessions)}
        active = {
            (row["coachId"], row["clientId"]): row["createdAt"]
            for row in relations
            if row["relationship"]["status"] == "active"
        }
        truth.clients = {(str(coach), str(client)) for coach, client in active}
        for consent in await stores.mongo.database["consents"].find({}).to_list():
            since = active.get((consent["granteeId"], consent["userId"]))
            if since is not None and "endedAt" not in consent and consent["grantedAt"] >= since:
                pair = str(consent["granteeId"]), str(consent["userId"])
                truth.consents[pair] = set(consent["scopes"])
        sales = await stores.postgres.fetch(
            "SELECT purchase_id::text AS id, author_id FROM finance.purchases WHERE author_id IS NOT NULL"
        )
        truth.author |= {row["id"]: row["author_id"] for row in sales}
        visits = await stores.mongo.database["visits"].find({}).to_list()
        truth.scope["Visit"] = {str(row["_id"]): (str(row["facilityId"]), str(row["userId"])) for row in visits}
        for user in await stores.mongo.database["users"].find({}).to_list():
            truth.contact[str(user["_id"])] = {user["email"], user.get("phoneNumber", user["email"])}
            if {"coach", "gym_coach", "studio_coach"} & set(user["role"]):
                truth.coaches.add(str(user["_id"]))
        reviews = await stores.mongo.database["reviews"].find({"subjectType": "coach"}, {"_id": 1}).to_list()
        truth.reviews = {str(row["_id"]) for row in reviews}
        for facility in await stores.mongo.database["facilities"].find({}).to_list():
            truth.facility_of[str(facility["_id"])] = str(facility["_id"])
            truth.staff[str(facility["_id"])] = {str(entry["userId"]) for entry in facility["staff"]}
        for collection in ("memberships", "classes", "class_occurrences"):
            for document in await stores.mongo.database[collection].find({}, {"facilityId": 1}).to_list():
                truth.facility_of[str(document["_id"])] = str(document["facilityId"])
        return truth

    def people_of(self, facilities: set[str]) -> set[str]:
        """Members and staff."""
        members = {person for facility, person in self.scope["Member"].values() if facility in facilities}
        return members.union(*(self.staff[facility] for facility in facilities))

    def has(self, role: Role, type_: str, id_: str, right: Right) -> bool:
        """Whether a role has a right on an entity."""
        if right.anyone:
            return True
        if type_ == "User":
            by_staff = any(id_ in self.people_of(role.may(permission)) for permission in right.permissions)
            return (right.own and id_ == str(role.user)) or by_staff or self.opened(role, id_, right)
        if right.author and self.author.get(id_) == str(role.user):
            return True
        facility, person = (self.facility_of[id_], "") if type_ in PUBLIC else self.scope[type_][id_]
        return (
            (right.own and person == str(role.user))
            or any(facility in role.may(permission) for permission in right.permissions)
            or self.opened(role, person, right)
        )

    def opened(self, role: Role, client: str, right: Right) -> bool:
        """Whether a client opens one of the right's scopes to the role."""
        return not right.scopes.isdisjoint(self.consents.get((str(role.user), client), ()))

    def visible(self, role: Role, type_: str, id_: str) -> bool:
        """Whether `node` finds the entity for a role. Coaches are public; their clients they find as well."""
        found = MATRIX[type_].found
        if type_ == "NutritionPlan":
            plan = self.plans[id_]
            client = str(plan.get("forUserId"))
            return (
                (plan["isTemplate"] and plan["isPublic"])
                or (role.user is not None and role.user in (plan["createdBy"], plan.get("forUserId")))
                or "nutrition" in self.consents.get((str(role.user), client), ())
            )
        return (
            type_ in PUBLIC
            or (type_ == "User" and (id_ in self.coaches or (str(role.user), id_) in self.clients))
            or (found is not None and self.has(role, type_, id_, found))
        )

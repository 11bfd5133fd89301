"""The one schema. This module only lists what it is made of."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import cast

import strawberry
import yaml
from graphql import GraphQLEnumType, GraphQLSchema
from strawberry.printer import print_schema
from strawberry.schema.config import StrawberryConfig

from nexfit.api import reference
from nexfit.api.bounds import STATED
from nexfit.api.classes.calendars import CalendarMutations
from nexfit.api.classes.ending import EndingMutations
from nexfit.api.classes.mutations import ClassMutations
from nexfit.api.classes.planning import PlanningMutations
from nexfit.api.classes.scanning import CheckInMutations, CheckInQueries
from nexfit.api.classes.schedule import ScheduleQueries
from nexfit.api.coaching.coaches import CoachQueries
from nexfit.api.coaching.consents import ConsentMutations
from nexfit.api.coaching.hours import CoachHoursMutations
from nexfit.api.coaching.inviting import CoachingMutations
from nexfit.api.coaching.notes import CoachNoteMutations
from nexfit.api.coaching.packages import PackageMutations
from nexfit.api.coaching.pt_sessions import PtSessionMutations
from nexfit.api.coaching.reviews import CoachReviewMutations
from nexfit.api.facilities.mutations import FacilityMutations
from nexfit.api.facilities.pictures import PictureMutations
from nexfit.api.facilities.queries import FacilityQueries
from nexfit.api.facilities.staff import StaffMutations
from nexfit.api.fields import bind
from nexfit.api.finance.audit import AuditQueries
from nexfit.api.finance.invoicing import InvoicingMutations
from nexfit.api.finance.mutations import FinanceMutations
from nexfit.api.finance.till import TillMutations
from nexfit.api.identity.guests import GuestQueries
from nexfit.api.identity.mutations import IdentityMutations
from nexfit.api.identity.queries import IdentityQueries
from nexfit.api.jobs import JobQueries
from nexfit.api.memberships.activity import ACTIVITY_TYPES, ActivitySubscriptions
from nexfit.api.memberships.changes import MembershipChangeMutations, MembershipChangeQueries
from nexfit.api.memberships.importing import MemberImportMutations
from nexfit.api.memberships.mutations import MembershipMutations
from nexfit.api.memberships.plan_changes import PlanChangeMutations
from nexfit.api.memberships.plans import PlanMutations
from nexfit.api.memberships.program_purchases import ProgramSaleMutations
from nexfit.api.memberships.purchases import PurchaseMutations
from nexfit.api.memberships.remarks import RemarkMutations
from nexfit.api.memberships.visits import VisitMutations
from nexfit.api.nodes import NodeQueries
from nexfit.api.nutrition.roots import NutritionMutations, NutritionQueries
from nexfit.api.privacy.requests import PrivacyMutations, PrivacyQueries
from nexfit.api.scalars import SCALARS
from nexfit.api.training.roots import TrainingMutations, TrainingQueries


@strawberry.type(description="Everything that can be read.")
class Query(
    NodeQueries,
    IdentityQueries,
    GuestQueries,
    FacilityQueries,
    CoachQueries,
    ScheduleQueries,
    AuditQueries,
    TrainingQueries,
    JobQueries,
    CheckInQueries,
    MembershipChangeQueries,
    NutritionQueries,
    PrivacyQueries,
):
    """Root of queries."""


@strawberry.type(description=f"Everything that can be changed. {STATED}")
class Mutation(
    IdentityMutations,
    FacilityMutations,
    PictureMutations,
    StaffMutations,
    PlanningMutations,
    EndingMutations,
    CalendarMutations,
    ClassMutations,
    MembershipMutations,
    PurchaseMutations,
    ProgramSaleMutations,
    PlanMutations,
    MembershipChangeMutations,
    PlanChangeMutations,
    VisitMutations,
    CheckInMutations,
    RemarkMutations,
    MemberImportMutations,
    FinanceMutations,
    InvoicingMutations,
    TillMutations,
    TrainingMutations,
    NutritionMutations,
    ConsentMutations,
    CoachingMutations,
    CoachNoteMutations,
    CoachHoursMutations,
    CoachReviewMutations,
    PackageMutations,
    PtSessionMutations,
    PrivacyMutations,
):
    """Root of mutations."""


@strawberry.type(description="Everything that can be followed, over WebSocket or server-sent events.")
class SubscriptionRoot(ActivitySubscriptions):
    """Root of subscriptions; what is billed is called Subscription."""


def build_schema() -> GraphQLSchema:
    """The schema with every field's specification and its reference resolver."""
    schema = strawberry.Schema(
        query=Query,
        mutation=Mutation,
        subscription=SubscriptionRoot,
        types=ACTIVITY_TYPES,
        config=StrawberryConfig(scalar_map=SCALARS),
    )
    core = bind(schema)
    reference.install(core)
    _describe_enums(core)
    return core


def _describe_enums(schema: GraphQLSchema) -> None:
    """Give enum values the descriptions of `enum_values.yaml`: most enums belong to domains, which know no GraphQL."""
    for name, values in enum_values().items():
        type_ = schema.type_map.get(name)
        if isinstance(type_, GraphQLEnumType):
            for value, description in values.items():
                if value in type_.values:
                    type_.values[value].description = description


@cache
def enum_values() -> Mapping[str, Mapping[str, str]]:
    """Descriptions by enum and value."""
    text = (Path(__file__).parent / "enum_values.yaml").read_text(encoding="utf-8")
    return cast("Mapping[str, Mapping[str, str]]", yaml.safe_load(text))


def schema_text(schema: GraphQLSchema) -> str:
    """The schema in SDL with the directives on its fields, as `schema.graphql` holds it."""
    return print_schema(schema.extensions["strawberry-definition"]) + "\n"

"""People as clients see them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry

from nexfit.api.caching import Cached, CacheScope
from nexfit.api.classes.notices import notices_of_viewer
from nexfit.api.coaching import loaders as coaching
from nexfit.api.coaching.earnings import EarningsArgs, earnings_of_viewer
from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, column
from nexfit.api.identity import loaders
from nexfit.api.identity.role_profiles import (
    CoachProfile,
    RoleProfiles,
    coach_profiles_of_people,
    role_profiles_of_viewer,
)
from nexfit.api.identity.sessions import Session, sessions_of_viewer
from nexfit.api.nutrition import loaders as nutrition
from nexfit.api.relay import Connection, Node, PageArgs, id_reader
from nexfit.api.scalars import EmailAddress, PhoneNumber
from nexfit.api.training import body as bodies
from nexfit.api.training import loaders as training
from nexfit.domains.identity.documents import Role
from nexfit.engine.fields import Record

if TYPE_CHECKING:
    from nexfit.api.classes.bookings import ClassBooking
    from nexfit.api.classes.notices import Notice
    from nexfit.api.coaching.coaches import Coach
    from nexfit.api.coaching.packages import EarningsPeriod
    from nexfit.api.coaching.pt_sessions import PtSession
    from nexfit.api.coaching.types import CoachClient, Consent, MedicalRead
    from nexfit.api.facilities.types import Facility
    from nexfit.api.finance.types import Invoice, Subscription, Transaction
    from nexfit.api.memberships.program_purchases import ProgramPurchase
    from nexfit.api.memberships.types import MemberSubscription
    from nexfit.api.nutrition.plans import DiaryDay, NutritionPlan
    from nexfit.api.training.enrolments import ProgramEnrolment
    from nexfit.api.training.measurements import Measurement
    from nexfit.api.training.progress import Progress
    from nexfit.api.training.workouts import WorkoutLog

_OWN = Cached(60, CacheScope.PRIVATE)


@strawberry.type(description="A body in figures.")
class BodyProfile:
    """The client's part of a person's profile."""

    date_of_birth: date | None = column(description="Day of birth.")
    height: float | None = column(description="Centimetres.")
    weight: float | None = column(description="Kilograms.")
    dietary_restrictions: list[str] | None = column(description="What is not eaten.")


@strawberry.type(description="A person. Contact data is null for those who may not see it.")
class User(Node):
    """From MongoDB's `users`."""

    id: strawberry.ID = column("_id", read=id_reader("User"), description="The global id.")
    first_name: str = column(description="Given name.")
    last_name: str = column(description="Family name.")
    profile_image: str | None = column(description="Address of the picture.")
    email: EmailAddress | None = column(description="For the person and the facility's staff.", cache=_OWN)
    phone_number: PhoneNumber | None = column(description="For the person and the facility's staff.", cache=_OWN)
    roles: list[Role] | None = column("role", description="For the person and the facility's staff.", cache=_OWN)
    created_at: datetime | None = column(description="For the person and the facility's staff.", cache=_OWN)
    email_verified_at: datetime | None = column(description="When the address was proven; for the person.", cache=_OWN)
    phone_verified_at: datetime | None = column(description="When the number was proven; for the person.", cache=_OWN)
    second_factor_enabled: bool | None = batch(
        loaders.second_factors_of_people,
        description="Whether signing in takes a code of an authenticator app; for the person.",
    )
    coach_profiles: list[CoachProfile] | None = batch(
        coach_profiles_of_people,
        needs=("_id",),
        description="What the person shows everybody as a coach, one for each such role; empty for others.",
    )
    coach: Annotated[Coach, strawberry.lazy("nexfit.api.coaching.coaches")] | None = batch(
        coaching.coaches_of_people,
        needs=("_id",),
        description="The person as a coach whom everybody finds; null for others.",
    )
    role_profiles: RoleProfiles | None = batch(
        role_profiles_of_viewer, description="What the person told for each role; for the person only."
    )
    facilities: Connection[Annotated[Facility, strawberry.lazy("nexfit.api.facilities.types")]] | None = batch(
        loaders.facilities_of_viewer,
        args=PageArgs,
        description="Facilities the person owns or works at, by name; for the person only.",
    )
    member_subscriptions: (
        Connection[Annotated[MemberSubscription, strawberry.lazy("nexfit.api.memberships.types")]] | None
    ) = batch(
        loaders.member_subscriptions_of_viewer,
        args=PageArgs,
        description="Memberships the person holds or held, latest first; for the person only.",
    )
    class_bookings: Connection[Annotated[ClassBooking, strawberry.lazy("nexfit.api.classes.bookings")]] | None = batch(
        loaders.class_bookings_of_viewer,
        args=PageArgs,
        description="The person's places on dates of classes, the latest date first; for the person only.",
    )
    subscriptions: Connection[Annotated[Subscription, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.subscriptions_of_viewer,
        args=PageArgs,
        description="What the person is billed for, latest first; for the person only.",
    )
    invoices: Connection[Annotated[Invoice, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.invoices_of_viewer,
        args=PageArgs,
        description="The person's invoices, latest first; for the person only.",
    )
    transactions: Connection[Annotated[Transaction, strawberry.lazy("nexfit.api.finance.types")]] | None = batch(
        loaders.transactions_of_viewer,
        args=PageArgs,
        description="The person's payments and refunds, latest first; for the person only.",
    )
    body_profile: BodyProfile | None = batch(
        coaching.body_profiles,
        needs=("_id",),
        description="The body in figures; for the person, and a coach with the scope measurements.",
    )
    measurements: Connection[Annotated[Measurement, strawberry.lazy("nexfit.api.training.measurements")]] | None = (
        batch(
            coaching.measurements_of_people,
            needs=("_id",),
            args=PageArgs,
            description="What was measured, latest first; for the person, and a coach with the scope measurements.",
        )
    )
    workout_logs: Connection[Annotated[WorkoutLog, strawberry.lazy("nexfit.api.training.workouts")]] | None = batch(
        training.workouts_of_people,
        needs=("_id",),
        args=training.WorkoutLogsArgs,
        description="Workouts, the latest first; for the person, and a coach with the scope workouts.",
    )
    program_enrolments: (
        Connection[Annotated[ProgramEnrolment, strawberry.lazy("nexfit.api.training.enrolments")]] | None
    ) = batch(
        training.enrolments_of_people,
        needs=("_id",),
        args=training.EnrolmentsArgs,
        description="Programs, the latest first; for the person, and a coach with the scope workouts.",
    )
    progress: Annotated[Progress, strawberry.lazy("nexfit.api.training.progress")] | None = batch(
        training.progress_of_people,
        needs=("_id",),
        args=training.ProgressArgs,
        description="Volume, records and streaks of a range of days; for the person, and a coach with the scope "
        "workouts.",
    )
    nutrition_plans: Connection[Annotated[NutritionPlan, strawberry.lazy("nexfit.api.nutrition.plans")]] | None = batch(
        nutrition.plans_of_people,
        needs=("_id",),
        args=PageArgs,
        description="What was written for the person to eat, latest first; for the person, and a coach with the scope "
        "nutrition.",
    )
    food_diary: list[Annotated[DiaryDay, strawberry.lazy("nexfit.api.nutrition.plans")]] | None = batch(
        nutrition.diaries_of_people,
        needs=("_id",),
        args=nutrition.DiaryArgs,
        description="Days on which something was eaten, against the plan; for the person, and a coach with the scope "
        "nutrition.",
    )
    body_trend: bodies.BodyTrend | None = batch(
        bodies.trends_of_people,
        needs=("_id",),
        args=bodies.BodyTrendArgs,
        description="How a figure of the body went; for the person, and a coach with the scope measurements.",
    )
    body_goals: list[bodies.BodyGoal] | None = batch(
        bodies.goals_of_people,
        needs=("_id",),
        description="What the person works towards; for the person, and a coach with the scope measurements.",
    )
    medical_conditions: list[str] | None = batch(
        coaching.medical_conditions_of_people,
        needs=("_id",),
        description="Kept encrypted; for the person, and a coach with the scope medical, whose reads are recorded.",
    )
    medical_reads: Connection[Annotated[MedicalRead, strawberry.lazy("nexfit.api.coaching.types")]] | None = batch(
        coaching.medical_reads_of_viewer,
        args=PageArgs,
        description="Who read what tells of the person's health, latest first: medical conditions, the body's figures, "
        "measurements and their pictures. For the person only; one's own reads are not listed.",
    )
    clients: Connection[Annotated[CoachClient, strawberry.lazy("nexfit.api.coaching.types")]] | None = batch(
        coaching.clients_of_viewer,
        args=coaching.RelationsArgs,
        description="The person's clients, the oldest relation first; for the person only.",
    )
    coaches: Connection[Annotated[CoachClient, strawberry.lazy("nexfit.api.coaching.types")]] | None = batch(
        coaching.coaches_of_viewer,
        args=coaching.RelationsArgs,
        description="The person's coaches, the oldest relation first; for the person only.",
    )
    pt_sessions: Connection[Annotated[PtSession, strawberry.lazy("nexfit.api.coaching.pt_sessions")]] | None = batch(
        coaching.pt_sessions_of_viewer,
        args=coaching.PtSessionsArgs,
        description="Personal training the person gives or takes, the latest first; for the person only.",
    )
    earnings: list[Annotated[EarningsPeriod, strawberry.lazy("nexfit.api.coaching.packages")]] | None = batch(
        earnings_of_viewer,
        args=EarningsArgs,
        description="What the person earned as a coach, earliest first, a row for each currency; for the person only. "
        "Days are the facility's, else those of the coach's hours, else UTC's.",
    )
    program_sales: (
        Connection[Annotated[ProgramPurchase, strawberry.lazy("nexfit.api.memberships.program_purchases")]] | None
    ) = batch(
        loaders.program_sales_of_viewer,
        args=PageArgs,
        description="Who buys the person's programs, the latest first; for the person only.",
    )
    consents: list[Annotated[Consent, strawberry.lazy("nexfit.api.coaching.types")]] | None = batch(
        coaching.consents_of_viewer,
        description="What the person lets coaches see; for the person only.",
    )
    notices: list[Annotated[Notice, strawberry.lazy("nexfit.api.classes.notices")]] | None = batch(
        notices_of_viewer,
        description="What became of the person's bookings without them, the latest 50; for the person only.",
    )
    sessions: Connection[Session] | None = batch(
        sessions_of_viewer,
        args=PageArgs,
        description="Where the person is signed in, latest first; for the person only.",
    )


def user_field(path: str, *, description: str) -> Any:
    """A `User` found by an ObjectId the parent keeps at a dotted path; null where there is none."""

    async def load(parents: Sequence[Record], args: Args, context: Context) -> Sequence[Any]:
        return await loaders.users_at(parents, path, args, context)

    return batch(load, needs=(path,), description=description, cache=Cached(60, shown="user:{_id}"))

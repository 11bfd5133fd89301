"""A coach's app: writes programs and plans, meets clients, follows what they do as far as they let it be seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, cast
from uuid import uuid4

import httpx
from coach_api import (
    AcceptStaffInvitationInput,
    AddCoachNoteInput,
    CancelClassDateInput,
    Client,
    CoachProfileInput,
    CompletePtSessionInput,
    CreateExerciseInput,
    CreateFoodInput,
    CreateNutritionPlanInput,
    CreateWorkoutProgramInput,
    CreateWorkoutTemplateInput,
    Day,
    EnrolInProgramInput,
    FoodPortionInput,
    InviteClientInput,
    LoginInput,
    PlannedMealInput,
    PlannedSetInput,
    ProgramDayInput,
    ProgramPriceInput,
    RatePtSessionInput,
    RefreshTokenInput,
    RegisterInput,
    RegistrationRole,
    SellPackageInput,
    SetCoachHoursInput,
    SetProgramPriceInput,
    TemplateExerciseInput,
    UpdateProfileInput,
    VerifyEmailInput,
    WeekdayOpeningInput,
)
from coach_api.activity import (
    Activity,
    ActivityFacilityActivityActivityNotice,
    ActivityFacilityActivityBookingActivity,
    ActivityFacilityActivityMembershipActivity,
    ActivityFacilityActivityVisitActivity,
)
from coach_api.add_note import AddNoteAddCoachNoteRelation
from coach_api.clients import ClientsViewerClientsNodes
from coach_api.exceptions import GraphQLClientError, GraphQLClientGraphQLMultiError
from coach_api.fragments import Appointment
from coach_api.renew import RenewRefreshToken
from coach_api.report import ReportNodeUser
from coach_api.sales import SalesViewerProgramSalesNodes
from coach_api.write_plan import WritePlanCreateNutritionPlanPlan
from session import TIMEOUT, Session, accepted, given
from websockets.exceptions import WebSocketException


@dataclass(frozen=True, slots=True)
class Prescription:
    """Working sets of an exercise: how many, of how many repetitions, with which weight in kg."""

    exercise: str
    sets: int
    reps: int
    kilos: float


class CoachApp:
    """The app of a coach who is signed in, or about to be."""

    def __init__(self, url: str, timezone: str, *, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._url = url
        self._timezone = timezone
        self.session = Session(self._renewed, clock)
        self._plain = httpx.AsyncClient(timeout=TIMEOUT)
        self._http = httpx.AsyncClient(auth=self.session, timeout=TIMEOUT)
        # The generated client's own protocol of an HTTP client is narrower than httpx's class.
        self._open = Client(f"{url}/graphql", http_client=cast(Any, self._plain))
        self.api = Client(f"{url}/graphql", http_client=cast(Any, self._http))

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()
        await self._plain.aclose()

    # --- signing in

    async def register(self, email: str, password: str, first_name: str, last_name: str) -> None:
        """Ask for a coach's account; a link comes by mail."""
        asked = RegisterInput(
            email=email, password=password, first_name=first_name, last_name=last_name, role=RegistrationRole.COACH
        )
        accepted((await self._open.register(asked)).registered.user_errors)

    async def confirm(self, token: str, password: str) -> None:
        """Follow the link of the mail: the account exists, and the app is signed in."""
        signed = (await self._open.verify_email(VerifyEmailInput(token=token, password=password))).verify_email
        accepted(signed.user_errors)
        self.session.begin(signed)

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in."""
        signed = (await self._open.login(LoginInput(email=email, password=password))).login
        accepted(signed.user_errors)
        self.session.begin(signed)

    async def _renewed(self, refresh_token: str, retry_key: str) -> RenewRefreshToken:
        asked = RefreshTokenInput(refresh_token=refresh_token, retry_key=retry_key)
        signed = (await self._open.renew(asked)).refresh_token
        accepted(signed.user_errors)
        return signed

    async def introduce(self, bio: str, specializations: Sequence[str]) -> None:
        """Say who one is as a coach."""
        profile = CoachProfileInput(bio=bio, specializations=list(specializations))
        accepted((await self.api.introduce(UpdateProfileInput(coach=profile))).update_profile.user_errors)

    async def join_gym(self, token: str) -> str:
        """Follow the link of a gym's invitation; the gym's name."""
        answer = (await self.api.join_staff(AcceptStaffInvitationInput(token=token))).accept_staff_invitation
        accepted(answer.user_errors)
        return given(answer.facility).name

    async def open_hours(self, days: Sequence[Day], opens: str, closes: str) -> None:
        """Say when clients may schedule sessions."""
        hours = [WeekdayOpeningInput(day=day, open_time=opens, close_time=closes) for day in days]
        answer = await self.api.set_hours(SetCoachHoursInput(timezone=self._timezone, hours=hours))
        accepted(answer.set_coach_hours.user_errors)

    # --- what is prescribed

    async def add_exercise(self, name: str, area: str, *, is_public: bool = False) -> str:
        """An exercise of the coach's own; its id."""
        asked = CreateExerciseInput(
            name=name, primary_body_areas=[area], is_public=is_public, idempotency_key=uuid4().hex
        )
        answer = (await self.api.add_exercise(asked)).create_exercise
        accepted(answer.user_errors)
        return given(answer.exercise).id

    async def write_workout(self, name: str, prescriptions: Sequence[Prescription], *, is_public: bool = False) -> str:
        """A workout to prescribe; its id. A public one names public exercises."""
        exercises = [
            TemplateExerciseInput(
                exercise=one.exercise,
                default_sets=[PlannedSetInput(reps=one.reps, weight=one.kilos) for _ in range(one.sets)],
            )
            for one in prescriptions
        ]
        asked = CreateWorkoutTemplateInput(
            name=name, exercises=exercises, is_public=is_public, idempotency_key=uuid4().hex
        )
        answer = (await self.api.add_workout(asked)).create_workout_template
        accepted(answer.user_errors)
        return given(answer.template).id

    async def write_program(self, name: str, days: Sequence[str | None], *, is_public: bool = False) -> str:
        """A program of workouts by day, None for a day of rest; its id. A public one names public workouts."""
        schedule = [ProgramDayInput(workout=day) if day else ProgramDayInput() for day in days]
        asked = CreateWorkoutProgramInput(
            name=name, schedule=schedule, is_public=is_public, idempotency_key=uuid4().hex
        )
        answer = (await self.api.add_program(asked)).create_workout_program
        accepted(answer.user_errors)
        return given(answer.program).id

    async def assign(self, program: str, client: str, start: date) -> str:
        """Let a client begin a program; the enrolment's id."""
        answer = await self.api.assign(EnrolInProgramInput(program=program, user=client, start_date=start))
        accepted(answer.enrol_in_program.user_errors)
        return given(answer.enrol_in_program.enrolment).id

    async def price(self, program: str, gym: str, price: Decimal, discounted: Decimal | None = None) -> None:
        """Let a gym sell a program."""
        seller = ProgramPriceInput(facility=gym, price=price, currency="TRY", discount_price=discounted)
        answer = await self.api.set_price(SetProgramPriceInput(program=program, price=seller))
        accepted(answer.set_program_price.user_errors)

    async def sales(self) -> list[SalesViewerProgramSalesNodes]:
        """Who buys the coach's programs, the latest first."""
        return given(given((await self.api.sales()).viewer).program_sales).nodes

    async def add_food(self, name: str, *, calories: float, protein: float) -> str:
        """A food of the coach's own, per 100 g; its id."""
        asked = CreateFoodInput(
            name=name, calories=calories, protein=protein, carbs=0, fat=0, idempotency_key=uuid4().hex
        )
        answer = (await self.api.add_food(asked)).create_food
        accepted(answer.user_errors)
        return given(answer.food).id

    async def write_plan(
        self, name: str, client: str, meals: Mapping[str, Mapping[str, float]], *, calories: float
    ) -> WritePlanCreateNutritionPlanPlan:
        """A plan for a client: grams of foods by meal, and the kilocalories they are to come to."""
        planned = [
            PlannedMealInput(
                name=meal,
                portions=[FoodPortionInput(food=food, quantity=grams) for food, grams in portions.items()],
            )
            for meal, portions in meals.items()
        ]
        asked = CreateNutritionPlanInput(
            name=name, user=client, meals=planned, calories=calories, idempotency_key=uuid4().hex
        )
        answer = (await self.api.write_plan(asked)).create_nutrition_plan
        accepted(answer.user_errors)
        return given(answer.plan)

    # --- clients

    async def invite(self, client: str, goals: Sequence[str]) -> str:
        """Ask somebody, whose id their app showed, to become a client; the relation's id."""
        answer = (await self.api.invite(InviteClientInput(client=client, goals=list(goals)))).invite_client
        accepted(answer.user_errors)
        return given(answer.relation).id

    async def clients(self) -> list[ClientsViewerClientsNodes]:
        """Everybody with what is next, what is paid and how far the program is."""
        return given(given((await self.api.clients()).viewer).clients).nodes

    async def report(self, client: str, first: date, last: date) -> ReportNodeUser:
        """What a client did; what they do not show is null."""
        found = (await self.api.report(client, first, last, self._timezone)).node
        assert isinstance(found, ReportNodeUser)  # noqa: S101
        return found

    async def sell(self, relation: str, sessions: int, price: Decimal, start: date, end: date) -> int:
        """Give a client sessions; how many are left of them."""
        asked = SellPackageInput(
            relation=relation,
            name=f"{sessions} sessions",
            sessions=sessions,
            price=price,
            currency="TRY",
            starts_on=start,
            ends_on=end,
            idempotency_key=uuid4().hex,
        )
        answer = (await self.api.sell_package(asked)).sell_package
        accepted(answer.user_errors)
        return given(answer.package).remaining

    async def appointments(self, since: datetime, until: datetime) -> list[Appointment]:
        """Sessions of a range of time."""
        answer = await self.api.appointments(since, until)
        return list(given(given(answer.viewer).pt_sessions).nodes)

    async def complete(self, session: str, rating: int, notes: str) -> Appointment:
        """Say that the client came to a session, and how it was."""
        accepted((await self.api.complete(CompletePtSessionInput(session=session))).complete_pt_session.user_errors)
        answer = await self.api.rate_session(RatePtSessionInput(session=session, rating=rating, notes=notes))
        accepted(answer.rate_pt_session.user_errors)
        return given(answer.rate_pt_session.session)

    async def note(self, relation: str, text: str, *, private: bool = False) -> AddNoteAddCoachNoteRelation:
        """Note something about a client, for both or for the coach alone."""
        answer = await self.api.add_note(AddCoachNoteInput(relation=relation, text=text, private=private))
        accepted(answer.add_coach_note.user_errors)
        return given(answer.add_coach_note.relation)

    # --- the gym

    async def call_off(self, occurrence: str, reason: str) -> int:
        """Call a date of a class off; how many bookings that ended."""
        answer = await self.api.call_off(CancelClassDateInput(occurrence=occurrence, reason=reason))
        accepted(answer.cancel_class_date.user_errors)
        return given(answer.cancel_class_date.cancelled_bookings)

    async def activity(self, gym: str) -> AsyncIterator[str]:
        """What happens at the gym, a line each, until the reader stops; a lost connection goes on where it broke."""
        after: str | None = None
        while True:
            live = Client(
                ws_url=f"{self._url.replace('http', 'ws', 1)}/graphql",
                ws_connection_init_payload={"accessToken": await self.session.fresh()},
            )
            try:
                async with live:
                    async for message in live.activity(gym, after):
                        after = message.facility_activity.cursor
                        if line := told(message):
                            yield line
            except GraphQLClientGraphQLMultiError:
                raise  # refused, and it would be again
            except (GraphQLClientError, WebSocketException, OSError, TimeoutError):
                await asyncio.sleep(1)


def told(message: Activity) -> str | None:
    """A message as a line; None for a kind that is newer than this app."""
    match message.facility_activity:
        case ActivityFacilityActivityActivityNotice() as notice:
            return notice.state.value
        case ActivityFacilityActivityBookingActivity() as booking:
            class_ = given(given(booking.occurrence).class_).name
            return f"{given(booking.user).first_name} {booking.status.value} {class_}"
        case ActivityFacilityActivityVisitActivity() as visit:
            return f"{given(given(visit.visit).user).first_name} is here ({given(visit.visit).source.value})"
        case ActivityFacilityActivityMembershipActivity() as membership:
            return f"{given(membership.user).first_name} has {given(membership.plan).name}"
        case _:
            return None

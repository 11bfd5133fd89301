"""A client's app: trains from a program, logs without a network, eats, weighs, books, talks with the coach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast
from uuid import uuid4

import httpx
from client_api import (
    AcceptCoachInput,
    BodyMetric,
    BookClassInput,
    BookingInput,
    Client,
    CompleteProgramDayInput,
    ConsentInput,
    ConsentScope,
    EnrolInProgramInput,
    LogFoodInput,
    LoggedExerciseInput,
    LoggedSetInput,
    LoginInput,
    PhotoInput,
    PhotoType,
    PtSlotInput,
    PurchaseMembershipInput,
    PurchaseProgramInput,
    RatePtSessionInput,
    RecordMeasurementInput,
    RefreshTokenInput,
    RegisterInput,
    RequestPhotoUploadInput,
    SaveOutcome,
    SaveWorkoutLogsInput,
    SchedulePtSessionInput,
    SetBodyGoalInput,
    VerifyEmailInput,
    WorkoutFeedbackInput,
    WorkoutLogInput,
)
from client_api.book import BookBookClassBooking
from client_api.diary import DiaryViewerFoodDiary
from client_api.fragments import Appointment
from client_api.logbook import LogbookViewer
from client_api.my_coach import MyCoachViewerCoachesNodes
from client_api.my_program import MyProgramViewerProgramEnrolmentsNodes
from client_api.renew import RenewRefreshToken
from client_api.shown import ShownNodeWorkoutProgram
from client_api.timetable import TimetableScheduleNodes
from client_api.trend import TrendViewerBodyTrend
from session import TIMEOUT, Session, accepted, given

Program = MyProgramViewerProgramEnrolmentsNodes
Coach = MyCoachViewerCoachesNodes


class ClientApp:
    """One device of a client. What was logged on it stays on it until the API has taken it."""

    def __init__(
        self,
        url: str,
        timezone: str,
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._clock = clock
        self._timezone = timezone
        self.session = Session(self._renewed, clock)
        self._plain = httpx.AsyncClient(base_url=url, transport=transport, timeout=TIMEOUT)
        self._http = httpx.AsyncClient(base_url=url, transport=transport, auth=self.session, timeout=TIMEOUT)
        # The generated client's own protocol of an HTTP client is narrower than httpx's class.
        self._open = Client(f"{url}/graphql", http_client=cast(Any, self._plain))
        self.api = Client(f"{url}/graphql", http_client=cast(Any, self._http))
        self.waiting: dict[str, WorkoutLogInput] = {}
        """Workouts that the API has not taken yet, by the id this device gave them."""

    async def close(self) -> None:
        """Let the connections go."""
        await self._http.aclose()
        await self._plain.aclose()

    # --- signing in

    async def register(self, email: str, password: str, first_name: str, last_name: str) -> None:
        """Ask for an account; a link comes by mail."""
        given_ = RegisterInput(email=email, password=password, first_name=first_name, last_name=last_name)
        accepted((await self._open.register(given_)).registered.user_errors)

    async def confirm(self, token: str, password: str) -> None:
        """Follow the link of the mail: the account exists, and this device is signed in."""
        signed = (await self._open.verify_email(VerifyEmailInput(token=token, password=password))).verify_email
        accepted(signed.user_errors)
        self.session.begin(signed)

    async def sign_in(self, email: str, password: str) -> None:
        """Sign in on this device."""
        signed = (await self._open.login(LoginInput(email=email, password=password))).login
        accepted(signed.user_errors)
        self.session.begin(signed)

    async def _renewed(self, refresh_token: str, retry_key: str) -> RenewRefreshToken:
        asked = RefreshTokenInput(refresh_token=refresh_token, retry_key=retry_key)
        signed = (await self._open.renew(asked)).refresh_token
        accepted(signed.user_errors)
        return signed

    async def my_id(self) -> str:
        """What the app shows as a picture, for a coach to scan."""
        return given((await self.api.me()).viewer).id

    # --- the coach

    async def accept_invitation(self, scopes: Sequence[ConsentScope]) -> str:
        """Say yes to the coach who asked first, and what they may see; the coach's id."""
        [invitation, *_] = given(given((await self.api.invitations()).viewer).coaches).nodes
        answer = await self.api.accept_coach(AcceptCoachInput(relation=invitation.id, scopes=list(scopes)))
        accepted(answer.accept_coach.user_errors)
        return given(invitation.coach).id

    async def show_no_more(self, coach: str, scopes: Sequence[ConsentScope]) -> list[ConsentScope]:
        """Take kinds of data back from the coach; what is left."""
        answer = (await self.api.withdraw_consent(ConsentInput(coach=coach, scopes=list(scopes)))).withdraw_consent
        accepted(answer.user_errors)
        return given(answer.consent).scopes

    async def coach(self, days: int = 7) -> Coach:
        """The coach: notes, credits, and when they are free in the next days."""
        now = self._clock()
        answer = await self.api.my_coach(now, now + timedelta(days=days))
        [found] = given(given(answer.viewer).coaches).nodes
        return found

    async def meet(self, starts_at: datetime) -> Appointment:
        """Schedule an hour with the coach; it takes a credit."""
        relation = (await self.coach()).id
        slot = PtSlotInput(starts_at=starts_at, minutes=60)
        asked = SchedulePtSessionInput(relation=relation, slot=slot, idempotency_key=uuid4().hex)
        answer = (await self.api.schedule(asked)).schedule_pt_session
        accepted(answer.user_errors)
        return given(answer.session)

    async def rate(self, session: str, rating: int, notes: str) -> Appointment:
        """Say how a session was."""
        answer = await self.api.rate_session(RatePtSessionInput(session=session, rating=rating, notes=notes))
        accepted(answer.rate_pt_session.user_errors)
        return given(answer.rate_pt_session.session)

    # --- training

    async def program(self) -> Program:
        """The program that was begun last, with what each day asks for."""
        answer = await self.api.my_program()
        [program, *_] = given(given(answer.viewer).program_enrolments).nodes
        return program

    async def begin(self, program: str) -> str:
        """Begin a program that is free or was bought before; the enrolment's id."""
        answer = (await self.api.begin(EnrolInProgramInput(program=program))).enrol_in_program
        accepted(answer.user_errors)
        return given(answer.enrolment).id

    async def buy_program(self, program: str) -> str:
        """Buy a program at the price that is shown; where to pay. It begins once that is done."""
        shown = (await self.api.shown(program)).node
        assert isinstance(shown, ShownNodeWorkoutProgram)  # noqa: S101
        pricing = given(shown.pricing)
        total = pricing.discount_price or pricing.price
        asked = PurchaseProgramInput(program=program, expected_total=total.amount, idempotency_key=uuid4().hex)
        answer = (await self.api.buy_program(asked)).purchase_program
        accepted(answer.user_errors)
        return given(answer.checkout_url)

    def log(self, program: Program, day: int, *, kilos: float, started: datetime) -> WorkoutLogInput:
        """Note a day of the program as done, without a network: the prescribed sets, this much heavier."""
        asked = next(one for one in given(program.days) if one.day == day)
        plan = given(asked.plan)
        exercises = [
            LoggedExerciseInput(
                exercise=given(one.exercise).id,
                sets=[
                    LoggedSetInput(reps=given(planned.reps), weight=given(planned.weight) + kilos)
                    for planned in one.default_sets or ()
                ],
            )
            for one in plan.exercises or ()
        ]
        log = WorkoutLogInput(
            client_id=f"{given(asked.workout).id}.{day}",
            revision=1,
            edited_at=self._clock(),
            start_time=started,
            end_time=started + timedelta(minutes=45),
            name=plan.name,
            template=given(asked.workout).id,
            template_version=plan.version,
            exercises=exercises,
        )
        self.waiting[log.client_id] = log
        return log

    def correct(self, log: WorkoutLogInput, rating: int) -> WorkoutLogInput:
        """Say afterwards how a workout was, also without a network: another revision of it."""
        feedback = WorkoutFeedbackInput(rating=rating)
        changed = log.model_copy(
            update={"revision": log.revision + 1, "edited_at": self._clock(), "feedback": feedback}
        )
        self.waiting[changed.client_id] = changed
        return changed

    async def sync(self) -> dict[str, SaveOutcome]:
        """Send what waits, the latest first as it happens to lie; what became of each, by the device's id.

        When the answer is lost everything waits on and is sent again: that changes nothing more.
        """
        logs = list(self.waiting.values())[::-1]
        answer = (await self.api.sync(SaveWorkoutLogsInput(logs=logs))).save_workout_logs
        accepted(answer.user_errors)
        for one, sent in zip(answer.results, logs, strict=True):
            if not one.user_errors and self.waiting.get(one.client_id) is sent:
                del self.waiting[one.client_id]
        for one in answer.results:  # only when all that was taken waits no more
            accepted(one.user_errors)
        return {one.client_id: one.outcome for one in answer.results}

    async def finish_day(self, enrolment: str, day: int) -> str:
        """Tell that a day of the program is done; the program's state."""
        asked = CompleteProgramDayInput(enrolment=enrolment, day=day)
        answer = (await self.api.complete_day(asked)).complete_program_day
        accepted(answer.user_errors)
        return given(given(answer.enrolment).status).value

    async def logbook(self, first: date, last: date) -> LogbookViewer:
        """Workouts and what they come to."""
        return given((await self.api.logbook(first, last, self._timezone)).viewer)

    # --- food and body

    async def eat(self, food: str, grams: float, day: date, meal: str) -> float:
        """Write down what was eaten; its kilocalories."""
        asked = LogFoodInput(food=food, quantity=grams, day=day, meal=meal, idempotency_key=uuid4().hex)
        answer = (await self.api.eat(asked)).log_food
        accepted(answer.user_errors)
        return given(given(answer.entry).contains.calories)

    async def diary(self, first: date, last: date) -> list[DiaryViewerFoodDiary]:
        """What was eaten, by day, beside what was planned."""
        return given(given((await self.api.diary(first, last)).viewer).food_diary)

    async def weigh(self, kilos: float, *, photo: bytes | None = None) -> list[str]:
        """Keep today's weight, with a picture if there is one; the addresses of its pictures, which end."""
        photos = [PhotoInput(key=await self._send(photo), position="front")] if photo else []
        asked = RecordMeasurementInput(date=self._clock(), weight=kilos, photos=photos, idempotency_key=uuid4().hex)
        answer = (await self.api.weigh(asked)).record_measurement
        accepted(answer.user_errors)
        return [one.url for one in given(answer.measurement).photos or ()]

    async def _send(self, photo: bytes) -> str:
        answer = await self.api.photo_address(RequestPhotoUploadInput(type_=PhotoType.JPEG))
        accepted(answer.request_photo_upload.user_errors)
        (await self._plain.put(given(answer.request_photo_upload.address), content=photo)).raise_for_status()
        return given(answer.request_photo_upload.key)

    async def download(self, address: str) -> bytes:
        """A file behind an address that the API gave out."""
        return (await self._plain.get(address)).raise_for_status().content

    async def aim(self, kilos: float) -> None:
        """Set the weight to arrive at."""
        answer = await self.api.set_goal(SetBodyGoalInput(metric=BodyMetric.WEIGHT, target=kilos))
        accepted(answer.set_body_goal.user_errors)

    async def trend(self, first: date, last: date) -> TrendViewerBodyTrend:
        """How the weight went."""
        return given(given((await self.api.trend(first, last, self._timezone)).viewer).body_trend)

    # --- the gym

    async def join(self, gym: str, plan: str) -> str:
        """Buy a membership at the price that is shown; where to pay."""
        facility = given((await self.api.gym(gym)).facility)
        [shown] = [one for one in facility.memberships if one.name == plan]
        asked = PurchaseMembershipInput(plan=shown.id, expected_total=shown.price.amount, idempotency_key=uuid4().hex)
        answer = (await self.api.join(asked)).purchase_membership
        accepted(answer.user_errors)
        return given(answer.checkout_url)

    async def timetable(self, gym: str, since: datetime, until: datetime) -> list[TimetableScheduleNodes]:
        """Dates of classes, the earliest first."""
        return (await self.api.timetable(gym, since, until)).schedule.nodes

    async def book(self, occurrence: str) -> BookBookClassBooking:
        """Take a place on a date."""
        asked = BookClassInput(occurrence=occurrence, idempotency_key=uuid4().hex)
        answer = (await self.api.book(asked)).book_class
        accepted(answer.user_errors)
        return given(answer.booking)

    async def arrive(self, booking: str) -> str:
        """Be here; the booking's state."""
        answer = (await self.api.arrive(BookingInput(booking=booking))).check_in
        accepted(answer.user_errors)
        return given(answer.booking).status.value

    async def notices(self) -> list[str]:
        """What became of bookings without the client: kind and class."""
        found = given(given((await self.api.notices()).viewer).notices)
        return [f"{one.kind.value} {given(given(one.occurrence).class_).name}" for one in found]

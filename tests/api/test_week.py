"""A week of a client and a coach by the apps of `examples/week`, from registration to a finished program.

Their clients are generated from `schema.graphql`; everything goes over HTTP and a socket to a server that listens.
The week is the next whole one, a clock that only the server's and the apps' owner can set takes them through it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from pydantic import SecretStr

from nexfit.embedded import EmbeddedServers
from nexfit.payments.local_server import LocalProvider, serving
from nexfit.settings import AuthSettings, FilesSettings, PaymentSettings, Settings
from tests.databases import migrated

from .conftest import PASSWORD, Client, Mailbox
from .test_raw_http import listening

ROOT = Path(__file__).parents[2]
ZONE = "Europe/Istanbul"
PHOTO = b"\xff\xd8\xff" + b"a picture" * 100


class Clock:
    """What everybody of the week goes by."""

    def __init__(self) -> None:
        today = datetime.now(UTC).date()
        self.sunday = today + timedelta(days=7 - today.isoweekday() or 7)
        self.now = self.at(0, "12:00")

    def __call__(self) -> datetime:
        return self.now

    def day(self, number: int) -> date:
        """1 is Monday, 7 the Sunday at the end; 0 the Sunday before."""
        return self.sunday + timedelta(days=number)

    def at(self, day: int, at: str) -> datetime:
        """An instant of the gym's calendar."""
        return datetime.combine(self.day(day), time.fromisoformat(at), ZoneInfo(ZONE)).astimezone(UTC)

    def becomes(self, day: int, at: str) -> None:
        """Go on to an instant."""
        assert self.at(day, at) > self.now
        self.now = self.at(day, at)


class Tunnel(httpx.AsyncHTTPTransport):
    """A phone's network, in which the next answer is lost after the server did what was asked, or nothing arrives."""

    loses_answer = False
    is_gone = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_gone:
            raise httpx.ConnectError("no network", request=request)
        response = await super().handle_async_request(request)
        if self.loses_answer:
            self.loses_answer = False
            await response.aclose()
            raise httpx.ReadError("the train went into a tunnel", request=request)
        return response


@pytest.fixture(scope="module")
def apps() -> tuple[Any, Any, Any]:
    """The modules of both apps, over clients made from this schema."""
    made = subprocess.run(["make", "apps"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110)
    assert made.returncode == 0, made.stdout + made.stderr
    sys.path.insert(0, str(ROOT / "examples" / "week"))
    try:
        import client_app
        import coach_app
        import session
    finally:
        sys.path.pop(0)
    return client_app, coach_app, session


@asynccontextmanager
async def world(
    servers: EmbeddedServers, folder: Path, clock: Clock, mail: Mailbox
) -> AsyncIterator[tuple[str, LocalProvider]]:
    """A server over empty stores, as it is started for customers, and a payment provider; the server's address."""
    provider = LocalProvider("key", "webhook secret", clock=clock)
    async with (
        serving(provider) as at,
        migrated(
            servers.urls,
            redis_database=1,
            auth=AuthSettings(secret=SecretStr("a secret of the tests that is long enough")),
            files=FilesSettings(root=folder),
            payments=PaymentSettings(
                provider="local", secret=SecretStr("key"), webhook_secret=SecretStr("webhook secret"), url=at
            ),
        ) as settings,
        listening(patient(settings), provider=mail, clock=clock) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        provider.deliver_to = f"{url}/webhooks/payments"
        yield url, provider


def patient(settings: Settings) -> Settings:
    """The same with time for slow stores: an app has no second try for each of its hundreds of requests."""
    waits = {
        "mongo": {"timeout": 20, "server_selection_timeout": 20},
        "postgres": {"connect_timeout": 20, "statement_timeout": 20, "lock_timeout": 20},
        "redis": {"timeout": 20, "connect_timeout": 20},
        "payments": {"timeout": 20},
    }
    return settings.model_copy(
        update={name: getattr(settings, name).model_copy(update=longer) for name, longer in waits.items()}
    )


class Owner:
    """The owner of a gym, who has no app here: what a week needs of one, in plain GraphQL."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.client = Client(http)
        self.gym = ""

    async def do(self, name: str, type_: str, fields: str, /, **input_: Any) -> Any:
        """A mutation that must work."""
        query = f"mutation ($i: {type_}!) {{ {name}(input: $i) {{ {fields} userErrors {{ code path message }} }} }}"
        answer = (await self.client.data(query, {"i": input_}))[name]
        assert answer["userErrors"] == [], answer
        return answer

    async def open(self, mail: Mailbox, clock: Clock) -> None:
        """Register and open a gym with a plan and an evening class."""
        who = {"email": "sahibi@example.org", "password": PASSWORD, "firstName": "Defne", "lastName": "Ak"}
        await self.do("register", "RegisterInput", "accepted", **who, role="GYM_OWNER")
        link = (await mail.newest(who["email"], "verify_email")).secret
        signed = await self.do("verifyEmail", "VerifyEmailInput", "accessToken", token=link, password=PASSWORD)
        self.client.token = signed["accessToken"]
        opened = await self.do(
            "createFacility", "CreateFacilityInput", "facility { id }",
            name="Sahil Spor", type="GYM", timezone=ZONE, address={"country": "TR"}, idempotencyKey="1",
        )  # fmt: skip
        self.gym = opened["facility"]["id"]
        await self.do(
            "createMembershipPlan", "CreateMembershipPlanInput", "membership { id }",
            facility=self.gym, name="Aylık", duration={"value": 1, "unit": "MONTH"}, price="900", currency="TRY",
            limitations={"classesIncluded": True}, idempotencyKey="2",
        )  # fmt: skip
        await self.do(
            "createClass", "CreateClassInput", "class { id }",
            facility=self.gym, name="Yoga", firstDate=str(clock.day(1)), startTime="18:00", duration=60, capacity=5,
            recurrence={"frequency": "DAILY"}, idempotencyKey="3",
        )  # fmt: skip

    async def hire(self, email: str, mail: Mailbox) -> str:
        """Invite a coach to the staff; the link's secret."""
        rights = ["MEMBERS_READ", "CLASSES_WRITE", "PLANS_WRITE"]
        await self.do(
            "inviteStaff", "InviteStaffInput", "facility { id }",
            facility=self.gym, email=email, role="COACH", permissions=rights,
        )  # fmt: skip
        return (await mail.newest(email, "staff_invitation")).secret or ""


@dataclass(slots=True)
class Week:
    """Who takes part, and what each day is for; every day checks what it did."""

    client_app: Any
    coach_app: Any
    session_module: Any
    owner: Owner
    phone: Any
    network: Tunnel
    watch: Any
    coach: Any
    provider: LocalProvider
    clock: Clock
    mail: Mailbox
    relation: str = ""
    ayse: str = ""
    coach_id: str = ""
    program: Any = None
    oats: str = ""
    bookings: list[Any] = field(default_factory=list)
    last_yoga: str = ""
    session: str = ""
    seen: list[str] = field(default_factory=list)

    def days(self) -> list[Callable[[], Awaitable[None]]]:
        """What happens, in order."""
        first = [self.prepare, self.monday, self.tuesday, self.wednesday]
        return [*first, self.thursday, self.friday, self.saturday, self.sunday]

    async def prepare(self) -> None:
        """The Sunday before: everybody registers, the coach writes a program and a plan, the client joins both."""
        phone, coach, clock = self.phone, self.coach, self.clock
        Day, Scope = self.coach_app.Day, self.client_app.ConsentScope  # noqa: N806
        await coach.register("kaan@example.org", PASSWORD, "Kaan", "Er")
        await coach.confirm((await self.mail.newest("kaan@example.org", "verify_email")).secret, PASSWORD)
        await coach.introduce("Strength for beginners.", ["strength"])
        assert await coach.join_gym(await self.owner.hire("kaan@example.org", self.mail)) == "Sahil Spor"
        await coach.open_hours([Day.TUESDAY, Day.THURSDAY], "10:00", "14:00")
        squat = await coach.add_exercise("Kaan's squat", "upper legs", is_public=True)
        press = await coach.add_exercise("Kaan's press", "chest")
        squats = self.coach_app.Prescription(squat, sets=3, reps=5, kilos=60)
        legs = await coach.write_workout("Legs", [squats], is_public=True)
        arms = await coach.write_workout("Arms", [self.coach_app.Prescription(press, sets=2, reps=8, kilos=30)])
        program = await coach.write_program("First week", [legs, arms, None, legs, arms, None, legs])

        await phone.register("ayse@example.org", PASSWORD, "Ayşe", "Su")
        with pytest.raises(self.session_module.Refused) as refused:
            await phone.sign_in("ayse@example.org", PASSWORD)
        assert refused.value.code == "INVALID_CREDENTIALS"  # nobody yet: the link was not followed
        await phone.confirm((await self.mail.newest("ayse@example.org", "verify_email")).secret, PASSWORD)
        await self.watch.sign_in("ayse@example.org", PASSWORD)
        self.ayse = await phone.my_id()

        self.relation = await coach.invite(self.ayse, ["a first squat"])
        scopes = [Scope.WORKOUTS, Scope.NUTRITION, Scope.MEASUREMENTS, Scope.PHOTOS]
        self.coach_id = await phone.accept_invitation(scopes)
        assert await coach.sell(self.relation, 2, Decimal(1500), clock.day(1), clock.day(7)) == 2
        await coach.assign(program, self.ayse, clock.day(1))
        self.oats = await coach.add_food("Kaan's oats", calories=400, protein=12)
        plan = await coach.write_plan("Breakfasts", self.ayse, {"Breakfast": {self.oats: 100}}, calories=500)
        assert (plan.contents.totals.calories, plan.contents.error.calories) == (400, -100)
        await phone.aim(70)
        pay_at = await phone.join(self.owner.gym, "Aylık")
        await self.provider.pay(pay_at.rpartition("/")[2])
        await self.provider.settled()

    async def train(self, day: int, kilos: float) -> Any:
        """A workout of the program, noted on the phone without asking the network."""
        return self.phone.log(self.program, day, kilos=kilos, started=self.clock() - timedelta(hours=1))

    async def monday(self) -> None:
        """Before breakfast the client weighs, trains, eats; there is no network in the gym."""
        self.clock.becomes(1, "07:00")
        await self.phone.weigh(72)
        self.program = await self.phone.program()
        assert [day.state.value for day in self.program.days] == ["PENDING"] * 7
        assert [day.is_rest_day for day in self.program.days] == [False, False, True, False, False, True, False]
        assert self.program.assigned_by.first_name == "Kaan"
        self.network.is_gone = True
        log = await self.train(1, kilos=0)
        with pytest.raises(httpx.ConnectError):
            await self.phone.sync()
        self.phone.correct(log, rating=4)

    async def tuesday(self) -> None:
        """The network is back, and lost in the middle of an answer: what is sent twice is there once."""
        self.clock.becomes(2, "19:00")
        await self.train(2, kilos=2.5)
        saved = self.client_app.SaveOutcome
        self.network.is_gone = False
        for step in (self.phone.session.fresh, self.phone.sync):
            self.network.loses_answer = True
            with pytest.raises(httpx.ReadError):
                await step()
            await self.phone.session.fresh()  # the refresh token was used already, and the key tells by whom
        assert len(self.phone.waiting) == 2
        assert set((await self.phone.sync()).values()) == {saved.UNCHANGED}
        assert self.phone.waiting == {}
        for day in (1, 2):
            assert await self.phone.finish_day(self.program.id, day) == "ACTIVE"
        assert await self.phone.eat(self.oats, 125, self.clock.day(2), "Breakfast") == 500
        yoga = await self.phone.timetable(self.owner.gym, self.clock(), self.clock.at(7, "00:00"))
        assert [one.starts_at for one in yoga] == [self.clock.at(day, "18:00") for day in (3, 4, 5, 6)]
        assert all(one.class_.name == "Yoga" and one.viewer_booking is None for one in yoga)
        self.bookings = [await self.phone.book(one.id) for one in (yoga[0], yoga[3])]
        assert [one.status.value for one in self.bookings] == ["BOOKED", "BOOKED"]
        self.last_yoga = yoga[3].id
        free = (await self.phone.coach()).free_times
        assert [(one.starts_at, one.ends_at) for one in free] == [
            (self.clock.at(4, "10:00"), self.clock.at(4, "14:00")),
            (self.clock.at(9, "10:00"), self.clock.at(9, "14:00")),
        ]
        self.session = (await self.phone.meet(free[0].starts_at)).id
        with pytest.raises(self.session_module.Refused) as refused:
            await self.phone.meet(free[0].starts_at + timedelta(minutes=30))
        assert refused.value.code == "BOOKING_CLASH"

    async def wednesday(self) -> None:
        """Rest, and yoga: the coach sees over a socket who comes."""
        self.clock.becomes(3, "17:45")
        assert await self.phone.finish_day(self.program.id, 3) == "ACTIVE"
        async with self.watching():
            assert await self.phone.arrive(self.bookings[0].id) == "ATTENDED"
            await self.sees("Ayşe ATTENDED Yoga")

    async def thursday(self) -> None:
        """An hour with the coach, and what both say of it; the watch comes with an old version of Monday."""
        self.clock.becomes(4, "09:00")
        await self.coach.sign_in("kaan@example.org", PASSWORD)
        [client] = await self.coach.clients()
        assert (client.status.value, client.overview.next_session_at) == ("ACTIVE", self.clock.at(4, "10:00"))
        assert (client.overview.credits.remaining, client.overview.credits.reserved) == (1, 1)
        self.clock.becomes(4, "11:05")
        [session] = await self.coach.appointments(self.clock.at(4, "00:00"), self.clock.at(5, "00:00"))
        told = await self.coach.complete(session.id, 5, "Deep enough at last.")
        assert (told.status.value, told.feedback.coach.rating) == ("COMPLETED", 5)
        told = await self.phone.rate(session.id, 4, "Hard.")
        assert (told.feedback.client.notes, told.feedback.coach.notes) == ("Hard.", "Deep enough at last.")
        await self.coach.note(self.relation, "Sleep more.")
        noted = await self.coach.note(self.relation, "Fears the bar.", private=True)
        assert [one.text for one in noted.private_notes] == ["Fears the bar."]
        seen = await self.phone.coach()
        assert ([one.text for one in seen.notes], seen.private_notes) == (["Sleep more."], None)
        assert [(one.used, one.reserved, one.remaining) for one in seen.packages] == [(1, 0, 1)]
        await self.phone.weigh(71.5)
        await self.train(4, kilos=5)
        saved = self.client_app.SaveOutcome
        assert list((await self.phone.sync()).values()) == [saved.CREATED]
        await self.phone.finish_day(self.program.id, 4)
        # The watch was never told that Monday was rated afterwards, and lay in a drawer since.
        self.watch.log(self.program, 1, kilos=0, started=self.clock.at(1, "06:00"))
        assert list((await self.watch.sync()).values()) == [saved.KEPT]

    async def friday(self) -> None:
        """The coach reads how it goes; the client shows less from now on."""
        self.clock.becomes(5, "20:00")
        await self.train(5, kilos=2.5)
        await self.phone.sync()
        await self.phone.finish_day(self.program.id, 5)
        monday, sunday = self.clock.day(1), self.clock.day(7)
        report = await self.coach.report(self.ayse, monday, sunday)
        # 3 sets of 5 with 60 and 65 kg; 2 of 8 with 32.5 kg, twice.
        volumes = [15 * 65, 16 * 32.5, 16 * 32.5, 15 * 60]
        assert sorted(one.figures.volume for one in report.workout_logs.nodes) == sorted(volumes)
        assert (report.progress.total.workouts, report.progress.total.volume) == (4, sum(volumes))
        best = {one.exercise.name: one.value for one in report.progress.records}
        epley = {"Kaan's squat": 65 * (1 + 5 / 30), "Kaan's press": 32.5 * (1 + 8 / 30)}
        assert best == pytest.approx(epley, abs=0.001)
        assert [one.feedback.rating for one in report.workout_logs.nodes if one.feedback] == [4]
        assert [(one.day, one.totals.calories, one.error.calories) for one in report.food_diary] == [
            (self.clock.day(2), 500, 0)
        ]
        assert [one.value for one in report.body_trend.points] == [72, 71.5]
        assert report.medical_conditions is None
        Scope = self.client_app.ConsentScope  # noqa: N806
        left = await self.phone.show_no_more(self.coach_id, [Scope.NUTRITION, Scope.MEASUREMENTS])
        assert left == [Scope.PHOTOS, Scope.WORKOUTS]
        report = await self.coach.report(self.ayse, monday, sunday)
        assert (report.food_diary, report.body_trend, report.measurements) == (None, None, None)
        assert report.progress.total.workouts == 4

    async def saturday(self) -> None:
        """Yoga is called off, and the client is told."""
        self.clock.becomes(6, "09:00")
        await self.phone.finish_day(self.program.id, 6)
        assert await self.coach.call_off(self.last_yoga, "The boiler is broken.") == 1
        async with asyncio.timeout(30):
            while await self.phone.notices() != ["CALLED_OFF Yoga"]:  # noqa: ASYNC110  # an app looks now and then
                await asyncio.sleep(0.1)

    async def sunday(self) -> None:
        """The last day is done, and the week looked at."""
        self.clock.becomes(7, "10:00")
        [address] = await self.phone.weigh(71, photo=PHOTO)
        assert await self.phone.download(address) == PHOTO
        await self.train(7, kilos=10)
        await self.phone.sync()
        assert await self.phone.finish_day(self.program.id, 7) == "COMPLETED"
        monday, sunday = self.clock.day(1), self.clock.day(7)
        book = await self.phone.logbook(monday, sunday)
        assert (book.workout_logs.total_count, book.progress.total.workouts, book.progress.total.sets) == (5, 5, 13)
        trend = await self.phone.trend(monday, sunday)
        assert [one.value for one in trend.points] == [72, 71.5, 71]
        assert (trend.change, trend.left, trend.goal.target) == (-0.5, -1.5, 70)  # of the means over seven days
        program = await self.phone.program()
        assert (program.status.value, program.adherence.rate) == ("COMPLETED", 1)
        report = await self.coach.report(self.ayse, monday, sunday)
        assert [(one.status.value, one.adherence.rate) for one in report.program_enrolments.nodes] == [("COMPLETED", 1)]
        await self.buy_the_next(report.first_name)
        self.clock.now += timedelta(minutes=11)
        with pytest.raises(httpx.HTTPStatusError):
            await self.phone.download(address)

    async def buy_the_next(self, buyer: str) -> None:
        """The client wants more of it, which the gym sells for the coach."""
        legs = self.program.days[0].workout.id
        more = await self.coach.write_program("Second week", [legs, None, legs], is_public=True)
        await self.coach.price(more, self.owner.gym, Decimal("690"), Decimal("590.50"))
        with pytest.raises(self.session_module.Refused) as refused:
            await self.phone.begin(more)
        assert refused.value.code == "PURCHASE_REQUIRED"
        await self.provider.pay((await self.phone.buy_program(more)).rpartition("/")[2])
        await self.provider.settled()
        bought = await self.phone.program()
        assert (bought.name, bought.status.value, bought.assigned_by) == ("Second week", "ACTIVE", None)
        [sale] = await self.coach.sales()
        assert (sale.user.first_name, sale.status.value, sale.given_back) == (buyer, "ACTIVE", False)
        assert (sale.program.name, sale.total.amount, sale.total.currency) == ("Second week", Decimal("590.50"), "TRY")

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """The coach's app shows what happens at the gym while the block runs."""

        async def watch() -> None:
            async for line in self.coach.activity(self.owner.gym):
                self.seen.append(line)

        task = asyncio.create_task(watch())
        try:
            await self.sees("STARTED", task)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def sees(self, line: str, task: asyncio.Task[None] | None = None) -> None:
        """Wait until the coach's app shows a line."""
        async with asyncio.timeout(30):
            while line not in self.seen:
                assert task is None or not task.done(), task
                await asyncio.sleep(0.02)


@pytest.mark.timeout(300)
async def test_a_week_from_registration_to_a_finished_program(
    servers: EmbeddedServers, tmp_path: Path, apps: tuple[Any, Any, Any]
) -> None:
    clock, mail = Clock(), Mailbox()
    async with (
        world(servers, tmp_path, clock, mail) as (url, provider),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):
        owner = Owner(http)
        await owner.open(mail, clock)
        client_app, coach_app, session = apps
        network = Tunnel()
        phone = client_app.ClientApp(url, ZONE, clock=clock, transport=network)
        watch = client_app.ClientApp(url, ZONE, clock=clock)
        coach = coach_app.CoachApp(url, ZONE, clock=clock)
        week = Week(client_app, coach_app, session, owner, phone, network, watch, coach, provider, clock, mail)
        try:
            for day in week.days():
                await day()
        finally:
            for app in (phone, watch, coach):
                await app.close()

"""Work that is due at times: which jobs there are, and the worker in every process that takes them from the queue.

pgqueuer's schedules and queue live in PostgreSQL (schema `platform`): of all workers one queues a job that is due, one
runs it, and a job whose worker died is taken again after `SILENCE`. So each job may run twice, and must be safe then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from pgqueuer import PgQueuer
from pgqueuer.adapters.drivers.asyncpg import AsyncpgDriver
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment, QueryQueueBuilder, QuerySchedulerBuilder
from pgqueuer.adapters.persistence.queries import Queries
from pgqueuer.domain.settings import DBSettings
from pgqueuer.models import Job as Queued
from pgqueuer.models import Schedule

from nexfit.domains.classes.attendance import close_dates
from nexfit.domains.classes.places import ClassDesk
from nexfit.domains.classes.planning import make_due_dates
from nexfit.domains.classes.release import release_frozen, release_seats
from nexfit.domains.coaching import availability, packages
from nexfit.domains.facilities.listing import refresh_all
from nexfit.domains.finance.payments import PaymentProvider
from nexfit.domains.identity import coach_listing
from nexfit.domains.memberships import billing, plan_changes, platform_plans, purchase
from nexfit.domains.memberships.billing import Billing
from nexfit.domains.memberships.freezing import thaw_due
from nexfit.domains.memberships.platform_plans import Platform
from nexfit.domains.memberships.purchase import OnlineSales
from nexfit.hybrid import job_queue
from nexfit.hybrid.cancellation import stop_if_cancelled
from nexfit.hybrid.joined_views import JoinedViews
from nexfit.hybrid.turns import Turns
from nexfit.hybrid.unit_of_work import UnitsOfWork
from nexfit.operations import partitions
from nexfit.operations.people import work as people
from nexfit.operations.people.desk import PeopleDesk
from nexfit.payments import open_provider
from nexfit.settings import Settings
from nexfit.stores.connections import Stores
from nexfit.stores.errors import StoreError
from nexfit.stores.postgres import maintenance_connection, plain_connection

SILENCE = timedelta(seconds=30)
"""After so long without a sign of life a worker's job is taken by another one."""

REST = 5.0
"""Seconds a worker rests that lost PostgreSQL."""

EVENTS_KEPT = timedelta(days=30)
"""How long webhooks are remembered; providers send them again for three days."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What jobs work with; one per worker."""

    settings: Settings
    stores: Stores
    units: UnitsOfWork
    provider: PaymentProvider | None

    @classmethod
    def of(cls, settings: Settings, stores: Stores, wake: Callable[[], None] = lambda: None) -> Desk:
        """As the settings say."""
        units = UnitsOfWork(stores, JoinedViews(stores.redis).invalidate, wake)
        return cls(settings, stores, units, open_provider(settings.payments))

    @property
    def sales(self) -> OnlineSales:
        """What selling online works with."""
        return OnlineSales.of(self.units, self.stores, self.provider, self.settings.payments)

    @property
    def classes(self) -> ClassDesk:
        """What booking works with."""
        return ClassDesk(self.units, self.stores.mongo, Turns())

    @property
    def people(self) -> PeopleDesk:
        """What carrying out people's requests works with."""
        return PeopleDesk(self.settings, self.stores, self.units, self.provider)

    async def close(self) -> None:
        """Let go of the provider's connections."""
        if self.provider is not None:
            await self.provider.close()


@dataclass(frozen=True, slots=True)
class Job:
    """A job: `run(desk, now)` answers how much it did. `schedule` is a cron expression in UTC."""

    name: str
    schedule: str
    what: str
    run: Callable[[Desk, datetime], Awaitable[int]]


async def _close_dates(desk: Desk, now: datetime) -> int:
    return await close_dates(desk.classes, now=now)


async def _make_dates(desk: Desk, now: datetime) -> int:
    return await make_due_dates(desk.classes, now=now)


async def _refresh_listings(desk: Desk, _: datetime) -> int:
    return await refresh_all(desk.stores.mongo) + await coach_listing.refresh_all(desk.stores.mongo)


async def _open_coach_hours(desk: Desk, now: datetime) -> int:
    return await availability.open_ahead(desk.stores.mongo, now=now)


async def _recover_purchases(desk: Desk, now: datetime) -> int:
    return await purchase.recover(desk.sales, now=now) + await plan_changes.recover(desk.sales, now=now)


async def _bill(desk: Desk, now: datetime) -> int:
    return await billing.run(Billing(desk.units, desk.stores, desk.provider), now=now)


async def _mirror_platform_plans(desk: Desk, now: datetime) -> int:
    platform = Platform.of(desk.settings.platform)
    return 0 if platform is None else await platform_plans.mirror(desk.units, desk.stores, platform, now=now)


async def _thaw(desk: Desk, now: datetime) -> int:
    return await thaw_due(desk.units, desk.stores, now=now)


async def _release_seats(desk: Desk, now: datetime) -> int:
    released = await release_seats(desk.classes, now=now)
    return released + await release_frozen(desk.classes, desk.stores.postgres, now=now)


async def _expire_packages(desk: Desk, now: datetime) -> int:
    return await packages.expire(desk.units, desk.stores.postgres, now=now)


async def _carry_out_requests(desk: Desk, now: datetime) -> int:
    return await people.work(desk.people, now=now)


async def _make_partitions(desk: Desk, now: datetime) -> int:
    async with maintenance_connection(desk.settings.postgres) as connection:
        return len(await partitions.ensure_ahead(connection, now.date()))  # type: ignore[arg-type]


async def _forget(desk: Desk, now: datetime) -> int:
    await purchase.forget_events(desk.stores.postgres, before=now - EVENTS_KEPT)
    return await job_queue.forget(desk.stores.postgres)


JOBS: Sequence[Job] = (
    Job("close_dates", "* * * * *", "marks no-shows of dates that are over, and ends waiting for them", _close_dates),
    Job("make_dates", "* * * * *", "makes the dates of classes that repeat, a while ahead", _make_dates),
    Job(
        "refresh_listings",
        "*/10 * * * *",
        "compares what facilities and coaches are listed by with where it comes from",
        _refresh_listings,
    ),
    Job("open_coach_hours", "*/10 * * * *", "keeps the hours of coaches a while ahead as instants", _open_coach_hours),
    Job(
        "recover_purchases",
        "* * * * *",
        "takes on what was left of purchases, changes, refunds",
        _recover_purchases,
    ),
    Job("thaw_memberships", "*/10 * * * *", "ends the pauses of memberships", _thaw),
    Job("bill_memberships", "*/10 * * * *", "renews, charges, reminds, suspends and ends memberships", _bill),
    Job(
        "mirror_platform_plans",
        "* * * * *",
        "repeats in facilities which plan of the platform they have",
        _mirror_platform_plans,
    ),
    Job(
        "release_seats",
        "*/5 * * * *",
        "gives back seats no membership covers any more",
        _release_seats,
    ),
    Job("expire_packages", "*/10 * * * *", "lets sessions expire of packages that have ended", _expire_packages),
    Job("people", "* * * * *", "exports and erases people who asked for it", _carry_out_requests),
    Job("make_partitions", "17 1 * * *", "makes the partitions of the months to come", _make_partitions),
    Job("forget", "41 1 * * *", "deletes what is kept for a while only", _forget),
)


def _now() -> datetime:
    return datetime.now(UTC)


async def keep_working(
    settings: Settings, stores: Stores, wake: Callable[[], None], jobs: Sequence[Job] = JOBS
) -> None:
    """Queue what is due and run what is queued, beside all other workers, until cancelled."""
    desk = Desk.of(settings, stores, wake)
    try:
        while True:
            stop_if_cancelled()
            try:
                async with plain_connection(settings.postgres) as connection:
                    await _worker(AsyncpgDriver(connection), desk, jobs).run(SILENCE, heartbeat_timeout=SILENCE)
            except StoreError as error:
                log.warning("jobs wait for postgres", error=str(error))
            except Exception:  # the queue's own, a lost connection among them: another worker has its jobs meanwhile
                log.exception("the worker of jobs failed; it begins anew")
            await asyncio.sleep(REST)
    finally:
        await desk.close()


def _worker(driver: AsyncpgDriver, desk: Desk, jobs: Sequence[Job]) -> PgQueuer:
    named = DBSettings(db_schema=job_queue.SCHEMA)
    queries = Queries(driver, QueryBuilderEnvironment(named), QueryQueueBuilder(named), QuerySchedulerBuilder(named))
    worker = PgQueuer(driver, queries=queries)
    for job in jobs:
        worker.entrypoint(job.name, concurrency_limit=1, on_failure="hold")(_running(job, desk))
        worker.schedule(job.name, job.schedule)(_queueing(job, queries, desk))
    return worker


def _running(job: Job, desk: Desk) -> Callable[[Queued], Awaitable[None]]:
    async def run(_: Queued) -> None:
        done = await job.run(desk, _now())
        if done:
            log.info("a job is done", job=job.name, count=done)

    return run


def _queueing(job: Job, queries: Queries, desk: Desk) -> Callable[[Schedule], Awaitable[None]]:
    """Queue it once, however many workers find it due; one that failed the last time is that one, tried again."""

    async def queue(_: Schedule) -> None:
        if not await job_queue.retry(desk.stores.postgres, job.name):
            await queries.enqueue(job.name, None, dedupe_key=job.name, on_conflict="skip")

    return queue


async def run_now(settings: Settings, stores: Stores, name: str) -> int:
    """Run a job in this process; how much it did. Raises KeyError for an unknown name, and what the job raises."""
    job = {one.name: one for one in JOBS}[name]
    desk = Desk.of(settings, stores)
    try:
        return await job.run(desk, _now())
    finally:
        await desk.close()

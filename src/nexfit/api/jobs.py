"""What operators see of the platform's jobs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any

import strawberry

from nexfit.api.context import Context
from nexfit.api.fields import Args, batch, row_column
from nexfit.domains.identity.access import refusal
from nexfit.engine.fields import Record
from nexfit.hybrid import job_queue


class JobState(StrEnum):
    """State of a job in the queue."""

    IDLE = "idle"
    QUEUED = "queued"
    RUNNING = "running"
    FAILED = "failed"


strawberry.enum(JobState, description="State of a job.")


@strawberry.type(description="Work that is done at times, by whichever process takes it.")
class BackgroundJob:
    """From pgqueuer's tables in PostgreSQL."""

    name: str = row_column(description="Its name, as `nexfit jobs` takes it.")
    schedule: str = row_column(description="When it is due: a cron expression in UTC.")
    status: JobState = row_column(description="What it does now.")
    last_run_at: datetime | None = row_column(description="When it last ended well, within a month.")
    next_run_at: datetime = row_column(description="When it is due again.")
    failure: str | None = row_column(description="Why it failed, while it waits to be tried again.")


async def _jobs(parents: Sequence[Record], _: Args, context: Context) -> Sequence[Any]:
    user = context.actor.user_id
    if user is None or str(user) not in context.services.settings.operators:
        raise refusal(context.actor)
    return [await job_queue.jobs(context.stores.postgres)] * len(parents)


@strawberry.type
class JobQueries:
    """Root fields of this area."""

    jobs: list[BackgroundJob] | None = batch(
        _jobs, description="Every job by name; for operators, whom a setting of the server names."
    )

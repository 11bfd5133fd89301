"""`jobs` answers operators, whom the server's settings name, and nobody else."""

from __future__ import annotations

from nexfit.settings import Settings
from nexfit.stores.connections import Stores

from .conftest import account, login, running

JOBS = "{ jobs { name schedule status lastRunAt nextRunAt failure } }"


async def test_jobs_are_for_operators(small_settings: Settings, small_stores: Stores) -> None:
    user, email = await account(small_stores)
    await small_stores.postgres.fetch(
        """INSERT INTO platform.pgqueuer_schedules (expression, entrypoint) VALUES ('* * * * *', 'close_dates')
           ON CONFLICT DO NOTHING"""
    )
    async with running(small_settings.model_copy(update={"operators": (str(user),)})) as http:
        operator = await login(http, email, "deniz kenarında bir akşam")
        [job] = (await operator.data(JOBS))["jobs"]
        assert (job["name"], job["schedule"], job["status"], job["failure"]) == (
            "close_dates", "* * * * *", "IDLE", None,
        )  # fmt: skip
        owner = await login(http, "owner@demo.nexfit.app")
        refused = await owner.run(JOBS)
        assert (refused["data"], refused["errors"][0]["extensions"]["code"]) == ({"jobs": None}, "FORBIDDEN")

"""What the queue of background jobs says: pgqueuer's tables in PostgreSQL, read and retried without a worker."""

from __future__ import annotations

from nexfit.stores.postgres import Postgres, Row

SCHEMA = "platform"

_JOBS = """
SELECT s.entrypoint AS name, s.expression AS schedule, s.next_run AS next_run_at, done.created AS last_run_at,
  CASE q.status WHEN 'failed' THEN 'failed' WHEN 'picked' THEN 'running' WHEN 'queued' THEN 'queued' ELSE 'idle' END
    AS status,
  CASE WHEN q.status = 'failed' THEN wrong.traceback ->> 'exception_message' END AS failure
FROM platform.pgqueuer_schedules s
LEFT JOIN LATERAL (
  SELECT id, status FROM platform.pgqueuer WHERE dedupe_key = s.entrypoint ORDER BY status = 'failed', id DESC LIMIT 1
) q ON true
LEFT JOIN LATERAL (
  SELECT created FROM platform.pgqueuer_log WHERE entrypoint = s.entrypoint AND status = 'successful'
    ORDER BY created DESC LIMIT 1
) done ON true
LEFT JOIN LATERAL (
  SELECT traceback FROM platform.pgqueuer_log WHERE job_id = q.id AND traceback IS NOT NULL
    ORDER BY created DESC LIMIT 1
) wrong ON true
ORDER BY s.entrypoint
"""
_RETRY = """
UPDATE platform.pgqueuer SET status = 'queued', execute_after = now(), updated = now(), attempts = 0,
    queue_manager_id = NULL
  WHERE status = 'failed' AND ($1::text IS NULL OR entrypoint = $1)
  RETURNING id
"""
_FORGET = "DELETE FROM platform.pgqueuer_log WHERE created < now() - interval '30 days' RETURNING id"


async def jobs(postgres: Postgres) -> list[Row]:
    """Every scheduled job by name: its schedule, when it ran and will run, its state and why it failed."""
    return await postgres.fetch(_JOBS)


async def retry(postgres: Postgres, name: str | None = None) -> int:
    """Queue failed jobs again, of one name or all; how many. Raises StoreError."""
    return len(await postgres.fetch(_RETRY, name))


async def forget(postgres: Postgres) -> int:
    """Delete what the log says of jobs a month ago; how many lines. Raises StoreError."""
    return len(await postgres.fetch(_FORGET))

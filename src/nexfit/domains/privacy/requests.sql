-- Requests of people for a copy of their data, or for its erasure.

-- name: add
-- for: asking. $1 person, $2 kind, $3 by whom, $4 why, $5 now, $6 when it is due, $7 how many steps.
INSERT INTO platform.data_requests (user_id, kind, requested_by, reason, requested_at, due_at, steps) VALUES ($1, $2, $3, $4, $5, $6, $7)
  ON CONFLICT DO NOTHING RETURNING *

-- name: live
-- for: one that is there already. $1 person, $2 kind.
SELECT * FROM platform.data_requests
  WHERE user_id = $1 AND kind = $2 AND (status IN ('waiting', 'running', 'blocked') OR (kind = 'erasure' AND status = 'done'))

-- name: cancel
-- for: going back on an erasure nothing of which is done. $1 person, $2 now.
UPDATE platform.data_requests SET status = 'cancelled', finished_at = $2, blocked_by = '{}', reason = NULL
  WHERE user_id = $1 AND kind = 'erasure' AND status IN ('waiting', 'blocked') RETURNING *

-- name: newest
-- for: looking. $1 person, $2 how many.
SELECT * FROM platform.data_requests WHERE user_id = $1 ORDER BY requested_at DESC, request_id DESC LIMIT $2

-- name: due
-- for: the job. $1 now, $2 how many.
SELECT request_id FROM platform.data_requests WHERE status IN ('waiting', 'running', 'blocked') AND due_at <= $1 ORDER BY due_at LIMIT $2

-- name: claim
-- for: one worker at a time. $1 request, $2 who, $3 for how many seconds.
UPDATE platform.data_requests SET claimed_by = $2, claimed_until = now() + make_interval(secs => $3)
  WHERE request_id = $1 AND status IN ('waiting', 'running', 'blocked') AND (claimed_until IS NULL OR claimed_until < now() OR claimed_by = $2)
  RETURNING *

-- name: release
-- for: letting others. $1 request, $2 who.
UPDATE platform.data_requests SET claimed_by = NULL, claimed_until = NULL WHERE request_id = $1 AND claimed_by = $2

-- name: block
-- for: an erasure that cannot be yet. $1 request, $2 why, $3 when to look again.
UPDATE platform.data_requests SET status = 'blocked', blocked_by = $2, due_at = greatest(due_at, $3) WHERE request_id = $1

-- name: begin
-- for: the point of no return. $1 request, $2 who.
UPDATE platform.data_requests SET status = 'running', blocked_by = '{}' WHERE request_id = $1 AND claimed_by = $2
  AND status IN ('waiting', 'blocked', 'running') RETURNING *

-- name: steps
-- for: going on. $1 request.
SELECT step FROM platform.data_request_steps WHERE request_id = $1

-- name: step
-- for: what is done is not done again. $1 request, $2 step, $3 what it did.
INSERT INTO platform.data_request_steps (request_id, step, counts) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING

-- name: progress
-- for: telling how far. $1 request, $2 steps done.
UPDATE platform.data_requests SET steps_done = greatest(steps_done, $2) WHERE request_id = $1

-- name: finish
-- for: the end. $1 request, $2 now, $3 file, $4 its bytes, $5 until when.
UPDATE platform.data_requests SET status = 'done', finished_at = $2, steps_done = steps, file_key = $3, file_bytes = $4, file_until = $5,
    claimed_by = NULL, claimed_until = NULL, reason = CASE WHEN kind = 'export' THEN reason END
  WHERE request_id = $1 AND status = 'running' RETURNING *

-- name: give_up_exports
-- for: nobody gets a copy of what is being erased. $1 person, $2 now.
UPDATE platform.data_requests SET status = 'cancelled', finished_at = $2
  WHERE user_id = $1 AND kind = 'export' AND status IN ('waiting', 'running')

-- name: outdated
-- for: the job that deletes them. $1 now.
SELECT request_id, file_key FROM platform.data_requests WHERE file_key IS NOT NULL AND file_until <= $1

-- name: drop_file
-- for: a file that is deleted. $1 request.
UPDATE platform.data_requests SET file_key = NULL WHERE request_id = $1

-- name: blockers
-- for: why somebody cannot be erased now. $1 person. Not of MongoDB.
SELECT 'DEBT_OPEN' AS code WHERE EXISTS (SELECT FROM finance.invoices WHERE user_id = $1 AND status IN ('open', 'draft'))
    OR EXISTS (SELECT FROM finance.subscriptions WHERE user_id = $1 AND status IN ('past_due', 'suspended'))
UNION ALL SELECT 'PAYMENT_OPEN' WHERE EXISTS (SELECT FROM finance.purchases
      WHERE user_id = $1 AND status IN ('initiated', 'awaiting_payment', 'paid'))
    OR EXISTS (SELECT FROM finance.refunds WHERE user_id = $1 AND status IN ('pending', 'unknown'))
    OR EXISTS (SELECT FROM finance.transactions WHERE user_id = $1 AND status IN ('pending', 'unknown'))
UNION ALL SELECT 'PACKAGES_RUNNING' WHERE EXISTS (SELECT FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
      WHERE p.coach_id = $1 AND b.remaining + b.reserved > 0)

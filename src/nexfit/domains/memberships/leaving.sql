-- Ending, pausing and resuming memberships (workflow 3).

-- name: subscription
-- for: looking without holding. $1 its id.
SELECT * FROM finance.subscriptions WHERE subscription_id = $1

-- name: paid_period
-- for: what was paid for the present period and by which payment, what was credited to it when the plan was changed, and the
-- subscription's pauses; after that the payments the credit came from, the latest first. $1 subscription, $2 period's first day.
WITH RECURSIVE chain AS (
  SELECT $1::uuid AS subscription_id, $2::date AS period_start, 0 AS depth
  UNION ALL
  SELECT c.subscription_id, c.period_start, h.depth + 1
  FROM chain h JOIN finance.plan_changes c ON c.made_subscription_id = h.subscription_id AND c.starts_on = h.period_start
)
SELECT i.transaction_id, i.total_amount, t.transaction_type,
  coalesce((SELECT c.credit FROM finance.plan_changes c WHERE c.made_subscription_id = h.subscription_id
    AND c.starts_on = h.period_start), 0) AS carried,
  coalesce((SELECT sum(r.amount) FROM finance.refunds r WHERE r.original_transaction_id = i.transaction_id AND r.status <> 'failed'), 0)
    AS returned,
  ARRAY(SELECT f.starts_on FROM finance.freezes f WHERE f.subscription_id = $1 ORDER BY f.starts_on, f.freeze_id) AS paused_from,
  ARRAY(SELECT f.ends_on FROM finance.freezes f WHERE f.subscription_id = $1 ORDER BY f.starts_on, f.freeze_id) AS paused_until
FROM chain h
JOIN finance.invoices i ON i.subscription_id = h.subscription_id AND i.period_start = h.period_start AND i.status = 'paid'
JOIN finance.transaction_keys k ON k.transaction_id = i.transaction_id
JOIN finance.transactions t ON t.transaction_id = k.transaction_id AND t.created_at = k.created_at
ORDER BY h.depth

-- name: is_changing
-- for: one change of plan at a time. $1 subscription.
SELECT true FROM finance.plan_changes WHERE subscription_id = $1 AND status = 'initiated'

-- name: drop_change
-- for: no renewal to come, so no other plan with it. $1 subscription.
UPDATE finance.plan_changes SET status = 'dropped' WHERE subscription_id = $1 AND status = 'scheduled'

-- name: at_period_end
-- for: ending with the period, or not after all. $1 subscription, $2 whether, $3 whether it renews by itself.
UPDATE finance.subscriptions SET cancel_at_period_end = $2, auto_renew = $3,
    end_date = CASE WHEN $2 OR NOT $3 THEN current_period_end - 1 END
  WHERE subscription_id = $1
  RETURNING *

-- name: owes
-- for: whether anything is open. $1 subscription.
SELECT EXISTS (SELECT FROM finance.invoices WHERE subscription_id = $1 AND status = 'open') AS owes

-- name: freezes_since
-- for: how often it was frozen. $1 subscription, $2 since when.
SELECT count(*) AS freezes FROM finance.freezes WHERE subscription_id = $1 AND starts_on >= $2

-- name: freeze
-- for: a pause. $1 subscription, $2 facility, $3 member, $4 first day, $5 first day after, $6 now.
INSERT INTO finance.freezes (subscription_id, facility_id, user_id, starts_on, ends_on, created_at) VALUES ($1, $2, $3, $4, $5, $6)
  RETURNING freeze_id

-- name: open_freeze
-- for: ending it. $1 subscription.
SELECT freeze_id, starts_on, ends_on FROM finance.freezes WHERE subscription_id = $1 AND NOT is_over FOR UPDATE

-- name: end_freeze
-- for: the pause is over. $1 freeze, $2 first day after.
UPDATE finance.freezes SET ends_on = $2, is_over = true WHERE freeze_id = $1

-- name: move_end
-- for: the period ends so many days later. $1 subscription, $2 days.
UPDATE finance.subscriptions SET current_period_end = current_period_end + $2::integer,
    end_date = end_date + $2::integer,
    billing_day = CASE WHEN billing_day IS NULL THEN NULL
      ELSE extract(day FROM current_period_end + $2::integer)::smallint END
  WHERE subscription_id = $1

-- name: freezes_to_end
-- for: the job: pauses that have ended by $1 (a day no zone is behind), at most $2.
SELECT f.subscription_id, f.facility_id FROM finance.freezes f WHERE NOT f.is_over AND f.ends_on <= $1 ORDER BY f.ends_on LIMIT $2

-- name: open_freezes
-- for: whose bookings are to be given back. $1 begun since when.
SELECT facility_id, user_id, starts_on, ends_on FROM finance.freezes WHERE NOT is_over AND created_at >= $1

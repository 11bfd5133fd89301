-- Changes of plans that members make for themselves.

-- name: wish
-- for: the wish, before anybody is charged. $1 subscription, $2 business, $3 facility, $4 member, $5 plan, $6 its name, $7 and $8 its
-- length, $9 price, $10 currency, $11 tax rate, $12 credit, $13 first day of the period it was reckoned with, $14 status, $15 now.
INSERT INTO finance.plan_changes (subscription_id, business_id, facility_id, user_id, plan_id, plan_name, duration_value,
    duration_unit, price, currency, tax_rate, credit, period_start, status, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
  RETURNING plan_change_id

-- name: change
-- for: one wish, and how its subscription is paid. $1 its id.
SELECT c.*, s.provider, s.customer, s.method FROM finance.plan_changes c JOIN finance.subscriptions s USING (subscription_id)
WHERE c.plan_change_id = $1

-- name: hold
-- for: its outcome is written once; after its subscription's row. $1 its id.
SELECT status FROM finance.plan_changes WHERE plan_change_id = $1 FOR UPDATE

-- name: done
-- for: the new membership exists. $1 wish, $2 subscription, $3 its first day, $4 payment.
UPDATE finance.plan_changes SET status = 'done', made_subscription_id = $2, starts_on = $3, transaction_id = $4
  WHERE plan_change_id = $1

-- name: fail
-- for: the charge was declined. $1 wish, $2 why.
UPDATE finance.plan_changes SET status = 'failed', failure = $2 WHERE plan_change_id = $1 AND status = 'initiated'

-- name: return_money
-- for: the membership is not what it was when the wish was written. $1 wish, $2 payment, $3 why.
UPDATE finance.plan_changes SET status = 'returned', transaction_id = $2, failure = $3 WHERE plan_change_id = $1

-- name: open
-- for: recovery: charges nobody knows the outcome of since $1, oldest first, at most $2.
SELECT plan_change_id FROM finance.plan_changes WHERE status = 'initiated' AND created_at < $1 ORDER BY created_at LIMIT $2

-- name: apply_scheduled
-- for: billing: periods that begin with another plan. $1 subscriptions, held. A plan the member came to hold meanwhile is none.
WITH wished AS (
  SELECT c.* FROM finance.plan_changes c WHERE c.subscription_id = ANY ($1::uuid[]) AND c.status = 'scheduled' FOR UPDATE
), changed AS (
  UPDATE finance.subscriptions s SET plan_id = w.plan_id, plan_name = w.plan_name, amount = w.price, billing_cycle = w.duration_unit,
      billing_interval = w.duration_value,
      billing_day = coalesce(s.billing_day, extract(day FROM s.current_period_end)::smallint)
    FROM wished w
    WHERE s.subscription_id = w.subscription_id AND NOT EXISTS (
      SELECT FROM finance.subscriptions h
      WHERE h.facility_id = s.facility_id AND h.user_id = s.user_id AND h.plan_id = w.plan_id
        AND h.status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen'))
    RETURNING s.*
), settled AS (
  UPDATE finance.plan_changes c SET status = CASE WHEN d.subscription_id IS NULL THEN 'dropped' ELSE 'done' END
    FROM wished w LEFT JOIN changed d USING (subscription_id)
    WHERE c.plan_change_id = w.plan_change_id
)
SELECT * FROM changed

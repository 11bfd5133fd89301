-- Renewals, tries to charge them, and what becomes of who does not pay (workflow 3).

-- name: due
-- for: the job: subscriptions whose period has ended by $1 (a day no zone is behind), whose next try is due, or whose debt was paid;
-- of the provider $2 or of none, after $3 in the order of their ids, at most $4.
WITH s AS (
  SELECT * FROM finance.subscriptions WHERE status = 'active' AND current_period_end <= $1
  UNION ALL
  SELECT * FROM finance.subscriptions d
  WHERE status IN ('past_due', 'suspended')
    AND (status = 'past_due' AND (next_attempt_on IS NULL OR next_attempt_on <= $1)
      OR EXISTS (SELECT FROM finance.invoices i
        WHERE i.subscription_id = d.subscription_id AND i.period_start = d.current_period_start AND i.status = 'paid')))
SELECT subscription_id, facility_id FROM s
WHERE (provider IS NULL OR provider = $2) AND subscription_id > $3
ORDER BY subscription_id LIMIT $4

-- name: incomplete
-- for: the job: whose first payment has not come since $1, at most $2.
SELECT subscription_id, facility_id FROM finance.subscriptions WHERE status = 'incomplete' AND created_at <= $1
ORDER BY created_at LIMIT $2

-- name: hold
-- for: whoever bills, charges or ends a subscription takes turns. $1 its id.
SELECT * FROM finance.subscriptions WHERE subscription_id = $1 FOR UPDATE

-- name: preview
-- for: the dry run: what renews or ends on the local day $1 at the facilities $2.
SELECT facility_id, currency, auto_renew AND NOT cancel_at_period_end AS renews, count(*) AS subscriptions,
  coalesce(sum(amount), 0) AS total, count(*) FILTER (WHERE method IS NULL) AS without_method
FROM finance.subscriptions
WHERE status = 'active' AND current_period_end = $1 AND facility_id = ANY ($2::text[])
GROUP BY 1, 2, 3 ORDER BY 1, 3

-- name: facilities
-- for: the dry run: who has anything to renew soon. $1 a day no zone is behind.
SELECT DISTINCT facility_id FROM finance.subscriptions WHERE status = 'active' AND current_period_end <= $1

-- name: open_invoice
-- for: the invoice of a new period, to be paid the day it is issued. $1 subscription, $2 period's first day, $3 member, $4 business,
-- $5 facility, $6 net, $7 tax, $8 currency, $9 local day, $10 what is printed.
INSERT INTO finance.invoices (subscription_id, period_start, user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
    currency, status, issued_on, due_date, invoice_sequence, invoice_data)
  VALUES ($1, $2, $3, $4::text, $5, $6::numeric, $7::numeric, $6::numeric + $7::numeric, $8, 'open', $9::date, $9::date,
    finance.next_document_sequence($4::text, 'invoice', extract(year FROM $9::date)::integer), $10)
  RETURNING invoice_id

-- name: move_period
-- for: the next period. $1 subscription, $2 its end, $3 tax rate.
UPDATE finance.subscriptions SET current_period_start = current_period_end, current_period_end = $2::date, tax_rate = $3,
    end_date = CASE WHEN auto_renew THEN NULL ELSE $2::date - 1 END, failed_attempts = 0, next_attempt_on = NULL
  WHERE subscription_id = $1
  RETURNING *

-- name: invoice_of_period
-- for: what the present period owes. $1 subscription, $2 period's first day.
SELECT invoice_id, status, total_amount FROM finance.invoices
WHERE subscription_id = $1 AND period_start = $2 AND status <> 'void'

-- name: try_once
-- for: a try to charge, before the provider is asked. $1 subscription, $2 invoice, $3 number, $4 now.
INSERT INTO finance.billing_attempts (subscription_id, invoice_id, number, created_at) VALUES ($1, $2, $3, $4)
  ON CONFLICT DO NOTHING
  RETURNING attempt_id

-- name: open_try
-- for: asking the provider. $1 try.
SELECT a.attempt_id, a.subscription_id, a.status, s.provider, s.customer, s.method, s.plan_name, s.facility_id, i.total_amount,
  i.currency
FROM finance.billing_attempts a
JOIN finance.subscriptions s USING (subscription_id)
JOIN finance.invoices i USING (invoice_id)
WHERE a.attempt_id = $1 AND a.status IN ('pending', 'unknown')

-- name: open_tries
-- for: recovery: those nobody has settled by $1, oldest first, at most $2.
SELECT attempt_id FROM finance.billing_attempts WHERE status IN ('pending', 'unknown') AND created_at < $1 ORDER BY created_at LIMIT $2

-- name: hold_try
-- for: its outcome is written once. $1 try.
SELECT a.*, i.status AS invoice_status FROM finance.billing_attempts a JOIN finance.invoices i USING (invoice_id)
WHERE a.attempt_id = $1 AND a.status IN ('pending', 'unknown') FOR UPDATE OF a

-- name: unknown
-- for: a try without an answer. $1 try.
UPDATE finance.billing_attempts SET status = 'unknown' WHERE attempt_id = $1 AND status = 'pending'

-- name: fail
-- for: a declined try. $1 try, $2 soft or hard, $3 why, $4 now.
UPDATE finance.billing_attempts SET status = 'failed', decline = $2, failure = $3, settled_at = $4 WHERE attempt_id = $1

-- name: succeed
-- for: a try that came through. $1 try, $2 payment, $3 now.
UPDATE finance.billing_attempts SET status = 'succeeded', transaction_id = $2, settled_at = $3 WHERE attempt_id = $1

-- name: pay_invoice
-- for: the invoice it was for. $1 invoice, $2 payment, $3 local day.
UPDATE finance.invoices SET status = 'paid', transaction_id = $2, payment_date = $3 WHERE invoice_id = $1 AND status IN ('open', 'uncollectible')

-- name: set_state
-- for: every other change. $1 subscription, $2 status, $3 day of the next try, $4 failed tries, $5 when it was cancelled.
UPDATE finance.subscriptions SET status = $2, next_attempt_on = $3, failed_attempts = $4, cancelled_at = coalesce($5, cancelled_at)
  WHERE subscription_id = $1
  RETURNING *

-- name: begin_again
-- for: who pays after having been locked out for longer than the period: the next one begins today. $1 subscription, $2 today.
UPDATE finance.subscriptions SET current_period_end = $2::date, billing_day = extract(day FROM $2::date)::smallint
  WHERE subscription_id = $1 AND current_period_end < $2::date AND current_period_start < $2::date

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

-- name: hold_all
-- for: whoever bills or charges many takes turns with whoever changes one, in the order of their ids. $1 their ids.
SELECT * FROM finance.subscriptions WHERE subscription_id = ANY ($1::uuid[]) ORDER BY subscription_id FOR UPDATE

-- name: hold_members
-- for: the order of locks. A sale holds the member's facts before the series of invoices: so does billing. $1 facility, $2 members.
SELECT user_id FROM platform.member_facts WHERE facility_id = $1 AND user_id = ANY ($2::text[]) ORDER BY user_id FOR NO KEY UPDATE

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

-- name: move_periods
-- for: the next periods. Of each: $1 subscription, $2 its end; $3 tax rate.
UPDATE finance.subscriptions s SET current_period_start = s.current_period_end, current_period_end = p.ends, tax_rate = $3,
    end_date = CASE WHEN s.auto_renew THEN NULL ELSE p.ends - 1 END, failed_attempts = 0, next_attempt_on = NULL
  FROM unnest($1::uuid[], $2::date[]) AS p (subscription_id, ends)
  WHERE s.subscription_id = p.subscription_id
  RETURNING s.*

-- name: open_invoices
-- for: invoices of new periods, to be paid the day they are issued. Of each: $1 subscription, $2 period's first day, $3 member,
-- $4 net, $5 tax, $6 what is printed; $7 business, $8 facility, $9 currency, $10 local day.
WITH given AS (
  SELECT * FROM unnest($1::uuid[], $2::date[], $3::text[], $4::numeric[], $5::numeric[], $6::jsonb[]) WITH ORDINALITY
    AS g (subscription_id, period_start, user_id, net, tax, paper, n)
), series AS MATERIALIZED (
  SELECT finance.next_document_sequence($7::text, 'invoice', extract(year FROM $10::date)::integer) AS next
)
INSERT INTO finance.invoices (subscription_id, period_start, user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
    currency, status, issued_on, due_date, invoice_sequence, invoice_data)
  SELECT g.subscription_id, g.period_start, g.user_id, $7::text, $8::text, g.net, g.tax, g.net + g.tax, $9::text, 'open', $10::date,
    $10::date, s.next + g.n::integer - 1, g.paper
  FROM given g CROSS JOIN series s ORDER BY g.n
  RETURNING invoice_id, subscription_id

-- name: add_lines
-- for: the invoices' only lines. Of each: $1 invoice, $2 what is sold, $3 net, $4 tax; $5 tax rate.
INSERT INTO finance.invoice_lines (invoice_id, line_no, description, quantity, tax_rate, net_amount, tax_amount, total_amount)
  SELECT l.invoice_id, 1, l.name, 1, $5, l.net, l.tax, l.net + l.tax
  FROM unnest($1::uuid[], $2::text[], $3::numeric[], $4::numeric[]) AS l (invoice_id, name, net, tax)

-- name: invoices_of_periods
-- for: what present periods owe. Of each: $1 subscription, $2 period's first day.
SELECT i.subscription_id, i.invoice_id, i.status
FROM unnest($1::uuid[], $2::date[]) AS p (subscription_id, period_start)
JOIN finance.invoices i ON i.subscription_id = p.subscription_id AND i.period_start = p.period_start AND i.status <> 'void'

-- name: try_all
-- for: tries to charge, before the provider is asked. Of each: $1 subscription, $2 invoice, $3 number; $4 now.
INSERT INTO finance.billing_attempts (subscription_id, invoice_id, number, created_at)
  SELECT t.subscription_id, t.invoice_id, t.number, $4 FROM unnest($1::uuid[], $2::uuid[], $3::smallint[])
    AS t (subscription_id, invoice_id, number)
  ON CONFLICT DO NOTHING
  RETURNING attempt_id

-- name: asked
-- for: asking the provider $2. $1 tries.
SELECT a.attempt_id, a.subscription_id, s.customer, s.method, s.plan_name, s.facility_id, i.total_amount, i.currency
FROM finance.billing_attempts a
JOIN finance.subscriptions s USING (subscription_id)
JOIN finance.invoices i USING (invoice_id)
WHERE a.attempt_id = ANY ($1::uuid[]) AND a.status IN ('pending', 'unknown') AND s.provider = $2

-- name: open_tries
-- for: recovery: those nobody has settled by $1, oldest first, at most $2.
SELECT attempt_id FROM finance.billing_attempts WHERE status IN ('pending', 'unknown') AND created_at < $1 ORDER BY created_at LIMIT $2

-- name: hold_tries
-- for: their outcomes are written once. $1 tries.
SELECT a.attempt_id, a.subscription_id, a.invoice_id, i.total_amount, i.status AS invoice_status
FROM finance.billing_attempts a JOIN finance.invoices i USING (invoice_id)
WHERE a.attempt_id = ANY ($1::uuid[]) AND a.status IN ('pending', 'unknown') ORDER BY a.attempt_id FOR UPDATE OF a

-- name: unknown
-- for: tries without an answer. $1 tries.
UPDATE finance.billing_attempts SET status = 'unknown' WHERE attempt_id = ANY ($1::uuid[]) AND status = 'pending'

-- name: fail_all
-- for: declined tries. Of each: $1 try, $2 soft or hard, $3 why; $4 now.
UPDATE finance.billing_attempts a SET status = 'failed', decline = f.decline, failure = f.failure, settled_at = $4
  FROM unnest($1::uuid[], $2::text[], $3::text[]) AS f (attempt_id, decline, failure)
  WHERE a.attempt_id = f.attempt_id

-- name: take_charges
-- for: charges that came through. Of each: $1 member, $2 amount, $3 description, $4 the provider's name for it; $5 business,
-- $6 facility, $7 currency, $8 provider, $9 when.
INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status,
    description, provider, provider_reference, created_at)
  SELECT $5, $6, c.user_id, c.amount, $7, 'card', 'charge', 'succeeded', c.description, $8, c.reference, $9
  FROM unnest($1::text[], $2::numeric[], $3::text[], $4::text[]) AS c (user_id, amount, description, reference)
  ORDER BY c.user_id
  RETURNING transaction_id, amount, provider_reference, created_at

-- name: succeed_all
-- for: tries that came through. Of each: $1 try, $2 payment; $3 now.
UPDATE finance.billing_attempts a SET status = 'succeeded', transaction_id = p.transaction_id, settled_at = $3
  FROM unnest($1::uuid[], $2::uuid[]) AS p (attempt_id, transaction_id)
  WHERE a.attempt_id = p.attempt_id

-- name: pay_invoices
-- for: the invoices they were for. Of each: $1 invoice, $2 payment; $3 local day.
UPDATE finance.invoices i SET status = 'paid', transaction_id = p.transaction_id, payment_date = $3
  FROM unnest($1::uuid[], $2::uuid[]) AS p (invoice_id, transaction_id)
  WHERE i.invoice_id = p.invoice_id AND i.status IN ('open', 'uncollectible')

-- name: set_states
-- for: every other change. Of each: $1 subscription, $2 status, $3 day of the next try, $4 failed tries, $5 when it was cancelled.
UPDATE finance.subscriptions s SET status = c.status, next_attempt_on = c.next_on, failed_attempts = c.failed,
    cancelled_at = coalesce(c.cancelled_at, s.cancelled_at)
  FROM unnest($1::uuid[], $2::text[], $3::date[], $4::smallint[], $5::timestamptz[])
    AS c (subscription_id, status, next_on, failed, cancelled_at)
  WHERE s.subscription_id = c.subscription_id
  RETURNING s.*

-- name: begin_again
-- for: who pays after having been locked out for longer than the period: the next one begins today. $1 subscription, $2 today.
UPDATE finance.subscriptions SET current_period_end = $2::date, billing_day = extract(day FROM $2::date)::smallint
  WHERE subscription_id = $1 AND current_period_end < $2::date AND current_period_start < $2::date

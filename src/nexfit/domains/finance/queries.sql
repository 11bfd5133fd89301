-- Finance reads that are more than a list of rows. Every statement answers for all its parents at once.

-- name: revenue_by_period
-- for: a facility's day so far, and what `revenue` has to agree with: net revenue by day, week or month, cut at the facility's midnight.
-- $1 facility ids, $2 their IANA time zones (same order), $3 first and $4 last local day, $5 day | week | month.
-- One row per facility (that has an account) and period, also for a period without money; the caller bounds their number. `period` is
-- the period's first day; the first and last one hold only the days asked for. A movement counts on the local day it was made, and
-- so does a refund, on its own. Each period is one range of instants, so no row's time is converted and none is sorted.
SELECT a.facility_id, p.starts::date AS period, r.total, a.currency, r.transactions, r.refunds
FROM unnest($1::text[], $2::text[]) AS f (facility_id, timezone)
JOIN finance.facility_accounts a ON a.facility_id = f.facility_id
CROSS JOIN LATERAL generate_series(
  date_trunc($5::text, $3::date::timestamp), $4::date::timestamp, ('1 ' || $5::text)::interval
) AS p (starts)
CROSS JOIN LATERAL (
  SELECT
    coalesce(sum(CASE WHEN t.transaction_type IN ('refund', 'chargeback') THEN -t.amount ELSE t.amount END), 0) AS total,
    count(*) FILTER (WHERE t.transaction_type IN ('charge', 'manual_payment')) AS transactions,
    count(*) FILTER (WHERE t.transaction_type IN ('refund', 'chargeback')) AS refunds
  FROM finance.transactions t
  WHERE t.facility_id = f.facility_id
    AND t.status = 'succeeded'
    AND t.created_at >= greatest(p.starts, $3::date::timestamp) AT TIME ZONE f.timezone
    AND t.created_at < least(p.starts + ('1 ' || $5::text)::interval, ($4::date + 1)::timestamp) AT TIME ZONE f.timezone
    -- No zone is a day away from UTC. These bounds hang on no row, so the months outside are dropped before the plan starts.
    AND t.created_at >= ($3::date - 1)::timestamp AT TIME ZONE 'UTC'
    AND t.created_at < ($4::date + 2)::timestamp AT TIME ZONE 'UTC'
) r
ORDER BY a.facility_id, p.starts

-- name: revenue
-- for: Facility.revenue. The same as `revenue_by_period`, with the same parameters, but money of days whose stored figures are right is
-- not added up again: their totals are taken from `finance.analytics_daily`, one row for each day instead of one for each movement.
-- Every movement leaves a mark in its own transaction, and the mark goes after the figures with the movement in them were committed
-- (docs/decisions/0030): so what no mark of this very snapshot speaks of, is what the movements of this snapshot come to. A period's
-- stored days count as far as there is one for each from its first on and none is marked; what follows is read from the movements.
WITH f AS MATERIALIZED (
  SELECT a.facility_id, a.currency, g.timezone, m.marked
  FROM unnest($1::text[], $2::text[]) AS g (facility_id, timezone)
  JOIN finance.facility_accounts a ON a.facility_id = g.facility_id
  CROSS JOIN LATERAL (
    SELECT min(n.first_day) - 1 AS marked FROM finance.analytics_marks n
    WHERE n.facility_id = g.facility_id AND n.last_day >= $3::date - 1
  ) m
), kept AS MATERIALIZED (
  SELECT d.business_id AS facility_id, date_trunc($5::text, d.date::timestamp) AS starts,
    min(d.date) AS first, max(d.date) AS last, count(d.metrics->>'payments') AS days,
    sum(d.total_revenue) AS total, sum((d.metrics->>'payments')::bigint)::bigint AS transactions,
    sum((d.metrics->>'refunds')::bigint)::bigint AS refunds
  FROM f JOIN finance.analytics_daily d ON d.business_id = f.facility_id
    AND d.date BETWEEN $3::date AND $4::date AND (f.marked IS NULL OR d.date < f.marked)
  GROUP BY 1, 2
)
SELECT f.facility_id, p.starts::date AS period, r.total, f.currency, r.transactions, r.refunds
FROM f
CROSS JOIN LATERAL generate_series(
  date_trunc($5::text, $3::date::timestamp), $4::date::timestamp, ('1 ' || $5::text)::interval
) AS p (starts)
CROSS JOIN LATERAL (
  SELECT greatest(p.starts::date, $3::date) AS first, least((p.starts + ('1 ' || $5::text)::interval)::date, $4::date + 1) AS after
) s
LEFT JOIN kept k ON k.facility_id = f.facility_id AND k.starts = p.starts
  AND k.first = s.first AND k.days = k.last - k.first + 1
CROSS JOIN LATERAL (
  SELECT
    coalesce(k.total, 0) + coalesce(sum(CASE WHEN t.transaction_type IN ('refund', 'chargeback') THEN -t.amount ELSE t.amount END), 0) AS total,
    coalesce(k.transactions, 0) + count(*) FILTER (WHERE t.transaction_type IN ('charge', 'manual_payment')) AS transactions,
    coalesce(k.refunds, 0) + count(*) FILTER (WHERE t.transaction_type IN ('refund', 'chargeback')) AS refunds
  FROM finance.transactions t
  WHERE coalesce(k.last + 1, s.first) < s.after
    AND t.facility_id = f.facility_id
    AND t.status = 'succeeded'
    AND t.created_at >= coalesce(k.last + 1, s.first)::timestamp AT TIME ZONE f.timezone
    AND t.created_at < s.after::timestamp AT TIME ZONE f.timezone
    AND t.created_at >= ($3::date - 1)::timestamp AT TIME ZONE 'UTC'
    AND t.created_at < ($4::date + 2)::timestamp AT TIME ZONE 'UTC'
) r
ORDER BY f.facility_id, p.starts

-- name: outstanding
-- for: Facility.outstanding: what members owe now, and how much of it is overdue. One row per facility that has an account.
-- $1 facility ids, $2 each facility's local today (same order). An invoice is overdue from the day after its due date.
SELECT
  a.facility_id, a.currency, o.invoices, o.total, o.overdue_invoices, o.overdue_total
FROM unnest($1::text[], $2::date[]) AS f (facility_id, today)
JOIN finance.facility_accounts a ON a.facility_id = f.facility_id
CROSS JOIN LATERAL (
  SELECT
    count(*) AS invoices,
    coalesce(sum(i.total_amount), 0) AS total,
    count(*) FILTER (WHERE i.due_date < f.today) AS overdue_invoices,
    coalesce(sum(i.total_amount) FILTER (WHERE i.due_date < f.today), 0) AS overdue_total
  FROM finance.invoices i
  WHERE i.facility_id = f.facility_id AND i.status = 'open'
) o

-- name: active_subscribers
-- for: Membership.activeSubscribers: members whose subscription to a plan gives access now. Plans without any have no row.
-- $1 plan ids. A member has at most one live subscription per plan, so rows are members.
SELECT plan_id, count(*) AS subscribers
FROM finance.subscriptions
WHERE plan_id = ANY ($1::text[]) AND status IN ('active', 'past_due')
GROUP BY plan_id

-- name: analytics_by_day
-- for: Facility.analytics: the stored daily figures, oldest first.
-- $1 facility ids, $2 first and $3 last local day.
SELECT
  business_id AS facility_id, date, new_members, active_members, total_revenue, currency, class_attendance,
  subscription_renewals, subscription_cancellations, metrics
FROM finance.analytics_daily
WHERE business_id = ANY ($1::text[]) AND date BETWEEN $2::date AND $3::date
ORDER BY business_id, date

-- name: credit_notes_of_invoices
-- for: Invoice.creditNotes. $1 invoice ids. In the order of their issue.
SELECT credit_note_id, invoice_id, credit_note_number, net_amount, tax_amount, total_amount, currency, reason, issued_on, created_at
FROM finance.credit_notes WHERE invoice_id = ANY ($1::uuid[])
ORDER BY invoice_id, created_at, credit_note_id

-- name: invoice_paper
-- for: an invoice as it is printed. $1 invoice. A draft is no document yet.
SELECT i.invoice_id AS id, i.invoice_number AS number, i.invoice_sequence AS sequence, i.issued_on, i.due_date, i.created_at,
  i.facility_id, i.user_id, i.net_amount, i.tax_amount, i.total_amount, i.currency, i.invoice_data AS data, i.status,
  NULL::text AS reason, l.lines
FROM finance.invoices i
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_agg(jsonb_build_object('description', l.description, 'quantity', l.quantity::text,
      'rate', l.tax_rate::text, 'net', l.net_amount::text, 'tax', l.tax_amount::text) ORDER BY l.line_no), '[]') AS lines
  FROM finance.invoice_lines l WHERE l.invoice_id = i.invoice_id
) l
WHERE i.invoice_id = $1 AND i.status <> 'draft'

-- name: credit_note_paper
-- for: a credit note as it is printed, with the sides and lines of the invoice it corrects. $1 credit note.
SELECT c.credit_note_id AS id, c.credit_note_number AS number, c.credit_note_sequence AS sequence, c.issued_on,
  c.issued_on AS due_date, c.created_at, c.facility_id, c.user_id, c.net_amount, c.tax_amount, c.total_amount, c.currency,
  i.invoice_data AS data, 'paid' AS status, c.reason, i.invoice_sequence AS corrects_sequence, i.invoice_number AS corrects,
  i.issued_on AS corrects_on, l.lines
FROM finance.credit_notes c
JOIN finance.invoices i ON i.invoice_id = c.invoice_id
CROSS JOIN LATERAL (
  SELECT coalesce(jsonb_agg(jsonb_build_object('description', l.description, 'quantity', l.quantity::text,
      'rate', l.tax_rate::text, 'net', l.net_amount::text, 'tax', l.tax_amount::text) ORDER BY l.line_no), '[]') AS lines
  FROM finance.invoice_lines l WHERE l.invoice_id = i.invoice_id
) l
WHERE c.credit_note_id = $1

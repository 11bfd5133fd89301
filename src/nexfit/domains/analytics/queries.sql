-- Daily figures: what they are read from, how they are kept, and what owners ask of them.

-- name: movements
-- for: money of a range. $1 facility, $2 begins, $3 ends.
SELECT created_at, amount, transaction_type FROM finance.transactions
WHERE facility_id = $1 AND status = 'succeeded' AND created_at >= $2 AND created_at < $3

-- name: joined
-- for: people whose first membership that was paid for began in a range. $1 facility, $2 begins, $3 ends.
SELECT s.created_at FROM finance.subscriptions s
WHERE s.facility_id = $1 AND s.created_at >= $2 AND s.created_at < $3 AND s.status NOT IN ('incomplete', 'incomplete_expired')
  AND NOT EXISTS (
    SELECT FROM finance.subscriptions e
    WHERE e.user_id = s.user_id AND e.facility_id = s.facility_id AND e.status NOT IN ('incomplete', 'incomplete_expired')
      AND (e.created_at, e.subscription_id) < (s.created_at, s.subscription_id))

-- name: held
-- for: memberships that cover a day of a range, one that was cancelled up to that moment. $1 facility, $2 first and $3 last local day.
SELECT user_id, start_date, current_period_end, cancelled_at FROM finance.subscriptions
WHERE facility_id = $1 AND start_date <= $3::date AND current_period_end > $2::date
  AND status NOT IN ('incomplete', 'incomplete_expired')

-- name: cancelled
-- for: cancellations of a range. $1 facility, $2 begins, $3 ends.
SELECT cancelled_at FROM finance.subscriptions
WHERE facility_id = $1 AND cancelled_at >= $2 AND cancelled_at < $3 AND status NOT IN ('incomplete', 'incomplete_expired')

-- name: renewed
-- for: terms after the first that were paid in a range. $1 facility, $2 first and $3 last local day.
SELECT i.payment_date FROM finance.invoices i JOIN finance.subscriptions s USING (subscription_id)
WHERE i.facility_id = $1 AND i.status = 'paid' AND i.subscription_id IS NOT NULL
  AND i.payment_date BETWEEN $2::date AND $3::date AND i.period_start > s.start_date

-- name: accounts
-- for: whose figures there are, and how far. $1 facilities, or NULL for all.
SELECT a.facility_id, a.currency, r.first, r.last
FROM finance.facility_accounts a
LEFT JOIN LATERAL (
  SELECT min(d.date) AS first, max(d.date) AS last FROM finance.analytics_daily d WHERE d.business_id = a.facility_id
) r ON true
WHERE $1::text[] IS NULL OR a.facility_id = ANY ($1::text[])
ORDER BY a.facility_id

-- name: earliest
-- for: the first day of a facility's ledger. $1 facility. Instants of money, local days of memberships.
SELECT (SELECT min(created_at) FROM finance.transactions WHERE facility_id = $1) AS moved,
  (SELECT min(created_at) FROM finance.subscriptions WHERE facility_id = $1) AS sold,
  (SELECT min(start_date) FROM finance.subscriptions WHERE facility_id = $1) AS covered

-- name: marks
-- for: what changed since figures were last computed. $1 at most so many.
SELECT mark_id, facility_id, first_day, last_day FROM finance.analytics_marks ORDER BY mark_id LIMIT $1

-- name: take_turn
-- for: one computation of a facility's days at a time, so that none writes over a later one what it read before. $1 facility.
-- The transaction waits while the documents are read.
SELECT set_config('idle_in_transaction_session_timeout', '60s', true),
  pg_advisory_xact_lock(hashtextextended('nexfit figures ' || $1::text, 0))

-- name: unmark
-- for: marks that were looked after. $1 marks.
DELETE FROM finance.analytics_marks WHERE mark_id = ANY ($1::bigint[])

-- name: mark
-- for: documents that changed. $1 facilities, $2 first and $3 last days in UTC, in the same order.
INSERT INTO finance.analytics_marks (facility_id, first_day, last_day) SELECT * FROM unnest($1::text[], $2::date[], $3::date[])

-- name: keep
-- for: days as they are now; those that were so already stay untouched. $1 facility, $2 the rows as JSON.
INSERT INTO finance.analytics_daily AS a (business_id, date, new_members, active_members, total_revenue, currency,
    class_attendance, subscription_renewals, subscription_cancellations, metrics)
  SELECT $1, n.date, n.new_members, n.active_members, n.total_revenue, n.currency, n.class_attendance, n.subscription_renewals,
    n.subscription_cancellations, n.metrics
  FROM jsonb_to_recordset($2::jsonb) AS n (date date, new_members integer, active_members integer, total_revenue numeric,
    currency text, class_attendance integer, subscription_renewals integer, subscription_cancellations integer, metrics jsonb)
  ORDER BY n.date
  ON CONFLICT (business_id, date) DO UPDATE SET new_members = excluded.new_members, active_members = excluded.active_members,
    total_revenue = excluded.total_revenue, currency = excluded.currency, class_attendance = excluded.class_attendance,
    subscription_renewals = excluded.subscription_renewals, subscription_cancellations = excluded.subscription_cancellations,
    metrics = excluded.metrics
  WHERE (a.new_members, a.active_members, a.total_revenue, a.currency, a.class_attendance, a.subscription_renewals,
      a.subscription_cancellations, a.metrics)
    IS DISTINCT FROM (excluded.new_members, excluded.active_members, excluded.total_revenue, excluded.currency,
      excluded.class_attendance, excluded.subscription_renewals, excluded.subscription_cancellations, excluded.metrics)
  RETURNING a.date

-- name: drop_outside
-- for: a rebuild; days that nothing speaks for. $1 facility, $2 first and $3 last day.
DELETE FROM finance.analytics_daily WHERE business_id = $1 AND (date < $2::date OR date > $3::date) RETURNING date

-- name: by_period
-- for: Facility.figures. $1 facilities, $2 first and $3 last local day, $4 day | week | month. One row per facility and period that
-- has figures, earliest first; the first and last period hold only the days asked for. Active members are those of the period's
-- last day; churn compares with the day before its first.
SELECT d.facility_id, d.period, d.revenue, d.currency, d.new_members, d.active_members, d.attendance, d.renewals, d.cancellations,
  d.visits, d.payments, d.refunds, d.classes, d.capacity, d.seats, d.no_shows, d.late_cancelled, b.active_members AS active_before
FROM (
  SELECT a.business_id AS facility_id, date_trunc($4::text, a.date::timestamp)::date AS period, min(a.date) AS first,
    sum(a.total_revenue) AS revenue, max(a.currency) AS currency, sum(a.new_members) AS new_members,
    (array_agg(a.active_members ORDER BY a.date DESC))[1] AS active_members, sum(a.class_attendance) AS attendance,
    sum(a.subscription_renewals) AS renewals, sum(a.subscription_cancellations) AS cancellations,
    sum((a.metrics->>'visits')::bigint)::bigint AS visits, sum((a.metrics->>'payments')::bigint)::bigint AS payments,
    sum((a.metrics->>'refunds')::bigint)::bigint AS refunds, sum((a.metrics->>'classes')::bigint)::bigint AS classes,
    sum((a.metrics->>'capacity')::bigint)::bigint AS capacity, sum((a.metrics->>'seats')::bigint)::bigint AS seats,
    sum((a.metrics->>'noShows')::bigint)::bigint AS no_shows, sum((a.metrics->>'lateCancelled')::bigint)::bigint AS late_cancelled
  FROM finance.analytics_daily a
  WHERE a.business_id = ANY ($1::text[]) AND a.date BETWEEN $2::date AND $3::date
  GROUP BY 1, 2
) d
LEFT JOIN finance.analytics_daily b ON b.business_id = d.facility_id AND b.date = d.first - 1
ORDER BY d.facility_id, d.period

-- name: cohorts
-- for: Facility.cohorts. $1 facilities, $2 their IANA zones, $3 their local todays (same order), $4 first and $5 last month of joining,
-- as their first days. Of those whose first membership began in a month: how many had one on the last day of that month and of each
-- month since, of the running month on today.
WITH joined AS (
  SELECT f.facility_id, f.timezone, f.today, s.user_id, date_trunc('month', min(s.created_at) AT TIME ZONE f.timezone)::date AS cohort
  FROM unnest($1::text[], $2::text[], $3::date[]) AS f (facility_id, timezone, today)
  JOIN finance.subscriptions s ON s.facility_id = f.facility_id AND s.status NOT IN ('incomplete', 'incomplete_expired')
  GROUP BY f.facility_id, f.timezone, f.today, s.user_id
), counted AS (
  SELECT j.facility_id, j.cohort, m.n, count(*) FILTER (WHERE EXISTS (
      SELECT FROM finance.subscriptions s
      WHERE s.user_id = j.user_id AND s.facility_id = j.facility_id AND s.status NOT IN ('incomplete', 'incomplete_expired')
        AND s.start_date <= m.day AND s.current_period_end > m.day
        AND (s.cancelled_at IS NULL OR (s.cancelled_at AT TIME ZONE j.timezone)::date >= m.day))) AS kept, count(*) AS members
  FROM joined j
  CROSS JOIN LATERAL (
    SELECT (row_number() OVER (ORDER BY g.starts))::integer - 1 AS n,
      least((g.starts + interval '1 month')::date - 1, j.today) AS day
    FROM generate_series(j.cohort::timestamp, date_trunc('month', j.today::timestamp), interval '1 month') AS g (starts)
  ) m
  WHERE j.cohort BETWEEN $4::date AND $5::date
  GROUP BY j.facility_id, j.cohort, m.n
)
SELECT facility_id, cohort, max(members) AS members, array_agg(kept ORDER BY n) AS kept
FROM counted GROUP BY facility_id, cohort ORDER BY facility_id, cohort

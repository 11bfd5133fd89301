-- Packages of a coach's time and their credits. Every balance is kept by the ledger's trigger; its checks refuse what is not there.

-- name: add
-- for: a sale. $1 package, $2 relation, $3 coach, $4 client, $5 name, $6 price, $7 currency, $8 first and $9 last day, $10 who sold it,
-- $11 at which facility, $12 its invoice, $13 when.
INSERT INTO finance.coaching_packages
  (package_id, relation_id, coach_id, client_id, name, price, currency, starts_on, ends_on, sold_by, facility_id, invoice_id, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: enter
-- for: credits that are granted, expire or are refunded. $1 package, $2 coach, $3 client, $4 kind, $5 how many.
INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits) VALUES ($1, $2, $3, $4, $5)

-- name: usable
-- for: which package a session on a day takes its credit from, the one that ends first before the others. $1 relation, $2 day.
SELECT p.package_id
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
WHERE p.relation_id = $1 AND b.remaining > 0
  AND (p.starts_on IS NULL OR p.starts_on <= $2) AND (p.ends_on IS NULL OR p.ends_on >= $2)
ORDER BY p.ends_on NULLS LAST, p.created_at, p.package_id
LIMIT 1

-- name: reserve
-- for: a session that is scheduled. $1 package, $2 coach, $3 client, $4 session.
INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits, session_id)
VALUES ($1, $2, $3, 'reserve', 1, $4)

-- name: settle
-- for: a session that is over: what it reserved is consumed or released. $1 session, $2 kind. A session from before packages has none.
INSERT INTO finance.package_credit_ledger (package_id, coach_id, client_id, entry_type, credits, session_id)
SELECT package_id, coach_id, client_id, $2, credits, session_id
FROM finance.package_credit_ledger WHERE session_id = $1 AND entry_type = 'reserve'

-- name: of_relations
-- for: CoachClient.packages, those that end first before the others. $1 relations.
SELECT p.*, b.total, b.reserved, b.used, b.expired, b.refunded, b.remaining,
  CASE WHEN i.status IS NULL THEN 'unbilled' WHEN i.status <> 'paid' THEN i.status
    WHEN i.total_amount <= (SELECT coalesce(sum(c.total_amount), 0) FROM finance.credit_notes c WHERE c.invoice_id = i.invoice_id)
    THEN 'refunded' ELSE 'paid' END AS payment
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
LEFT JOIN finance.invoices i ON i.invoice_id = p.invoice_id
WHERE p.relation_id = ANY ($1::text[])
ORDER BY p.ends_on NULLS LAST, p.created_at, p.package_id

-- name: by_ids
-- for: node(id:) and payloads. $1 packages.
SELECT p.*, b.total, b.reserved, b.used, b.expired, b.refunded, b.remaining,
  CASE WHEN i.status IS NULL THEN 'unbilled' WHEN i.status <> 'paid' THEN i.status
    WHEN i.total_amount <= (SELECT coalesce(sum(c.total_amount), 0) FROM finance.credit_notes c WHERE c.invoice_id = i.invoice_id)
    THEN 'refunded' ELSE 'paid' END AS payment
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
LEFT JOIN finance.invoices i ON i.invoice_id = p.invoice_id
WHERE p.package_id = ANY ($1::text[])

-- name: ended
-- for: credits that expire. $1 the last day that is over everywhere, $2 at most so many packages.
SELECT p.package_id, p.coach_id, p.client_id, b.remaining
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
WHERE p.ends_on <= $1 AND b.remaining > 0
ORDER BY p.ends_on, p.package_id
LIMIT $2

-- name: earnings
-- for: what coaches earned by day, week or month of a zone. Of each: $1 the coach and $2 the facility where it was sold (NULL: wherever),
-- $3 the zone; $4 first and $5 last local day, $6 day | week | month. One row per place in the lists, coach, period and currency with a
-- movement. A credit is worth its share of the price: those that left a package (used, expired or refunded) are counted in their order,
-- and of each the shares up to it are rounded, so that all of a package's credits add up to its price.
WITH asked AS (
  SELECT a.place, a.coach_id, a.facility_id, a.timezone
  FROM unnest($1::text[], $2::text[], $3::text[]) WITH ORDINALITY AS a (coach_id, facility_id, timezone, place)
), sold AS (
  SELECT a.place, a.timezone, p.package_id, p.coach_id, p.price, p.currency, p.created_at, b.total,
    finance.currency_exponent(p.currency)::integer AS digits
  FROM asked a
  CROSS JOIN LATERAL (
    SELECT * FROM finance.coaching_packages c WHERE a.facility_id IS NULL AND c.coach_id = a.coach_id
    UNION ALL
    SELECT * FROM finance.coaching_packages c
    WHERE c.facility_id = a.facility_id AND (a.coach_id IS NULL OR c.coach_id = a.coach_id)
  ) p
  JOIN finance.package_balances b USING (package_id)
  WHERE p.price IS NOT NULL AND p.created_at < ($5::date + 2)::timestamp AT TIME ZONE 'UTC'
), moved AS (
  SELECT place, timezone, coach_id, currency, 'sold' AS kind, created_at, price AS amount, total AS credits FROM sold
  UNION ALL
  SELECT s.place, s.timezone, s.coach_id, s.currency, l.entry_type, l.created_at,
    round(s.price * l.upto / s.total, s.digits) - round(s.price * (l.upto - l.credits) / s.total, s.digits), l.credits
  FROM sold s
  CROSS JOIN LATERAL (
    SELECT e.entry_type, e.created_at, e.credits, sum(e.credits) OVER (ORDER BY e.created_at, e.entry_id) AS upto
    FROM finance.package_credit_ledger e
    WHERE e.package_id = s.package_id AND e.entry_type IN ('consume', 'expire', 'refund')
  ) l
)
SELECT place, coach_id, date_trunc($6::text, created_at AT TIME ZONE timezone)::date AS period, currency,
  coalesce(sum(amount) FILTER (WHERE kind = 'sold'), 0) AS sold,
  coalesce(sum(amount) FILTER (WHERE kind = 'consume'), 0) AS earned,
  coalesce(sum(amount) FILTER (WHERE kind = 'expire'), 0) AS expired,
  coalesce(sum(amount) FILTER (WHERE kind = 'refund'), 0) AS refunded,
  coalesce(sum(credits) FILTER (WHERE kind = 'consume'), 0)::integer AS sessions
FROM moved
WHERE created_at >= $4::date::timestamp AT TIME ZONE timezone
  AND created_at < ($5::date + 1)::timestamp AT TIME ZONE timezone
GROUP BY 1, 2, 3, 4
ORDER BY 1, 3, 2, 4

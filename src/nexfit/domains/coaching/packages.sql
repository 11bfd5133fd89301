-- Packages of a coach's time and their credits. Every balance is kept by the ledger's trigger; its checks refuse what is not there.

-- name: add
-- for: a sale. $1 package, $2 relation, $3 coach, $4 client, $5 name, $6 price, $7 currency, $8 first and $9 last day, $10 who sold it.
INSERT INTO finance.coaching_packages
  (package_id, relation_id, coach_id, client_id, name, price, currency, starts_on, ends_on, sold_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

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
SELECT p.*, b.total, b.reserved, b.used, b.expired, b.refunded, b.remaining
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
WHERE p.relation_id = ANY ($1::text[])
ORDER BY p.ends_on NULLS LAST, p.created_at, p.package_id

-- name: by_ids
-- for: node(id:) and payloads. $1 packages.
SELECT p.*, b.total, b.reserved, b.used, b.expired, b.refunded, b.remaining
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
WHERE p.package_id = ANY ($1::text[])

-- name: ended
-- for: credits that expire. $1 the last day that is over everywhere, $2 at most so many packages.
SELECT p.package_id, p.coach_id, p.client_id, b.remaining
FROM finance.coaching_packages p JOIN finance.package_balances b USING (package_id)
WHERE p.ends_on <= $1 AND b.remaining > 0
ORDER BY p.ends_on, p.package_id
LIMIT $2

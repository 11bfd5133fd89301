-- Exports: whole tables of a facility, read in keyset batches so that neither a connection nor memory is held for long.

-- name: transactions
-- for: the export of movements. $1 facility, $2 begins, $3 ends, $4 and $5 the last place read (created_at, id), $6 rows.
SELECT created_at, transaction_id, user_id, transaction_type, status, payment_method, amount, currency, original_transaction_id,
  description
FROM finance.transactions
WHERE facility_id = $1 AND created_at >= $2 AND created_at < $3 AND (created_at, transaction_id) > ($4, $5::uuid)
ORDER BY created_at, transaction_id LIMIT $6

-- name: invoices
-- for: the export of invoices. $1 facility, $2 begins, $3 ends, $4 and $5 the last place read (created_at, id), $6 rows.
SELECT i.created_at, i.invoice_id, i.user_id, i.invoice_number, i.status, i.issued_on, i.due_date, i.payment_date, i.net_amount,
  i.tax_amount, i.total_amount, i.currency,
  (SELECT coalesce(sum(c.total_amount), 0) FROM finance.credit_notes c WHERE c.invoice_id = i.invoice_id) AS credited
FROM finance.invoices i
WHERE i.facility_id = $1 AND i.status <> 'draft' AND i.created_at >= $2 AND i.created_at < $3
  AND (i.created_at, i.invoice_id) > ($4, $5::uuid)
ORDER BY i.created_at, i.invoice_id LIMIT $6

-- name: members
-- for: the export of members. $1 facility, $2 the last person read, $3 rows.
SELECT user_id, status, plan_id, joined_at, last_visit_at, next_booking_at, last_payment_at, balance, open_invoices, oldest_open_due,
  currency
FROM platform.member_facts WHERE facility_id = $1 AND user_id > $2
ORDER BY user_id LIMIT $3

-- name: figures
-- for: the export of daily figures. $1 facility, $2 first and $3 last local day, $4 the last day read, $5 rows.
SELECT date, new_members, active_members, total_revenue, currency, class_attendance, subscription_renewals,
  subscription_cancellations, (metrics->>'visits')::bigint AS visits, (metrics->>'capacity')::bigint AS capacity,
  (metrics->>'seats')::bigint AS seats, (metrics->>'noShows')::bigint AS no_shows
FROM finance.analytics_daily WHERE business_id = $1 AND date BETWEEN $2::date AND $3::date AND date > $4::date
ORDER BY date LIMIT $5

-- Giving money back: the refund, its movement and its credit note. Money a provider took is given back by the provider, in two steps.

-- name: hold_payment
-- for: refunds of one payment taking turns. $1 payment.
SELECT k.created_at FROM finance.transaction_keys k WHERE k.transaction_id = $1 FOR NO KEY UPDATE

-- name: payment
-- for: what can be given back. $1 payment, $2 when it was recorded. Its invoice, if any, and what was credited of it so far.
SELECT t.business_id, t.facility_id, t.user_id, t.amount, t.currency, t.payment_method, t.transaction_type, t.status, t.description,
  t.provider, t.provider_reference, i.invoice_id, i.status AS invoice_status, i.total_amount, i.tax_amount, c.credited
FROM finance.transactions t
LEFT JOIN finance.invoices i ON i.transaction_id = t.transaction_id
LEFT JOIN LATERAL (
  SELECT coalesce(sum(n.total_amount), 0) AS credited FROM finance.credit_notes n WHERE n.invoice_id = i.invoice_id
) c ON true
WHERE t.transaction_id = $1 AND t.created_at = $2

-- name: give_back
-- for: the movement. $1 business, $2 facility, $3 member, $4 amount, $5 currency, $6 method, $7 payment, $8 description, $9 status,
-- $10 provider, $11 when it was asked for.
INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status,
    original_transaction_id, description, provider, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, 'refund', $9, $7, $8, $10, $11)
  RETURNING transaction_id

-- name: record
-- for: the refund itself; its trigger holds it against what was captured. $1 payment, $2 movement, $3 business, $4 facility,
-- $5 member, $6 amount, $7 currency, $8 reason, $9 who, $10 status, $11 when it was asked for.
INSERT INTO finance.refunds (original_transaction_id, refund_transaction_id, business_id, facility_id, user_id, amount, currency,
    status, reason, requested_by, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $10, $8, $9, $11)
  RETURNING refund_id

-- name: open_refund
-- for: asking the provider. $1 refund.
SELECT r.refund_id, r.amount, r.currency, r.facility_id, r.status, t.provider, t.provider_reference
FROM finance.refunds r
JOIN finance.transaction_keys k ON k.transaction_id = r.original_transaction_id
JOIN finance.transactions t ON t.transaction_id = k.transaction_id AND t.created_at = k.created_at
WHERE r.refund_id = $1 AND r.status IN ('pending', 'unknown')

-- name: open_refunds
-- for: recovery: those nobody has settled by $1, oldest first, at most $2.
SELECT refund_id FROM finance.refunds WHERE status IN ('pending', 'unknown') AND created_at < $1 ORDER BY created_at LIMIT $2

-- name: refund_of_payment
-- for: which payment's turn it is, before it is taken. $1 refund.
SELECT original_transaction_id FROM finance.refunds WHERE refund_id = $1

-- name: settle
-- for: the outcome. $1 refund, $2 status. No row where it has one already.
UPDATE finance.refunds SET status = $2 WHERE refund_id = $1 AND status IN ('pending', 'unknown') AND status <> $2
  RETURNING refund_id, original_transaction_id, refund_transaction_id, amount, currency, reason, requested_by

-- name: settle_movement
-- for: the outcome of its movement. $1 movement, $2 when it was recorded, $3 status, $4 the provider's name for it.
UPDATE finance.transactions SET status = $3, provider_reference = coalesce($4, provider_reference)
  WHERE transaction_id = $1 AND created_at = $2

-- name: key_of
-- for: where a transaction lies. $1 transaction.
SELECT created_at FROM finance.transaction_keys WHERE transaction_id = $1

-- name: purchase_refunded
-- for: a purchase that could not be activated is over when its money is back, also by another refund than the one that was refused.
-- $1 refund.
UPDATE finance.purchases p SET status = 'refunded', refund_id = r.refund_id
  FROM finance.refunds r
  WHERE r.refund_id = $1 AND p.status = 'paid'
    AND p.refund_id = ANY (SELECT o.refund_id FROM finance.refunds o WHERE o.original_transaction_id = r.original_transaction_id)
    AND p.amount = (SELECT sum(o.amount) FROM finance.refunds o
      WHERE o.original_transaction_id = r.original_transaction_id AND o.status = 'succeeded')

-- name: purchase_stuck
-- for: a purchase whose money the provider will not give back: somebody has to. $1 refund, $2 the provider's word for why.
UPDATE finance.purchases SET failure = $2 WHERE refund_id = $1 AND status = 'paid'

-- name: credit
-- for: what an issued invoice gives back. $1 invoice, $2 refund, $3 member, $4 business, $5 facility, $6 net, $7 tax, $8 currency,
-- $9 reason, $10 local day.
INSERT INTO finance.credit_notes (invoice_id, refund_id, user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
    currency, reason, issued_on, credit_note_sequence)
  VALUES ($1, $2, $3, $4::text, $5, $6::numeric, $7::numeric, $6::numeric + $7::numeric, $8, $9, $10::date,
    finance.next_document_sequence($4::text, 'credit_note', extract(year FROM $10::date)::integer))
  RETURNING credit_note_number

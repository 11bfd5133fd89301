-- Giving money back that was taken at the desk: the refund, its movement and its credit note, in one transaction.

-- name: hold_payment
-- for: refunds of one payment taking turns. $1 payment.
SELECT k.created_at FROM finance.transaction_keys k WHERE k.transaction_id = $1 FOR NO KEY UPDATE

-- name: payment
-- for: what can be given back. $1 payment, $2 when it was recorded. Its invoice, if any, and what was credited of it so far.
SELECT t.business_id, t.facility_id, t.user_id, t.amount, t.currency, t.payment_method, t.transaction_type, t.status, t.description,
  i.invoice_id, i.status AS invoice_status, i.total_amount, i.tax_amount, c.credited, c.credited_tax
FROM finance.transactions t
LEFT JOIN finance.invoices i ON i.transaction_id = t.transaction_id
LEFT JOIN LATERAL (
  SELECT coalesce(sum(n.total_amount), 0) AS credited, coalesce(sum(n.tax_amount), 0) AS credited_tax
  FROM finance.credit_notes n WHERE n.invoice_id = i.invoice_id
) c ON true
WHERE t.transaction_id = $1 AND t.created_at = $2

-- name: give_back
-- for: the movement. $1 business, $2 facility, $3 member, $4 amount, $5 currency, $6 method, $7 payment, $8 description.
INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status,
    original_transaction_id, description)
  VALUES ($1, $2, $3, $4, $5, $6, 'refund', 'succeeded', $7, $8)
  RETURNING transaction_id

-- name: record
-- for: the refund itself; its trigger holds it against what was captured. $1 payment, $2 movement, $3 business, $4 facility,
-- $5 member, $6 amount, $7 currency, $8 reason, $9 who.
INSERT INTO finance.refunds (original_transaction_id, refund_transaction_id, business_id, facility_id, user_id, amount, currency,
    status, reason, requested_by)
  VALUES ($1, $2, $3, $4, $5, $6, $7, 'succeeded', $8, $9)
  RETURNING refund_id

-- name: credit
-- for: what an issued invoice gives back. $1 invoice, $2 refund, $3 member, $4 business, $5 facility, $6 net, $7 tax, $8 currency,
-- $9 reason, $10 local day.
INSERT INTO finance.credit_notes (invoice_id, refund_id, user_id, business_id, facility_id, net_amount, tax_amount, total_amount,
    currency, reason, issued_on, credit_note_sequence)
  VALUES ($1, $2, $3, $4::text, $5, $6::numeric, $7::numeric, $6::numeric + $7::numeric, $8, $9, $10::date,
    finance.next_document_sequence($4::text, 'credit_note', extract(year FROM $10::date)::integer))
  RETURNING credit_note_number

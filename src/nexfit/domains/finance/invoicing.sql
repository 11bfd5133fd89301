-- Issuing invoices by hand, being paid for them at the desk, and taking them back.

-- name: account
-- for: which business issues the invoice, and in which currency. $1 facility.
SELECT business_id, currency FROM finance.facility_accounts WHERE facility_id = $1

-- name: open_account
-- for: the facility's first invoice. $1 facility, $2 currency. A facility trades in one currency for good.
INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1::text, $1::text, $2)
ON CONFLICT (facility_id) DO NOTHING

-- name: hold_member
-- for: the order of locks. A sale holds the member's facts, which its payment touches, before the series: so does an invoice.
-- $1 facility, $2 member.
SELECT user_id FROM platform.member_facts WHERE facility_id = $1 AND user_id = $2 FOR NO KEY UPDATE

-- name: issue
-- for: an invoice that is still to be paid. $1 member, $2 business, $3 facility, $4 net, $5 tax, $6 currency, $7 local day,
-- $8 last day to pay, $9 what is printed, as JSON.
INSERT INTO finance.invoices (user_id, business_id, facility_id, net_amount, tax_amount, total_amount, currency, status,
    issued_on, due_date, invoice_sequence, invoice_data)
  VALUES ($1, $2::text, $3, $4::numeric, $5::numeric, $4::numeric + $5::numeric, $6, 'open', $7::date, $8::date,
    finance.next_document_sequence($2::text, 'invoice', extract(year FROM $7::date)::integer), $9)
  RETURNING invoice_id, invoice_number

-- name: add_lines
-- for: what the invoice is for, in one statement, which must bring exactly its totals. $1 invoice; of each line, in their order:
-- $2 description, $3 quantity, $4 tax rate, $5 net, $6 tax.
INSERT INTO finance.invoice_lines (invoice_id, line_no, description, quantity, tax_rate, net_amount, tax_amount, total_amount)
  SELECT $1, l.n, l.description, l.quantity, l.tax_rate, l.net, l.tax, l.net + l.tax
  FROM unnest($2::text[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[]) WITH ORDINALITY
    AS l (description, quantity, tax_rate, net, tax, n)

-- name: hold
-- for: whoever changes an invoice takes turns. $1 invoice.
SELECT invoice_id, invoice_number, business_id, facility_id, user_id, subscription_id, total_amount, currency, status, due_date
FROM finance.invoices WHERE invoice_id = $1 FOR UPDATE

-- name: take_payment
-- for: money taken at the desk for an invoice. $1 business, $2 facility, $3 member, $4 amount, $5 currency, $6 method,
-- $7 description, $8 metadata, $9 when.
INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status,
    description, metadata, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, 'manual_payment', 'succeeded', $7, $8, $9)
  RETURNING transaction_id

-- name: settle
-- for: the invoice is paid. $1 invoice, $2 payment, $3 local day.
UPDATE finance.invoices SET status = 'paid', transaction_id = $2, payment_date = $3::date WHERE invoice_id = $1

-- name: reactivate
-- for: a subscription that fell behind and owes nothing any more. $1 subscription, $2 local day.
UPDATE finance.subscriptions s SET status = 'active'
  WHERE s.subscription_id = $1 AND s.status IN ('past_due', 'suspended') AND s.current_period_end > $2::date
    AND NOT EXISTS (SELECT FROM finance.invoices i WHERE i.subscription_id = s.subscription_id AND i.status = 'open')
  RETURNING s.subscription_id

-- name: void
-- for: an invoice that should not have been issued. $1 invoice.
UPDATE finance.invoices SET status = 'void' WHERE invoice_id = $1

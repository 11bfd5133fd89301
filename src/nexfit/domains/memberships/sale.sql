-- Writing down that a membership was sold: subscription, payment and invoice, in one transaction with MongoDB's contract.

-- name: open_account
-- for: the facility's first sale. $1 facility, $2 currency. A facility trades in one currency for good.
INSERT INTO finance.facility_accounts (facility_id, business_id, currency) VALUES ($1::text, $1::text, $2)
ON CONFLICT (facility_id) DO NOTHING

-- name: account
-- for: which business issues the invoice, and in which currency. $1 facility.
SELECT business_id, currency FROM finance.facility_accounts WHERE facility_id = $1

-- name: live
-- for: what the member holds of the plan already, held against other sales. $1 facility, $2 member, $3 plan.
SELECT subscription_id, status, start_date, current_period_end, billing_day
FROM finance.subscriptions
WHERE facility_id = $1 AND user_id = $2 AND plan_id = $3
  AND status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen')
FOR UPDATE

-- name: begin
-- for: a new subscription, active at once. $1 business, $2 facility, $3 member, $4 plan, $5 first day, $6 first day after,
-- $7 cycle, $8 interval, $9 price with tax, $10 currency, $11 tax rate, $12 how it was paid, $13 whether it renews by itself,
-- $14 the provider that charges later terms, $15 its customer, $16 its way to pay, $17 the plan's name, $18 when, $19 billing day.
INSERT INTO finance.subscriptions (business_id, facility_id, user_id, plan_id, status, start_date, end_date,
    current_period_start, current_period_end, billing_cycle, billing_interval, amount, currency, tax_rate, payment_method,
    auto_renew, provider, customer, method, plan_name, created_at, billing_day)
  VALUES ($1, $2, $3, $4, 'active', $5::date, $6::date - 1, $5::date, $6::date, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17,
    $18, $19)
  RETURNING subscription_id, facility_id, user_id, plan_id, status, start_date, current_period_end, auto_renew, cancelled_at,
    created_at, updated_at

-- name: extend
-- for: one more term. $1 subscription, $2 the new first day after, $3 price, $4 tax rate, $5 how it was paid.
UPDATE finance.subscriptions SET current_period_start = current_period_end, current_period_end = $2::date, end_date = $2::date - 1,
    amount = $3, tax_rate = $4, payment_method = $5
  WHERE subscription_id = $1
  RETURNING subscription_id, facility_id, user_id, plan_id, status, start_date, current_period_end, auto_renew, cancelled_at,
    created_at, updated_at

-- name: take_payment
-- for: money that came. $1 business, $2 facility, $3 member, $4 amount, $5 currency, $6 method, $7 description, $8 charge or
-- manual_payment, $9 provider, $10 its name for the payment, $11 when.
INSERT INTO finance.transactions (business_id, facility_id, user_id, amount, currency, payment_method, transaction_type, status,
    description, provider, provider_reference, created_at)
  VALUES ($1, $2, $3, $4, $5, $6, $8, 'succeeded', $7, $9, $10, $11)
  RETURNING transaction_id, created_at

-- name: issue_invoice
-- for: the invoice of the term, paid on the day it is issued. $1 payment, $2 subscription, $3 term's first day, $4 member,
-- $5 business, $6 facility, $7 net, $8 tax, $9 currency, $10 local day, $11 what is printed, as JSON.
INSERT INTO finance.invoices (transaction_id, subscription_id, period_start, user_id, business_id, facility_id, net_amount,
    tax_amount, total_amount, currency, status, issued_on, due_date, payment_date, invoice_sequence, invoice_data)
  VALUES ($1, $2, $3, $4, $5::text, $6, $7::numeric, $8::numeric, $7::numeric + $8::numeric, $9, 'paid', $10::date, $10::date, $10::date,
    finance.next_document_sequence($5::text, 'invoice', extract(year FROM $10::date)::integer), $11)
  RETURNING invoice_id, invoice_number

-- name: add_line
-- for: the invoice's only line. $1 invoice, $2 description, $3 tax rate, $4 net, $5 tax.
INSERT INTO finance.invoice_lines (invoice_id, line_no, description, quantity, tax_rate, net_amount, tax_amount, total_amount)
  VALUES ($1, 1, $2, 1, $3, $4::numeric, $5::numeric, $4::numeric + $5::numeric)

-- Memberships bought online, step by step (workflow 2).

-- name: intend
-- for: the promise, before anybody pays. $1 business, $2 facility, $3 member, $4 plan, $5 its name, $6 and $7 its length, $8 price,
-- $9 currency, $10 tax rate, $11 one more term, $12 whether it renews by itself, $13 provider, $14 now, $15 when it expires.
INSERT INTO finance.purchases (business_id, facility_id, user_id, plan_id, plan_name, duration_value, duration_unit, amount,
    currency, tax_rate, renews, auto_renew, provider, created_at, checked_at, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $14, $15)
  RETURNING purchase_id

-- name: intend_program
-- for: the same for a program. $1 business, $2 facility, $3 buyer, $4 program, $5 its author, $6 its name, $7 price, $8 currency,
-- $9 tax rate, $10 provider, $11 now, $12 when it expires.
INSERT INTO finance.purchases (business_id, facility_id, user_id, program_id, author_id, plan_name, amount, currency, tax_rate,
    renews, auto_renew, provider, created_at, checked_at, expires_at)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, false, false, $10, $11, $11, $12)
  RETURNING purchase_id

-- name: purchase
-- for: one purchase as it is. $1 its id.
SELECT * FROM finance.purchases WHERE purchase_id = $1

-- name: hold
-- for: whoever moves a purchase on takes turns. $1 its id.
SELECT * FROM finance.purchases WHERE purchase_id = $1 FOR UPDATE

-- name: of_reference
-- for: a webhook's payment. $1 provider, $2 its name for the payment.
SELECT purchase_id FROM finance.purchases WHERE provider = $1 AND provider_reference = $2

-- name: await_payment
-- for: the provider has the payment. $1 purchase, $2 the provider's name for it.
UPDATE finance.purchases SET status = 'awaiting_payment', provider_reference = $2 WHERE purchase_id = $1

-- name: close
-- for: no money will come. $1 purchase, $2 failed or expired, $3 why.
UPDATE finance.purchases SET status = $2, failure = coalesce($3, failure) WHERE purchase_id = $1

-- name: looked
-- for: the provider was asked and nothing is decided. $1 purchase, $2 when, $3 why a try was declined.
UPDATE finance.purchases SET checked_at = $2, failure = coalesce($3, failure) WHERE purchase_id = $1

-- name: pay
-- for: the money has come. $1 purchase, $2 when, $3 the provider's customer, $4 its way to pay.
UPDATE finance.purchases SET status = 'paid', paid_at = $2, customer = $3, method = $4, checked_at = $2 WHERE purchase_id = $1

-- name: activate
-- for: the membership exists. $1 purchase, $2 subscription, $3 payment.
UPDATE finance.purchases SET status = 'active', subscription_id = $2, transaction_id = $3 WHERE purchase_id = $1

-- name: activate_program
-- for: the buyer has the program. $1 purchase, $2 enrolment, $3 payment.
UPDATE finance.purchases SET status = 'active', enrolment_id = $2, transaction_id = $3 WHERE purchase_id = $1

-- name: give_program_back
-- for: the buyer gave it back. $1 purchase, $2 the refund.
UPDATE finance.purchases SET refund_id = $2 WHERE purchase_id = $1

-- name: return_money
-- for: it cannot be activated. $1 purchase, $2 payment, $3 refund, $4 why.
UPDATE finance.purchases SET transaction_id = $2, refund_id = $3, failure = $4 WHERE purchase_id = $1

-- name: take_open
-- for: recovery: what is not over and was last looked at before $1, oldest first, at most $2; from $3 on it counts as looked at.
UPDATE finance.purchases SET checked_at = $3 WHERE purchase_id IN (
  SELECT purchase_id FROM finance.purchases
  WHERE status IN ('initiated', 'awaiting_payment', 'paid') AND checked_at < $1
  ORDER BY checked_at LIMIT $2 FOR UPDATE SKIP LOCKED)
  RETURNING purchase_id

-- name: heard
-- for: whether a webhook was acted upon. $1 provider, $2 its id.
SELECT true FROM finance.provider_events WHERE provider = $1 AND event_id = $2

-- name: hear
-- for: acting upon a webhook once. $1 provider, $2 its id, $3 what it tells, $4 the payment, $5 now.
INSERT INTO finance.provider_events (provider, event_id, kind, reference, received_at) VALUES ($1, $2, $3, $4, $5)
  ON CONFLICT DO NOTHING

-- name: forget_events
-- for: webhooks nobody sends any more. $1 since when.
DELETE FROM finance.provider_events WHERE received_at < $1

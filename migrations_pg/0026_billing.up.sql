-- Renewals: tries to charge a period's invoice, and when the next one is due (workflow 3).

-- One row per try. Its id is the provider's idempotency key, so a try that nobody knows the outcome of is asked again, not made again.
CREATE TABLE finance.billing_attempts (
  attempt_id uuid PRIMARY KEY DEFAULT uuidv7(),
  subscription_id uuid NOT NULL REFERENCES finance.subscriptions ON DELETE RESTRICT,
  invoice_id uuid NOT NULL REFERENCES finance.invoices ON DELETE RESTRICT,
  number smallint NOT NULL CHECK (number >= 0),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'unknown', 'succeeded', 'failed')),
  decline text CHECK (decline IN ('soft', 'hard')),
  failure text,
  transaction_id uuid REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  created_at timestamptz NOT NULL,
  settled_at timestamptz,
  CONSTRAINT billing_attempts_number_key UNIQUE (invoice_id, number),
  CONSTRAINT billing_attempts_money CHECK ((status = 'succeeded') = (transaction_id IS NOT NULL)),
  CONSTRAINT billing_attempts_decline CHECK ((status = 'failed') = (decline IS NOT NULL))
);
-- At most one try of an invoice may be under way or have come through.
CREATE UNIQUE INDEX billing_attempts_one_key ON finance.billing_attempts (invoice_id) WHERE status <> 'failed';
-- Those nobody knows the outcome of.
CREATE INDEX idx_billing_attempts_open ON finance.billing_attempts (created_at) WHERE status IN ('pending', 'unknown');
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.billing_attempts
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- The facility's day of the next try, and how many of this period's have failed.
ALTER TABLE finance.subscriptions ADD COLUMN next_attempt_on date, ADD COLUMN failed_attempts smallint NOT NULL DEFAULT 0;
CREATE INDEX idx_subscriptions_debt ON finance.subscriptions (next_attempt_on) WHERE status IN ('past_due', 'suspended');

GRANT SELECT, INSERT, UPDATE ON finance.billing_attempts TO nexfit_app;

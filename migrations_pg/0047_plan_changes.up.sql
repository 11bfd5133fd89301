-- Changes of plans that members make for themselves: to a dearer one at once, for the difference, charged by the saved way to pay; to
-- a cheaper one when the paid period ends.

-- One row per wish, written before anybody is charged; its id is the provider's idempotency key.
CREATE TABLE finance.plan_changes (
  plan_change_id uuid PRIMARY KEY DEFAULT uuidv7(),
  subscription_id uuid NOT NULL REFERENCES finance.subscriptions ON DELETE RESTRICT,
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  -- What was promised: the plan as it was, and what is credited of the period that is left.
  plan_id varchar(24) NOT NULL CHECK (platform.is_object_id(plan_id)),
  plan_name text NOT NULL CHECK (plan_name <> ''),
  duration_value smallint NOT NULL CHECK (duration_value BETWEEN 1 AND 3650),
  duration_unit text NOT NULL CHECK (duration_unit IN ('day', 'week', 'month', 'year')),
  price numeric NOT NULL CHECK (price >= 0),
  currency varchar(3) NOT NULL,
  tax_rate numeric NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
  credit numeric NOT NULL CHECK (credit >= 0),
  period_start date NOT NULL,
  -- initiated → done | failed (declined) | returned (paid too late, and paid back); scheduled → done | dropped.
  status text NOT NULL CHECK (status IN ('initiated', 'scheduled', 'done', 'failed', 'returned', 'dropped')),
  failure text,
  -- Of what is done at once: the new subscription and its first day, and the payment of the difference.
  made_subscription_id uuid REFERENCES finance.subscriptions ON DELETE RESTRICT,
  starts_on date,
  transaction_id uuid REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  created_at timestamptz NOT NULL,
  updated_at timestamptz NOT NULL DEFAULT platform.clock(),
  CONSTRAINT plan_changes_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT plan_changes_amount_scale CHECK (finance.fits_currency(price, currency) AND finance.fits_currency(credit, currency)),
  CONSTRAINT plan_changes_made CHECK (made_subscription_id IS NULL OR (status = 'done' AND starts_on IS NOT NULL))
);
-- One open wish at a time; also what billing looks for.
CREATE UNIQUE INDEX plan_changes_open_key ON finance.plan_changes (subscription_id) WHERE status IN ('initiated', 'scheduled');
-- What recovery has to look at.
CREATE INDEX idx_plan_changes_open ON finance.plan_changes (created_at) WHERE status = 'initiated';
-- Where a subscription's credit came from.
CREATE INDEX idx_plan_changes_made ON finance.plan_changes (made_subscription_id) WHERE made_subscription_id IS NOT NULL;
CREATE TRIGGER touch BEFORE UPDATE ON finance.plan_changes FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();
CREATE TRIGGER refuse_delete BEFORE DELETE ON finance.plan_changes FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.plan_changes
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

GRANT SELECT, INSERT, UPDATE ON finance.plan_changes TO nexfit_app;

-- Memberships bought online: what was promised before anybody paid, and what became of it (workflow 2).

-- One row per intention to buy. Price, currency, tax, length and name are frozen here; money that came of it is a transaction.
CREATE TABLE finance.purchases (
  purchase_id uuid PRIMARY KEY DEFAULT uuidv7(),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  plan_id varchar(24) NOT NULL CHECK (platform.is_object_id(plan_id)),
  plan_name text NOT NULL CHECK (plan_name <> ''),
  duration_value smallint NOT NULL CHECK (duration_value BETWEEN 1 AND 3650),
  duration_unit text NOT NULL CHECK (duration_unit IN ('day', 'week', 'month', 'year')),
  amount numeric NOT NULL CHECK (amount > 0),
  currency varchar(3) NOT NULL,
  tax_rate numeric NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
  -- One more term of what the member holds.
  renews boolean NOT NULL,
  auto_renew boolean NOT NULL,
  status text NOT NULL DEFAULT 'initiated'
    CHECK (status IN ('initiated', 'awaiting_payment', 'paid', 'active', 'failed', 'expired', 'refunded')),
  -- The provider's names for the payment, the customer and the way it was paid; no card data, no client secret.
  provider text NOT NULL,
  provider_reference text,
  customer text,
  method text,
  failure text,
  subscription_id uuid REFERENCES finance.subscriptions ON DELETE RESTRICT,
  transaction_id uuid REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  refund_id uuid REFERENCES finance.refunds ON DELETE RESTRICT,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  -- When the provider was last asked.
  checked_at timestamptz NOT NULL DEFAULT now(),
  paid_at timestamptz,
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT purchases_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT purchases_amount_scale CHECK (finance.fits_currency(amount, currency)),
  CONSTRAINT purchases_expiry CHECK (expires_at > created_at),
  CONSTRAINT purchases_paid CHECK ((status IN ('paid', 'active', 'refunded')) = (paid_at IS NOT NULL)),
  CONSTRAINT purchases_active CHECK ((status = 'active') = (subscription_id IS NOT NULL)),
  CONSTRAINT purchases_booked CHECK (status NOT IN ('active', 'refunded') OR transaction_id IS NOT NULL),
  CONSTRAINT purchases_refunded CHECK (status <> 'refunded' OR refund_id IS NOT NULL)
);
CREATE UNIQUE INDEX purchases_provider_reference_key
  ON finance.purchases (provider, provider_reference) WHERE provider_reference IS NOT NULL;
-- What recovery has to look at.
CREATE INDEX idx_purchases_open ON finance.purchases (checked_at) WHERE status IN ('initiated', 'awaiting_payment', 'paid');
-- A refund that is done tells its purchase.
CREATE INDEX idx_purchases_refund_id ON finance.purchases (refund_id) WHERE refund_id IS NOT NULL;

-- What was promised never changes; the state goes only where workflow 2 lets it.
CREATE FUNCTION finance.guard_purchase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'purchase % cannot be deleted', OLD.purchase_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'purchases_append_only';
  END IF;
  IF (NEW.purchase_id, NEW.business_id, NEW.facility_id, NEW.user_id, NEW.plan_id, NEW.plan_name, NEW.duration_value, NEW.duration_unit,
      NEW.amount, NEW.currency, NEW.tax_rate, NEW.renews, NEW.auto_renew, NEW.provider, NEW.created_at, NEW.expires_at)
     IS DISTINCT FROM
     (OLD.purchase_id, OLD.business_id, OLD.facility_id, OLD.user_id, OLD.plan_id, OLD.plan_name, OLD.duration_value, OLD.duration_unit,
      OLD.amount, OLD.currency, OLD.tax_rate, OLD.renews, OLD.auto_renew, OLD.provider, OLD.created_at, OLD.expires_at)
     OR (OLD.provider_reference IS NOT NULL AND NEW.provider_reference IS DISTINCT FROM OLD.provider_reference) THEN
    RAISE EXCEPTION 'purchase % keeps what was promised', OLD.purchase_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'purchases_frozen';
  END IF;
  IF NEW.status <> OLD.status AND NOT (
    (OLD.status = 'initiated' AND NEW.status = 'awaiting_payment')
    OR (OLD.status = 'awaiting_payment' AND NEW.status IN ('paid', 'failed', 'expired'))
    -- Money that came after all.
    OR (OLD.status IN ('expired', 'failed') AND NEW.status = 'paid')
    OR (OLD.status = 'paid' AND NEW.status IN ('active', 'refunded'))) THEN
    RAISE EXCEPTION 'purchase % is %: it cannot become %', OLD.purchase_id, OLD.status, NEW.status
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'purchases_transition';
  END IF;
  NEW.updated_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON finance.purchases FOR EACH ROW EXECUTE FUNCTION finance.guard_purchase();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.purchases
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Webhooks that were acted upon: providers send them again, for days.
CREATE TABLE finance.provider_events (
  provider text NOT NULL,
  event_id text NOT NULL CHECK (event_id <> ''),
  kind text NOT NULL,
  reference text,
  received_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (provider, event_id)
);
CREATE INDEX idx_provider_events_received_at ON finance.provider_events (received_at);

-- How later periods are charged: the provider's names, none where a desk takes the money. What is billed has its plan's name.
ALTER TABLE finance.subscriptions ADD COLUMN provider text, ADD COLUMN customer text, ADD COLUMN method text, ADD COLUMN plan_name text;

-- Refunds whose outcome is still open.
CREATE INDEX idx_refunds_open ON finance.refunds (created_at) WHERE status IN ('pending', 'unknown');

GRANT SELECT, INSERT, UPDATE ON finance.purchases TO nexfit_app;
GRANT SELECT, INSERT, DELETE ON finance.provider_events TO nexfit_app;

-- Money that moved. Amounts are positive; the type says which way they went. A payment is booked on the facility's local day of created_at.

-- Which business issues a facility's documents, and the one currency the facility trades in: every table with money refers to all
-- three columns, so no row can mix currencies or issuers. Today a facility is its own business (business_id = facility_id).
CREATE TABLE finance.facility_accounts (
  facility_id varchar(24) PRIMARY KEY CHECK (platform.is_object_id(facility_id)),
  business_id varchar(24) NOT NULL CHECK (platform.is_object_id(business_id)),
  currency varchar(3) NOT NULL CHECK (finance.currency_exponent(currency) IS NOT NULL),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT facility_accounts_issuer_key UNIQUE (facility_id, business_id, currency)
);

-- One row per transaction, never partitioned: it makes transaction_id, the provider's reference and the idempotency key unique
-- over all months, and is what invoices and refunds refer to. Written by the triggers below only. docs/decisions/0002-transactions-key.md
CREATE TABLE finance.transaction_keys (
  transaction_id uuid PRIMARY KEY,
  created_at timestamptz NOT NULL,
  business_id varchar(24) NOT NULL,
  provider text,
  provider_reference text,
  idempotency_key text
);
CREATE UNIQUE INDEX transaction_keys_provider_reference_key
  ON finance.transaction_keys (provider, provider_reference) WHERE provider_reference IS NOT NULL;
CREATE UNIQUE INDEX transaction_keys_idempotency_key
  ON finance.transaction_keys (business_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

CREATE TABLE finance.transactions (
  transaction_id uuid NOT NULL DEFAULT uuidv7(),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  amount numeric NOT NULL CHECK (amount > 0),
  currency varchar(3) NOT NULL,
  payment_method text NOT NULL
    CHECK (payment_method IN ('card', 'cash', 'bank_transfer', 'direct_debit', 'wallet', 'other')),
  transaction_type text NOT NULL
    CHECK (transaction_type IN ('charge', 'manual_payment', 'refund', 'chargeback')),
  status text NOT NULL
    CHECK (status IN ('pending', 'unknown', 'succeeded', 'failed', 'cancelled')),
  -- What a refund or a chargeback gives back. Deferred, because one bulk load may bring both.
  original_transaction_id uuid
    REFERENCES finance.transaction_keys ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED,
  provider text,
  provider_reference text,
  idempotency_key text CHECK (idempotency_key <> ''),
  description text,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (transaction_id, created_at),
  CONSTRAINT transactions_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT transactions_amount_scale CHECK (finance.fits_currency(amount, currency)),
  CONSTRAINT transactions_original CHECK ((transaction_type IN ('refund', 'chargeback')) = (original_transaction_id IS NOT NULL)),
  CONSTRAINT transactions_provider CHECK (provider_reference IS NULL OR provider IS NOT NULL)
) PARTITION BY RANGE (created_at);

-- A facility's page, and revenue by period: that reads every row of the period, so it is answered from the index alone.
CREATE INDEX idx_transactions_created_at ON finance.transactions (facility_id, created_at DESC, transaction_id DESC)
  INCLUDE (amount, transaction_type, status);
-- A member's page.
CREATE INDEX idx_transactions_user_id ON finance.transactions (user_id, created_at DESC, transaction_id DESC);
-- The few that still have to be settled.
CREATE INDEX idx_transactions_status ON finance.transactions (status, created_at) WHERE status IN ('pending', 'unknown');

-- Append-only for money: an amount never changes, a settled outcome never changes, nothing is deleted.
CREATE FUNCTION finance.guard_transaction() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'transaction % cannot be deleted', OLD.transaction_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'transactions_append_only';
  END IF;
  IF (NEW.transaction_id, NEW.business_id, NEW.facility_id, NEW.user_id, NEW.amount, NEW.currency, NEW.transaction_type, NEW.created_at)
     IS DISTINCT FROM
     (OLD.transaction_id, OLD.business_id, OLD.facility_id, OLD.user_id, OLD.amount, OLD.currency, OLD.transaction_type, OLD.created_at)
     OR NEW.original_transaction_id IS DISTINCT FROM OLD.original_transaction_id
     OR NEW.idempotency_key IS DISTINCT FROM OLD.idempotency_key THEN
    RAISE EXCEPTION 'transaction % cannot change: only its outcome is still open', OLD.transaction_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'transactions_append_only';
  END IF;
  IF (NEW.status, NEW.payment_method, NEW.provider, NEW.provider_reference)
     IS DISTINCT FROM (OLD.status, OLD.payment_method, OLD.provider, OLD.provider_reference) THEN
    IF OLD.status NOT IN ('pending', 'unknown') OR (OLD.status = 'unknown' AND NEW.status = 'pending') THEN
      RAISE EXCEPTION 'transaction % is %: it cannot become %', OLD.transaction_id, OLD.status, NEW.status
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'transactions_settled';
    END IF;
    IF OLD.provider_reference IS NOT NULL
       AND (NEW.provider, NEW.provider_reference) IS DISTINCT FROM (OLD.provider, OLD.provider_reference) THEN
      RAISE EXCEPTION 'transaction % keeps the provider reference it has', OLD.transaction_id
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'transactions_append_only';
    END IF;
  END IF;
  NEW.updated_at := now();
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON finance.transactions
  FOR EACH ROW EXECUTE FUNCTION finance.guard_transaction();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.transactions
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Statement triggers see all rows of an INSERT or COPY at once, so a bulk load pays for one set operation, not one call per row.
-- SECURITY DEFINER: the application may write transactions but not the key table itself.
CREATE FUNCTION finance.keep_transaction_keys() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO finance.transaction_keys (transaction_id, created_at, business_id, provider, provider_reference, idempotency_key)
      SELECT transaction_id, created_at, business_id, provider, provider_reference, idempotency_key FROM new_rows;
  ELSE
    -- Only a provider's reference can arrive later: everything else of the key is fixed at insert.
    UPDATE finance.transaction_keys k SET provider = n.provider, provider_reference = n.provider_reference
      FROM new_rows n
      WHERE k.transaction_id = n.transaction_id
        AND (k.provider, k.provider_reference) IS DISTINCT FROM (n.provider, n.provider_reference);
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_keys_on_insert AFTER INSERT ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.keep_transaction_keys();
CREATE TRIGGER keep_keys_on_update AFTER UPDATE ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.keep_transaction_keys();

-- Later months are made ahead of time by nexfit.operations.partitions. The default catches what nobody foresaw, and must stay empty.
CREATE TABLE finance.transactions_default PARTITION OF finance.transactions DEFAULT;
CREATE TRIGGER refuse_direct_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON finance.transactions_default
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_direct_write();
DO $$
DECLARE month date;
BEGIN
  FOR month IN SELECT generate_series('2024-01-01'::timestamp, '2028-12-01', '1 month') LOOP
    PERFORM platform.ensure_partition('finance.transactions', 'month', month);
  END LOOP;
END $$;

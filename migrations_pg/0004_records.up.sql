-- What is derived from money or kept beside it: daily figures, the audit log, the outbox, idempotency keys and package credits.

-- Derived: rebuilt from the ledger and the facility's events at any time. business_id is the facility's id.
CREATE TABLE finance.analytics_daily (
  business_id varchar(24) NOT NULL CHECK (platform.is_object_id(business_id)),
  date date NOT NULL,
  new_members integer NOT NULL DEFAULT 0 CHECK (new_members >= 0),
  active_members integer NOT NULL DEFAULT 0 CHECK (active_members >= 0),
  -- Net of refunds, which count on their own day: the total of a day may be negative.
  total_revenue numeric NOT NULL DEFAULT 0,
  currency varchar(3) NOT NULL,
  class_attendance integer NOT NULL DEFAULT 0 CHECK (class_attendance >= 0),
  subscription_renewals integer NOT NULL DEFAULT 0 CHECK (subscription_renewals >= 0),
  subscription_cancellations integer NOT NULL DEFAULT 0 CHECK (subscription_cancellations >= 0),
  metrics jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metrics) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (business_id, date),
  CONSTRAINT analytics_daily_revenue_scale CHECK (finance.fits_currency(total_revenue, currency))
) PARTITION BY RANGE (date);
CREATE TRIGGER touch BEFORE UPDATE ON finance.analytics_daily FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();

-- Who did what. Append-only; states carry no secrets (the writer strips them).
CREATE TABLE finance.audit_logs (
  audit_id bigint GENERATED ALWAYS AS IDENTITY,
  facility_id varchar(24) CHECK (platform.is_object_id(facility_id)),
  entity_type varchar(50) NOT NULL CHECK (entity_type <> ''),
  entity_id varchar(36) NOT NULL CHECK (entity_id <> ''),
  user_id varchar(24) CHECK (platform.is_object_id(user_id)),
  action varchar(50) NOT NULL CHECK (action <> ''),
  previous_state jsonb,
  new_state jsonb,
  ip_address inet,
  user_agent text,
  -- The hash chain, filled once by the sealing job in the order of audit_id. Not at insert: writers would have to wait for each
  -- other's commit to know the hash before theirs.
  previous_hash bytea CHECK (length(previous_hash) = 32),
  entry_hash bytea CHECK (length(entry_hash) = 32),
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (audit_id, created_at),
  CONSTRAINT audit_logs_sealed CHECK (entry_hash IS NOT NULL OR previous_hash IS NULL)
) PARTITION BY RANGE (created_at);
CREATE INDEX idx_audit_logs_entity ON finance.audit_logs (entity_type, entity_id, created_at DESC, audit_id DESC);
CREATE INDEX idx_audit_logs_user_id ON finance.audit_logs (user_id, created_at DESC, audit_id DESC);
CREATE INDEX idx_audit_logs_created_at ON finance.audit_logs (facility_id, created_at DESC, audit_id DESC);
CREATE INDEX idx_audit_logs_unsealed ON finance.audit_logs (audit_id) WHERE entry_hash IS NULL;

CREATE FUNCTION finance.guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.entry_hash IS NULL AND NEW.entry_hash IS NOT NULL THEN
    -- Sealing fills the two hashes and nothing else.
    OLD.previous_hash := NEW.previous_hash;
    OLD.entry_hash := NEW.entry_hash;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit entries are append-only: % refused', TG_OP
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_logs_append_only';
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON finance.audit_logs
  FOR EACH ROW EXECUTE FUNCTION finance.guard_audit_log();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.audit_logs
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Facts to publish, committed with the change they tell of. A writer holds its aggregate's row lock, so the positions of one
-- aggregate rise in commit order; between aggregates there is no order.
CREATE TABLE finance.outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  event_id uuid NOT NULL DEFAULT uuidv7() UNIQUE,
  aggregate_type text NOT NULL CHECK (aggregate_type <> ''),
  aggregate_id text NOT NULL CHECK (aggregate_id <> ''),
  event_type text NOT NULL CHECK (event_type <> ''),
  facility_id varchar(24) CHECK (platform.is_object_id(facility_id)),
  payload jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(payload) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  published_at timestamptz
);
-- What the relay still has to send, in order; the sent rows cost the index nothing.
CREATE INDEX idx_outbox_unpublished ON finance.outbox (position) WHERE published_at IS NULL;

-- The first outcome of a request that moves money, replayed for the same key.
CREATE TABLE finance.idempotency_keys (
  actor_id varchar(24) NOT NULL CHECK (platform.is_object_id(actor_id)),
  operation text NOT NULL CHECK (operation <> ''),
  idempotency_key text NOT NULL CHECK (length(idempotency_key) BETWEEN 1 AND 255),
  -- SHA-256 of the input: the same key with another input is a conflict.
  request_hash bytea NOT NULL CHECK (length(request_hash) = 32),
  -- NULL while the first request is still running.
  outcome jsonb,
  created_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL DEFAULT now() + interval '48 hours',
  PRIMARY KEY (actor_id, operation, idempotency_key),
  CONSTRAINT idempotency_keys_kept CHECK (expires_at >= created_at + interval '24 hours')
);
CREATE INDEX idx_idempotency_keys_expires_at ON finance.idempotency_keys (expires_at);

-- Package credits. The balance is derived from the ledger by its trigger in the same statement; its checks are what refuses the
-- 51st of 50 parallel requests for the last credit.
CREATE TABLE finance.package_balances (
  package_id varchar(24) PRIMARY KEY CHECK (platform.is_object_id(package_id)),
  total integer NOT NULL DEFAULT 0 CHECK (total >= 0),
  reserved integer NOT NULL DEFAULT 0 CHECK (reserved >= 0),
  used integer NOT NULL DEFAULT 0 CHECK (used >= 0),
  expired integer NOT NULL DEFAULT 0 CHECK (expired >= 0),
  refunded integer NOT NULL DEFAULT 0 CHECK (refunded >= 0),
  remaining integer NOT NULL GENERATED ALWAYS AS (total - reserved - used - expired - refunded) STORED,
  CONSTRAINT package_balances_remaining CHECK (remaining >= 0)
);

CREATE TABLE finance.package_credit_ledger (
  entry_id uuid PRIMARY KEY DEFAULT uuidv7(),
  package_id varchar(24) NOT NULL CHECK (platform.is_object_id(package_id)),
  coach_id varchar(24) NOT NULL CHECK (platform.is_object_id(coach_id)),
  client_id varchar(24) NOT NULL CHECK (platform.is_object_id(client_id)),
  entry_type text NOT NULL CHECK (entry_type IN ('grant', 'reserve', 'consume', 'release', 'expire', 'refund')),
  credits integer NOT NULL CHECK (credits > 0),
  session_id varchar(24) CHECK (platform.is_object_id(session_id)),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT package_credit_ledger_session CHECK ((entry_type IN ('reserve', 'consume', 'release')) = (session_id IS NOT NULL))
);
CREATE INDEX idx_package_credit_ledger_package_id ON finance.package_credit_ledger (package_id, created_at, entry_id);
-- A session reserves once, and its reservation ends once: completing twice consumes once.
CREATE UNIQUE INDEX package_credit_ledger_reserve_key ON finance.package_credit_ledger (session_id) WHERE entry_type = 'reserve';
CREATE UNIQUE INDEX package_credit_ledger_settle_key ON finance.package_credit_ledger (session_id)
  WHERE entry_type IN ('consume', 'release');

CREATE FUNCTION finance.keep_package_balance() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO finance.package_balances (package_id)
    SELECT DISTINCT package_id FROM new_rows ORDER BY package_id
    ON CONFLICT (package_id) DO UPDATE SET total = package_balances.total WHERE false;
  UPDATE finance.package_balances b SET
      total = b.total + d.granted, reserved = b.reserved + d.reserved - d.consumed - d.released,
      used = b.used + d.consumed, expired = b.expired + d.expired, refunded = b.refunded + d.refunded
    FROM (SELECT package_id,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'grant'), 0) AS granted,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'reserve'), 0) AS reserved,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'consume'), 0) AS consumed,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'release'), 0) AS released,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'expire'), 0) AS expired,
            coalesce(sum(credits) FILTER (WHERE entry_type = 'refund'), 0) AS refunded
          FROM new_rows GROUP BY package_id) d
    WHERE b.package_id = d.package_id;
  RETURN NULL;
END $$;
CREATE TRIGGER keep_balance AFTER INSERT ON finance.package_credit_ledger
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.keep_package_balance();
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finance.package_credit_ledger
  FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.package_credit_ledger
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Partitions, as in 0002.
CREATE TABLE finance.analytics_daily_default PARTITION OF finance.analytics_daily DEFAULT;
CREATE TABLE finance.audit_logs_default PARTITION OF finance.audit_logs DEFAULT;
DO $$
DECLARE starts date;
BEGIN
  FOR starts IN SELECT generate_series('2024-01-01'::timestamp, '2028-01-01', '1 year') LOOP
    PERFORM platform.ensure_partition('finance.analytics_daily', 'year', starts);
  END LOOP;
  FOR starts IN SELECT generate_series('2024-01-01'::timestamp, '2028-12-01', '1 month') LOOP
    PERFORM platform.ensure_partition('finance.audit_logs', 'month', starts);
  END LOOP;
END $$;
CREATE TRIGGER refuse_direct_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON finance.analytics_daily_default
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_direct_write();
CREATE TRIGGER refuse_direct_write BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON finance.audit_logs_default
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_direct_write();

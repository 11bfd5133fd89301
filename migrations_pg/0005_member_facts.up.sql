-- The read model that lets lists be filtered, sorted and paged across both stores, and the attributes no column exists for yet.

CREATE TABLE platform.entity_attributes (
  entity_type varchar(50) NOT NULL CHECK (entity_type <> ''),
  -- A UUID or an ObjectId: entities of both stores.
  entity_id varchar(36) NOT NULL CHECK (entity_id <> ''),
  attribute_name varchar(100) NOT NULL CHECK (attribute_name <> ''),
  attribute_value jsonb NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (entity_type, entity_id, attribute_name)
);
-- Entities that have an attribute with a given value, also inside objects and arrays.
CREATE INDEX idx_entity_attributes_value ON platform.entity_attributes
  USING gin (entity_type, attribute_name, attribute_value jsonb_path_ops);
CREATE TRIGGER touch BEFORE UPDATE ON platform.entity_attributes FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();

-- One row per member and facility. The first group is projected from MongoDB; the second is written by this file's triggers only, in
-- the transaction that moves the money.
CREATE TABLE platform.member_facts (
  facility_id varchar(24) NOT NULL CHECK (platform.is_object_id(facility_id)),
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  -- "first last" folded by the application (Turkish-aware). Names themselves stay in MongoDB. Collation C: the same order on every server.
  name_folded text COLLATE "C" NOT NULL DEFAULT '',
  -- none: someone who paid here but has no membership (or whose projection is still to come).
  status text NOT NULL DEFAULT 'none' CHECK (status IN
    ('none', 'incomplete', 'incomplete_expired', 'active', 'past_due', 'suspended', 'frozen', 'cancelled', 'expired')),
  plan_id varchar(24) CHECK (platform.is_object_id(plan_id)),
  joined_at timestamptz,
  last_visit_at timestamptz,
  next_booking_at timestamptz,
  -- Month * 100 + day, for birthday lists; no year.
  birthday smallint CHECK (birthday BETWEEN 101 AND 1231 AND birthday % 100 BETWEEN 1 AND 31),

  -- What the member owes: the total of open invoices, in the facility's one currency (NULL until money was involved).
  balance numeric NOT NULL DEFAULT 0 CHECK (balance >= 0),
  currency varchar(3),
  open_invoices integer NOT NULL DEFAULT 0 CHECK (open_invoices >= 0),
  -- Overdue depends on the day that asks: oldest_open_due < the facility's local today.
  oldest_open_due date,
  last_payment_at timestamptz,

  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (facility_id, user_id),
  CONSTRAINT member_facts_debt CHECK ((open_invoices > 0) = (oldest_open_due IS NOT NULL) AND (open_invoices > 0 OR balance = 0))
);
-- One index per order of the members' list. Both columns descend, so that a keyset is one row comparison, and a backward scan serves ASC.
CREATE INDEX idx_member_facts_last_payment ON platform.member_facts (facility_id, last_payment_at DESC NULLS LAST, user_id DESC);
CREATE INDEX idx_member_facts_last_visit ON platform.member_facts (facility_id, last_visit_at DESC NULLS LAST, user_id DESC);
CREATE INDEX idx_member_facts_joined ON platform.member_facts (facility_id, joined_at DESC NULLS LAST, user_id DESC);
CREATE INDEX idx_member_facts_name ON platform.member_facts (facility_id, name_folded, user_id);
-- Debtors by last payment: the owner's overdue list.
CREATE INDEX idx_member_facts_debtors ON platform.member_facts
  (facility_id, last_payment_at DESC NULLS LAST, user_id DESC) INCLUDE (oldest_open_due) WHERE open_invoices > 0;
-- Part of a name, within one facility.
CREATE INDEX idx_member_facts_name_search ON platform.member_facts USING gin (facility_id, name_folded gin_trgm_ops);
-- A person's rows at all facilities: a changed name, an erased account.
CREATE INDEX idx_member_facts_user_id ON platform.member_facts (user_id);
CREATE TRIGGER touch BEFORE UPDATE ON platform.member_facts FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();

-- Invoices -> debt. First every touched member's row is made or locked, in key order (two statements over the same members wait,
-- never deadlock); only then is the debt summed, by a statement whose snapshot is younger than the lock. So of two writers for one
-- member the second sees what the first committed (READ COMMITTED), or fails with 40001 and is retried (REPEATABLE READ and up).
-- A prepared transaction keeps the lock until it is resolved, so an in-doubt invoice is waited for, never half counted.
CREATE FUNCTION finance.refresh_member_debt() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  facilities text[];
  users text[];
BEGIN
  IF TG_OP = 'INSERT' THEN
    SELECT array_agg(facility_id ORDER BY facility_id, user_id), array_agg(user_id ORDER BY facility_id, user_id) INTO facilities, users
      FROM (SELECT DISTINCT facility_id, user_id FROM new_rows WHERE status = 'open') t;
  ELSE
    SELECT array_agg(facility_id ORDER BY facility_id, user_id), array_agg(user_id ORDER BY facility_id, user_id) INTO facilities, users
      FROM (SELECT DISTINCT n.facility_id, n.user_id FROM new_rows n JOIN old_rows o USING (invoice_id)
            WHERE (n.status = 'open') <> (o.status = 'open')) t;
  END IF;
  IF facilities IS NULL THEN
    RETURN NULL;
  END IF;
  INSERT INTO platform.member_facts AS f (facility_id, user_id, currency)
    SELECT t.facility_id, t.user_id, a.currency
      FROM unnest(facilities, users) WITH ORDINALITY AS t (facility_id, user_id, n)
      JOIN finance.facility_accounts a ON a.facility_id = t.facility_id
      ORDER BY t.n
    -- Locks the row that is there and leaves no dead version behind.
    ON CONFLICT (facility_id, user_id) DO UPDATE SET currency = f.currency WHERE false;
  UPDATE platform.member_facts f SET balance = d.balance, open_invoices = d.open_invoices, oldest_open_due = d.oldest_open_due,
      currency = coalesce(f.currency, d.currency)
    FROM unnest(facilities, users) AS t (facility_id, user_id)
      CROSS JOIN LATERAL (
        SELECT coalesce(sum(i.total_amount), 0) AS balance, count(*) AS open_invoices, min(i.due_date) AS oldest_open_due,
               max(i.currency) AS currency
          FROM finance.invoices i WHERE i.facility_id = t.facility_id AND i.user_id = t.user_id AND i.status = 'open') d
    WHERE f.facility_id = t.facility_id AND f.user_id = t.user_id;
  RETURN NULL;
END $$;
CREATE TRIGGER refresh_debt_on_insert AFTER INSERT ON finance.invoices
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.refresh_member_debt();
CREATE TRIGGER refresh_debt_on_update AFTER UPDATE ON finance.invoices
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.refresh_member_debt();

-- Transactions -> last payment. A payment that succeeded never stops being one (finance.guard_transaction), so the latest only moves
-- forwards: the greater of what is stored and what arrives is right in whatever order writers commit, without reading the ledger.
CREATE FUNCTION finance.refresh_last_payment() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO platform.member_facts AS f (facility_id, user_id, currency, last_payment_at)
    SELECT facility_id, user_id, max(currency), max(created_at) FROM new_rows
      WHERE status = 'succeeded' AND transaction_type IN ('charge', 'manual_payment')
      GROUP BY facility_id, user_id ORDER BY facility_id, user_id
    ON CONFLICT (facility_id, user_id) DO UPDATE SET
      last_payment_at = excluded.last_payment_at, currency = coalesce(f.currency, excluded.currency)
      WHERE f.last_payment_at IS NULL OR f.last_payment_at < excluded.last_payment_at;
  RETURN NULL;
END $$;
CREATE TRIGGER refresh_last_payment_on_insert AFTER INSERT ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.refresh_last_payment();
CREATE TRIGGER refresh_last_payment_on_update AFTER UPDATE ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.refresh_last_payment();

-- What members are sold, what they are billed, and what is given back. Every reference restricts: accounting rows outlive people.

CREATE TABLE finance.subscriptions (
  subscription_id uuid PRIMARY KEY DEFAULT uuidv7(),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  plan_id varchar(24) NOT NULL CHECK (platform.is_object_id(plan_id)),
  status text NOT NULL CHECK (status IN
    ('incomplete', 'incomplete_expired', 'active', 'past_due', 'suspended', 'frozen', 'cancelled', 'expired')),
  start_date date NOT NULL,
  end_date date,
  -- The period last billed, in the facility's local days; the end is the first day no longer covered.
  current_period_start date NOT NULL,
  current_period_end date NOT NULL,
  billing_cycle text NOT NULL CHECK (billing_cycle IN ('once', 'day', 'week', 'month', 'year')),
  billing_interval smallint NOT NULL DEFAULT 1 CHECK (billing_interval BETWEEN 1 AND 366),
  billing_day smallint CHECK (billing_day BETWEEN 1 AND 31),
  -- Price, currency and tax rate are frozen when the purchase begins; the amount includes the tax.
  amount numeric NOT NULL CHECK (amount >= 0),
  currency varchar(3) NOT NULL,
  tax_rate numeric NOT NULL DEFAULT 0 CHECK (tax_rate >= 0 AND tax_rate < 1),
  payment_method text NOT NULL
    CHECK (payment_method IN ('card', 'cash', 'bank_transfer', 'direct_debit', 'wallet', 'other')),
  auto_renew boolean NOT NULL DEFAULT true,
  cancel_at_period_end boolean NOT NULL DEFAULT false,
  cancelled_at timestamptz,
  metadata jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT subscriptions_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT subscriptions_amount_scale CHECK (finance.fits_currency(amount, currency)),
  CONSTRAINT subscriptions_dates CHECK (end_date IS NULL OR end_date >= start_date),
  CONSTRAINT subscriptions_period CHECK (current_period_start >= start_date AND current_period_end > current_period_start)
);
-- One live subscription per member, facility and plan.
CREATE UNIQUE INDEX subscriptions_live_key ON finance.subscriptions (facility_id, user_id, plan_id)
  WHERE status IN ('incomplete', 'active', 'past_due', 'suspended', 'frozen');
CREATE INDEX idx_subscriptions_user_id ON finance.subscriptions (user_id, created_at DESC, subscription_id DESC);
CREATE INDEX idx_subscriptions_facility_id ON finance.subscriptions (facility_id, created_at DESC, subscription_id DESC);
-- Subscribers of a plan who have access now (the grace of past_due keeps it).
CREATE INDEX idx_subscriptions_status ON finance.subscriptions (plan_id) WHERE status IN ('active', 'past_due');
-- What the renewal and expiry jobs have to look at.
CREATE INDEX idx_subscriptions_end_date ON finance.subscriptions (current_period_end)
  WHERE status IN ('active', 'past_due', 'frozen');
CREATE TRIGGER touch BEFORE UPDATE ON finance.subscriptions FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();

-- The last number given out per business, kind of document and year. The row's lock makes issuers of one series take turns; a
-- rollback gives the number back, so the series has no gap.
CREATE TABLE finance.document_counters (
  business_id varchar(24) NOT NULL,
  series text NOT NULL CHECK (series IN ('invoice', 'credit_note')),
  year integer NOT NULL,
  last_sequence integer NOT NULL CHECK (last_sequence >= 0),
  PRIMARY KEY (business_id, series, year)
);

-- The number to use for the next document. Holds the series until the transaction ends.
CREATE FUNCTION finance.next_document_sequence(business text, document_series text, document_year integer) RETURNS integer
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE next_sequence integer;
BEGIN
  -- The update that changes nothing takes the row's lock, whether the row is new or old.
  INSERT INTO finance.document_counters AS c (business_id, series, year, last_sequence)
    VALUES (business, document_series, document_year, 0)
    ON CONFLICT (business_id, series, year) DO UPDATE SET last_sequence = c.last_sequence
    RETURNING c.last_sequence + 1 INTO next_sequence;
  RETURN next_sequence;
END $$;

CREATE TABLE finance.invoices (
  invoice_id uuid PRIMARY KEY DEFAULT uuidv7(),
  -- The payment that settled it.
  transaction_id uuid REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  subscription_id uuid REFERENCES finance.subscriptions ON DELETE RESTRICT,
  period_start date,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  net_amount numeric NOT NULL CHECK (net_amount >= 0),
  tax_amount numeric NOT NULL CHECK (tax_amount >= 0),
  total_amount numeric NOT NULL,
  currency varchar(3) NOT NULL,
  -- open = issued and not paid: what the member owes.
  status text NOT NULL CHECK (status IN ('draft', 'open', 'paid', 'void', 'uncollectible')),
  -- Local days of the facility. The invoice may be paid on its due date; it is overdue from the day after.
  issued_on date,
  due_date date NOT NULL,
  payment_date date,
  invoice_sequence integer CHECK (invoice_sequence > 0),
  invoice_number varchar(20) GENERATED ALWAYS AS (
    (extract(year FROM issued_on)::integer)::text || '-' || lpad(invoice_sequence::text, greatest(6, length(invoice_sequence::text)), '0')
  ) STORED,
  -- What was printed: names and addresses as they were on the day of issue.
  invoice_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(invoice_data) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT invoices_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT invoices_total CHECK (total_amount = net_amount + tax_amount),
  CONSTRAINT invoices_amount_scale CHECK (finance.fits_currency(net_amount, currency) AND finance.fits_currency(tax_amount, currency)),
  CONSTRAINT invoices_issued CHECK ((status = 'draft') = (issued_on IS NULL) AND (status = 'draft') = (invoice_sequence IS NULL)),
  CONSTRAINT invoices_paid CHECK ((status = 'paid') = (payment_date IS NOT NULL)),
  CONSTRAINT invoices_due CHECK (due_date >= issued_on),
  CONSTRAINT invoices_period CHECK (period_start IS NULL OR subscription_id IS NOT NULL),
  CONSTRAINT invoices_number_key UNIQUE (business_id, invoice_number)
);
-- One invoice per period billed, however often the billing job runs.
CREATE UNIQUE INDEX invoices_period_key ON finance.invoices (subscription_id, period_start) WHERE status <> 'void';
CREATE INDEX idx_invoices_transaction_id ON finance.invoices (transaction_id) WHERE transaction_id IS NOT NULL;
CREATE INDEX idx_invoices_user_id ON finance.invoices (user_id, created_at DESC, invoice_id DESC);
CREATE INDEX idx_invoices_business_id ON finance.invoices (facility_id, created_at DESC, invoice_id DESC);
-- A member's debt, and a facility's outstanding total, from the index alone.
CREATE INDEX idx_invoices_status ON finance.invoices (facility_id, user_id) INCLUDE (due_date, total_amount, currency)
  WHERE status = 'open';
-- What is due, oldest first: dunning, and the list of a facility's overdue invoices.
CREATE INDEX idx_invoices_due_date ON finance.invoices (facility_id, due_date, invoice_id) WHERE status = 'open';

-- An issued invoice is a document: only what happens to its payment is still open, and only forwards.
CREATE FUNCTION finance.guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.status = 'draft' THEN
      RETURN OLD;
    END IF;
    RAISE EXCEPTION 'invoice % is issued and cannot be deleted', OLD.invoice_number
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_immutable';
  END IF;
  NEW.updated_at := now();
  IF OLD.status = 'draft' THEN
    IF NEW.status NOT IN ('draft', 'open') THEN
      RAISE EXCEPTION 'invoice % is a draft: it can only be issued, not become %', OLD.invoice_id, NEW.status
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_transition';
    END IF;
    RETURN NEW;
  END IF;
  IF (NEW.invoice_id, NEW.user_id, NEW.business_id, NEW.facility_id, NEW.net_amount, NEW.tax_amount, NEW.currency,
      NEW.issued_on, NEW.due_date, NEW.invoice_sequence, NEW.invoice_data, NEW.created_at, NEW.subscription_id, NEW.period_start)
     IS DISTINCT FROM
     (OLD.invoice_id, OLD.user_id, OLD.business_id, OLD.facility_id, OLD.net_amount, OLD.tax_amount, OLD.currency,
      OLD.issued_on, OLD.due_date, OLD.invoice_sequence, OLD.invoice_data, OLD.created_at, OLD.subscription_id, OLD.period_start) THEN
    RAISE EXCEPTION 'invoice % is issued and cannot change', OLD.invoice_number
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_immutable';
  END IF;
  IF NEW.status <> OLD.status AND NOT (
    (OLD.status = 'open' AND NEW.status IN ('paid', 'void', 'uncollectible'))
    OR (OLD.status = 'uncollectible' AND NEW.status IN ('paid', 'void'))) THEN
    RAISE EXCEPTION 'invoice % is %: it cannot become %', OLD.invoice_number, OLD.status, NEW.status
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_transition';
  END IF;
  IF (NEW.transaction_id, NEW.payment_date) IS DISTINCT FROM (OLD.transaction_id, OLD.payment_date)
     AND (OLD.status = NEW.status OR NEW.status <> 'paid') THEN
    RAISE EXCEPTION 'invoice % gets its payment when it becomes paid', OLD.invoice_number
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_immutable';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON finance.invoices
  FOR EACH ROW EXECUTE FUNCTION finance.guard_invoice();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.invoices
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- The documents a statement issued must continue their series: first = last given + 1, and no number left out.
CREATE FUNCTION finance.advance_counter(document_series text, business text, document_year integer, first integer, last integer, documents bigint)
  RETURNS void LANGUAGE plpgsql AS $$
DECLARE expected integer := finance.next_document_sequence(business, document_series, document_year);
BEGIN
  IF first <> expected OR last - first + 1 <> documents THEN
    RAISE EXCEPTION '% numbers of % in % must continue at %, without a gap: got % to % for % documents',
      document_series, business, document_year, expected, first, last, documents
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'document_series_gapless';
  END IF;
  UPDATE finance.document_counters SET last_sequence = last
    WHERE business_id = business AND series = document_series AND year = document_year;
END $$;

CREATE FUNCTION finance.number_invoices() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE issued record;
BEGIN
  -- In the order of the key, so that two bulk loads over the same businesses wait instead of deadlocking.
  IF TG_OP = 'INSERT' THEN
    FOR issued IN
      SELECT business_id, extract(year FROM issued_on)::integer AS year, min(invoice_sequence) AS first, max(invoice_sequence) AS last, count(*) AS documents
      FROM new_rows WHERE status <> 'draft' GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
      PERFORM finance.advance_counter('invoice', issued.business_id, issued.year, issued.first, issued.last, issued.documents);
    END LOOP;
  ELSE
    FOR issued IN
      SELECT n.business_id, extract(year FROM n.issued_on)::integer AS year, min(n.invoice_sequence) AS first, max(n.invoice_sequence) AS last, count(*) AS documents
      FROM new_rows n JOIN old_rows o USING (invoice_id) WHERE o.status = 'draft' AND n.status <> 'draft' GROUP BY 1, 2 ORDER BY 1, 2
    LOOP
      PERFORM finance.advance_counter('invoice', issued.business_id, issued.year, issued.first, issued.last, issued.documents);
    END LOOP;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER number_on_insert AFTER INSERT ON finance.invoices
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.number_invoices();
CREATE TRIGGER number_on_update AFTER UPDATE ON finance.invoices
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.number_invoices();

CREATE TABLE finance.invoice_lines (
  invoice_id uuid NOT NULL REFERENCES finance.invoices ON DELETE RESTRICT,
  line_no smallint NOT NULL CHECK (line_no > 0),
  description text NOT NULL CHECK (description <> ''),
  quantity numeric NOT NULL CHECK (quantity > 0),
  tax_rate numeric NOT NULL CHECK (tax_rate >= 0 AND tax_rate < 1),
  net_amount numeric NOT NULL CHECK (net_amount >= 0),
  tax_amount numeric NOT NULL CHECK (tax_amount >= 0),
  total_amount numeric NOT NULL,
  PRIMARY KEY (invoice_id, line_no),
  CONSTRAINT invoice_lines_total CHECK (total_amount = net_amount + tax_amount)
);

-- Lines of a draft come and go; the statement that adds lines to an issued invoice must bring exactly its totals, and then they stay.
CREATE FUNCTION finance.check_invoice_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong text;
BEGIN
  SELECT i.invoice_number INTO wrong
    FROM (SELECT DISTINCT invoice_id FROM new_rows) touched
    JOIN finance.invoices i USING (invoice_id)
    CROSS JOIN LATERAL (SELECT sum(l.net_amount) AS net, sum(l.tax_amount) AS tax FROM finance.invoice_lines l WHERE l.invoice_id = i.invoice_id) s
    WHERE i.status <> 'draft' AND (s.net, s.tax) IS DISTINCT FROM (i.net_amount, i.tax_amount)
    LIMIT 1;
  IF FOUND THEN
    RAISE EXCEPTION 'the lines of issued invoice % do not add up to its net and tax amounts', wrong
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_lines_sum';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_sum AFTER INSERT ON finance.invoice_lines
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.check_invoice_lines();

CREATE FUNCTION finance.guard_invoice_line() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF EXISTS (SELECT FROM finance.invoices WHERE invoice_id = OLD.invoice_id AND status <> 'draft')
     OR (TG_OP = 'UPDATE' AND NEW.invoice_id <> OLD.invoice_id) THEN
    RAISE EXCEPTION 'the lines of an issued invoice cannot change'
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_immutable';
  END IF;
  RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON finance.invoice_lines
  FOR EACH ROW EXECUTE FUNCTION finance.guard_invoice_line();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.invoice_lines
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Issuing a draft checks its lines, if it has any.
CREATE FUNCTION finance.check_issued_lines() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE sums record;
BEGIN
  SELECT sum(net_amount) AS net, sum(tax_amount) AS tax, count(*) AS lines INTO sums
    FROM finance.invoice_lines WHERE invoice_id = NEW.invoice_id;
  IF sums.lines > 0 AND (sums.net, sums.tax) IS DISTINCT FROM (NEW.net_amount, NEW.tax_amount) THEN
    RAISE EXCEPTION 'the lines of invoice % do not add up to its net and tax amounts', NEW.invoice_number
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'invoice_lines_sum';
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER check_lines AFTER UPDATE OF status ON finance.invoices
  FOR EACH ROW WHEN (OLD.status = 'draft' AND NEW.status <> 'draft') EXECUTE FUNCTION finance.check_issued_lines();

-- Money to be given back. The refund's own movement is a transaction of type refund; this row is its request and outcome.
CREATE TABLE finance.refunds (
  refund_id uuid PRIMARY KEY DEFAULT uuidv7(),
  original_transaction_id uuid NOT NULL REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  refund_transaction_id uuid UNIQUE REFERENCES finance.transaction_keys ON DELETE RESTRICT,
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  amount numeric NOT NULL CHECK (amount > 0),
  currency varchar(3) NOT NULL,
  status text NOT NULL CHECK (status IN ('pending', 'unknown', 'succeeded', 'failed')),
  reason text,
  requested_by varchar(24) CHECK (platform.is_object_id(requested_by)),
  created_at timestamptz NOT NULL DEFAULT now(),
  updated_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT refunds_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT refunds_amount_scale CHECK (finance.fits_currency(amount, currency)),
  CONSTRAINT refunds_movement CHECK ((status = 'succeeded') <= (refund_transaction_id IS NOT NULL))
);
CREATE INDEX idx_refunds_original_transaction_id ON finance.refunds (original_transaction_id);

-- Sum(pending + unknown + succeeded) never exceeds what was captured. The key's row lock makes parallel refunds take turns.
CREATE FUNCTION finance.guard_refund() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  key record;
  captured record;
  claimed numeric;
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'refund % cannot be deleted', OLD.refund_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'refunds_append_only';
  END IF;
  IF TG_OP = 'UPDATE' THEN
    NEW.updated_at := now();
    IF (NEW.refund_id, NEW.original_transaction_id, NEW.business_id, NEW.facility_id, NEW.user_id, NEW.amount, NEW.currency, NEW.created_at)
       IS DISTINCT FROM
       (OLD.refund_id, OLD.original_transaction_id, OLD.business_id, OLD.facility_id, OLD.user_id, OLD.amount, OLD.currency, OLD.created_at)
       OR (OLD.refund_transaction_id IS NOT NULL AND NEW.refund_transaction_id IS DISTINCT FROM OLD.refund_transaction_id)
       OR (NEW.status <> OLD.status AND (OLD.status NOT IN ('pending', 'unknown') OR NEW.status = 'pending')) THEN
      RAISE EXCEPTION 'refund % is %: only an open outcome can change', OLD.refund_id, OLD.status
        USING ERRCODE = 'restrict_violation', CONSTRAINT = 'refunds_append_only';
    END IF;
    RETURN NEW;
  END IF;
  SELECT created_at INTO key FROM finance.transaction_keys WHERE transaction_id = NEW.original_transaction_id FOR NO KEY UPDATE;
  SELECT amount, currency, facility_id, user_id INTO captured FROM finance.transactions
    WHERE transaction_id = NEW.original_transaction_id AND created_at = key.created_at
      AND status = 'succeeded' AND transaction_type IN ('charge', 'manual_payment');
  IF (captured.currency, captured.facility_id, captured.user_id) IS DISTINCT FROM (NEW.currency, NEW.facility_id, NEW.user_id) THEN
    RAISE EXCEPTION 'transaction % is not a captured payment of this member', NEW.original_transaction_id
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refunds_of_captured';
  END IF;
  SELECT coalesce(sum(amount), 0) INTO claimed FROM finance.refunds
    WHERE original_transaction_id = NEW.original_transaction_id AND status <> 'failed';
  IF NEW.status <> 'failed' AND claimed + NEW.amount > captured.amount THEN
    RAISE EXCEPTION 'refunding % would exceed the % captured: % is refunded or being refunded', NEW.amount, captured.amount, claimed
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'refunds_within_captured';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT OR UPDATE OR DELETE ON finance.refunds
  FOR EACH ROW EXECUTE FUNCTION finance.guard_refund();

-- An issued invoice never changes: what is taken back of it is a numbered document of its own.
CREATE TABLE finance.credit_notes (
  credit_note_id uuid PRIMARY KEY DEFAULT uuidv7(),
  invoice_id uuid NOT NULL REFERENCES finance.invoices ON DELETE RESTRICT,
  refund_id uuid UNIQUE REFERENCES finance.refunds ON DELETE RESTRICT,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  business_id varchar(24) NOT NULL,
  facility_id varchar(24) NOT NULL,
  net_amount numeric NOT NULL CHECK (net_amount >= 0),
  tax_amount numeric NOT NULL CHECK (tax_amount >= 0),
  total_amount numeric NOT NULL CHECK (total_amount > 0),
  currency varchar(3) NOT NULL,
  reason text,
  issued_on date NOT NULL,
  credit_note_sequence integer NOT NULL CHECK (credit_note_sequence > 0),
  credit_note_number varchar(20) NOT NULL GENERATED ALWAYS AS (
    'C' || (extract(year FROM issued_on)::integer)::text || '-'
    || lpad(credit_note_sequence::text, greatest(6, length(credit_note_sequence::text)), '0')
  ) STORED,
  credit_note_data jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(credit_note_data) = 'object'),
  created_at timestamptz NOT NULL DEFAULT now(),
  CONSTRAINT credit_notes_account_fkey FOREIGN KEY (facility_id, business_id, currency)
    REFERENCES finance.facility_accounts (facility_id, business_id, currency) ON UPDATE RESTRICT ON DELETE RESTRICT,
  CONSTRAINT credit_notes_total CHECK (total_amount = net_amount + tax_amount),
  CONSTRAINT credit_notes_amount_scale CHECK (finance.fits_currency(net_amount, currency) AND finance.fits_currency(tax_amount, currency)),
  CONSTRAINT credit_notes_number_key UNIQUE (business_id, credit_note_number)
);
CREATE INDEX idx_credit_notes_invoice_id ON finance.credit_notes (invoice_id);
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finance.credit_notes
  FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.credit_notes
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

-- Credit notes take back at most what the invoice asked for, net and tax each. An open invoice is voided first: what a member
-- owes is the total of the open ones, so a half-credited open invoice must not exist.
CREATE FUNCTION finance.guard_credit_note() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  invoice record;
  credited record;
BEGIN
  SELECT * INTO invoice FROM finance.invoices WHERE invoice_id = NEW.invoice_id FOR NO KEY UPDATE;
  IF invoice.status NOT IN ('paid', 'void')
     OR (invoice.business_id, invoice.facility_id, invoice.user_id) IS DISTINCT FROM (NEW.business_id, NEW.facility_id, NEW.user_id) THEN
    RAISE EXCEPTION 'a credit note belongs to a paid or void invoice of the same business, facility and member'
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'credit_notes_of_issued';
  END IF;
  SELECT coalesce(sum(net_amount), 0) + NEW.net_amount AS net, coalesce(sum(tax_amount), 0) + NEW.tax_amount AS tax INTO credited
    FROM finance.credit_notes WHERE invoice_id = NEW.invoice_id;
  IF credited.net > invoice.net_amount OR credited.tax > invoice.tax_amount THEN
    RAISE EXCEPTION 'credit notes of invoice % would exceed it', invoice.invoice_number
      USING ERRCODE = 'integrity_constraint_violation', CONSTRAINT = 'credit_notes_within_invoice';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER guard BEFORE INSERT ON finance.credit_notes
  FOR EACH ROW EXECUTE FUNCTION finance.guard_credit_note();

CREATE FUNCTION finance.number_credit_notes() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE issued record;
BEGIN
  FOR issued IN
    SELECT business_id, extract(year FROM issued_on)::integer AS year, min(credit_note_sequence) AS first, max(credit_note_sequence) AS last, count(*) AS documents
    FROM new_rows GROUP BY 1, 2 ORDER BY 1, 2
  LOOP
    PERFORM finance.advance_counter('credit_note', issued.business_id, issued.year, issued.first, issued.last, issued.documents);
  END LOOP;
  RETURN NULL;
END $$;
CREATE TRIGGER number_on_insert AFTER INSERT ON finance.credit_notes
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.number_credit_notes();

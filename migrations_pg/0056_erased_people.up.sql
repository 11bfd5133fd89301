-- An issued invoice or credit note never changes, but when its buyer is erased it loses the buyer's name, and the note its words.
CREATE FUNCTION finance.without_buyer(printed jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN CASE WHEN printed ? 'buyer' THEN printed || '{"buyer": {"name": "Erased person"}}' ELSE printed END;

-- As in 0003, but for the buyer.
CREATE OR REPLACE FUNCTION finance.guard_invoice() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    IF OLD.status = 'draft' THEN
      RETURN OLD;
    END IF;
    RAISE EXCEPTION 'invoice % is issued and cannot be deleted', OLD.invoice_number
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'invoices_issued_immutable';
  END IF;
  NEW.updated_at := now();
  IF NEW.invoice_data <> OLD.invoice_data AND NEW.invoice_data = finance.without_buyer(OLD.invoice_data) AND platform.is_erased(OLD.user_id) THEN
    OLD.invoice_data := NEW.invoice_data;
  END IF;
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

CREATE FUNCTION finance.guard_credit_note_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND platform.is_erased(OLD.user_id) AND NEW.reason IS NULL
     AND NEW.credit_note_data = finance.without_buyer(OLD.credit_note_data) THEN
    OLD.reason := NULL;
    OLD.credit_note_data := NEW.credit_note_data;
    OLD.credit_note_number := NEW.credit_note_number; -- generated, and not there yet
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION '% on %.% is refused: its rows are append-only', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', SCHEMA = TG_TABLE_SCHEMA, TABLE = TG_TABLE_NAME;
END $$;
DROP TRIGGER refuse_change ON finance.credit_notes;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finance.credit_notes
  FOR EACH ROW EXECUTE FUNCTION finance.guard_credit_note_change();

GRANT UPDATE (reason, credit_note_data) ON finance.credit_notes TO nexfit_app;
GRANT DELETE ON platform.notices TO nexfit_app;

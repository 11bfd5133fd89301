REVOKE UPDATE (reason, credit_note_data) ON finance.credit_notes FROM nexfit_app;
REVOKE DELETE ON platform.notices FROM nexfit_app;
DROP TRIGGER refuse_change ON finance.credit_notes;
CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON finance.credit_notes
  FOR EACH ROW EXECUTE FUNCTION platform.refuse_change();
DROP FUNCTION finance.guard_credit_note_change();
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
DROP FUNCTION finance.without_buyer(jsonb);

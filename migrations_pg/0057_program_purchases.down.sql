-- A program that was bought cannot be told as a plan.
DO $$
BEGIN
  IF EXISTS (SELECT FROM finance.purchases WHERE program_id IS NOT NULL) THEN
    PERFORM platform.refuse_data_loss('finance.purchases');
    ALTER TABLE finance.purchases DISABLE TRIGGER guard;
    DELETE FROM finance.purchases WHERE program_id IS NOT NULL;
    ALTER TABLE finance.purchases ENABLE TRIGGER guard;
  END IF;
END $$;
DROP INDEX finance.idx_purchases_author;
CREATE OR REPLACE FUNCTION finance.guard_purchase() RETURNS trigger LANGUAGE plpgsql AS $$
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
ALTER TABLE finance.purchases
  DROP CONSTRAINT purchases_one_thing,
  DROP CONSTRAINT purchases_active,
  ALTER COLUMN plan_id SET NOT NULL,
  ALTER COLUMN duration_value SET NOT NULL,
  ALTER COLUMN duration_unit SET NOT NULL,
  DROP COLUMN enrolment_id,
  DROP COLUMN author_id,
  DROP COLUMN program_id,
  ADD CONSTRAINT purchases_active CHECK ((status = 'active') = (subscription_id IS NOT NULL));

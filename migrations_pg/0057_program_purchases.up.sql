-- Programs are bought as memberships are: a purchase is of a plan or of a program, and gives a subscription or an enrolment.
ALTER TABLE finance.purchases
  ADD COLUMN program_id varchar(24) CHECK (platform.is_object_id(program_id)),
  -- Who made the program, and sees what it sold.
  ADD COLUMN author_id varchar(24) CHECK (platform.is_object_id(author_id)),
  ADD COLUMN enrolment_id varchar(24) CHECK (platform.is_object_id(enrolment_id)),
  ALTER COLUMN plan_id DROP NOT NULL,
  ALTER COLUMN duration_value DROP NOT NULL,
  ALTER COLUMN duration_unit DROP NOT NULL,
  DROP CONSTRAINT purchases_active,
  ADD CONSTRAINT purchases_active CHECK ((status = 'active') = (subscription_id IS NOT NULL OR enrolment_id IS NOT NULL)),
  ADD CONSTRAINT purchases_one_thing CHECK (
    (plan_id IS NULL) = (program_id IS NOT NULL) AND (plan_id IS NULL) = (duration_value IS NULL)
    AND (plan_id IS NULL) = (duration_unit IS NULL) AND (program_id IS NULL) = (author_id IS NULL)
    AND (plan_id IS NOT NULL OR NOT (renews OR auto_renew))
    AND (plan_id IS NOT NULL OR subscription_id IS NULL) AND (program_id IS NOT NULL OR enrolment_id IS NULL));

-- What an author's programs sold, the newest first.
CREATE INDEX idx_purchases_author ON finance.purchases (author_id, created_at DESC, purchase_id DESC) WHERE author_id IS NOT NULL;

CREATE OR REPLACE FUNCTION finance.guard_purchase() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'DELETE' THEN
    RAISE EXCEPTION 'purchase % cannot be deleted', OLD.purchase_id
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'purchases_append_only';
  END IF;
  IF (NEW.purchase_id, NEW.business_id, NEW.facility_id, NEW.user_id, NEW.plan_id, NEW.plan_name, NEW.duration_value, NEW.duration_unit,
      NEW.amount, NEW.currency, NEW.tax_rate, NEW.renews, NEW.auto_renew, NEW.provider, NEW.created_at, NEW.expires_at,
      NEW.program_id, NEW.author_id)
     IS DISTINCT FROM
     (OLD.purchase_id, OLD.business_id, OLD.facility_id, OLD.user_id, OLD.plan_id, OLD.plan_name, OLD.duration_value, OLD.duration_unit,
      OLD.amount, OLD.currency, OLD.tax_rate, OLD.renews, OLD.auto_renew, OLD.provider, OLD.created_at, OLD.expires_at,
      OLD.program_id, OLD.author_id)
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

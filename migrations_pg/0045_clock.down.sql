ALTER TABLE finance.purchases ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE finance.credit_notes ALTER COLUMN created_at SET DEFAULT now();
ALTER TABLE finance.refunds ALTER COLUMN created_at SET DEFAULT now(), ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE finance.invoices ALTER COLUMN created_at SET DEFAULT now(), ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE finance.subscriptions ALTER COLUMN created_at SET DEFAULT now(), ALTER COLUMN updated_at SET DEFAULT now();
ALTER TABLE finance.transactions ALTER COLUMN created_at SET DEFAULT now(), ALTER COLUMN updated_at SET DEFAULT now();
DROP TRIGGER stamp ON finance.purchases;
DROP TRIGGER stamp ON finance.refunds;
DROP TRIGGER stamp ON finance.invoices;
DROP TRIGGER stamp ON finance.transactions;
CREATE OR REPLACE FUNCTION platform.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := now();
  RETURN NEW;
END $$;
DROP FUNCTION platform.clock();

-- Rows of money are stamped by the service's clock: a transaction that names its instant (`nexfit.now`, set for that transaction only)
-- stamps with it, so that a year can be lived through in a minute. Without one it is the database's clock, as before.
CREATE FUNCTION platform.clock() RETURNS timestamptz LANGUAGE sql STABLE PARALLEL SAFE AS $$
  SELECT coalesce(nullif(current_setting('nexfit.now', true), '')::timestamptz, now())
$$;
CREATE OR REPLACE FUNCTION platform.touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.updated_at := platform.clock();
  RETURN NEW;
END $$;

-- The guards of these tables stamp with the database's clock; triggers of one kind fire in the order of their names.
CREATE TRIGGER stamp BEFORE UPDATE ON finance.transactions FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();
CREATE TRIGGER stamp BEFORE UPDATE ON finance.invoices FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();
CREATE TRIGGER stamp BEFORE UPDATE ON finance.refunds FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();
CREATE TRIGGER stamp BEFORE UPDATE ON finance.purchases FOR EACH ROW EXECUTE FUNCTION platform.touch_updated_at();

ALTER TABLE finance.transactions ALTER COLUMN created_at SET DEFAULT platform.clock(), ALTER COLUMN updated_at SET DEFAULT platform.clock();
ALTER TABLE finance.subscriptions ALTER COLUMN created_at SET DEFAULT platform.clock(), ALTER COLUMN updated_at SET DEFAULT platform.clock();
ALTER TABLE finance.invoices ALTER COLUMN created_at SET DEFAULT platform.clock(), ALTER COLUMN updated_at SET DEFAULT platform.clock();
ALTER TABLE finance.refunds ALTER COLUMN created_at SET DEFAULT platform.clock(), ALTER COLUMN updated_at SET DEFAULT platform.clock();
ALTER TABLE finance.credit_notes ALTER COLUMN created_at SET DEFAULT platform.clock();
ALTER TABLE finance.purchases ALTER COLUMN updated_at SET DEFAULT platform.clock();

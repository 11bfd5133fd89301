-- What keeps finance.analytics_daily up to date: every change of what a day's figures are read from leaves a mark in its own
-- transaction (also a prepared one), and one process computes the marked days anew. Changes of MongoDB's documents leave theirs by
-- the change feed.
CREATE TABLE finance.analytics_marks (
  mark_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  facility_id varchar(24) NOT NULL,
  -- Days in UTC; the reader takes a day more at both ends, because a facility's own may begin before and end after them.
  first_day date NOT NULL,
  last_day date NOT NULL,
  CONSTRAINT analytics_marks_order CHECK (last_day >= first_day)
);

CREATE FUNCTION finance.mark_movements() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
    SELECT facility_id, min((created_at AT TIME ZONE 'UTC')::date), max((created_at AT TIME ZONE 'UTC')::date)
    FROM new_rows WHERE status = 'succeeded' GROUP BY facility_id;
  RETURN NULL;
END $$;
CREATE TRIGGER mark_on_insert AFTER INSERT ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_movements();
CREATE TRIGGER mark_on_update AFTER UPDATE ON finance.transactions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_movements();

-- A renewal counts on the day its invoice was paid.
CREATE FUNCTION finance.mark_renewals() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
    SELECT facility_id, min(payment_date), max(payment_date)
    FROM new_rows WHERE payment_date IS NOT NULL AND subscription_id IS NOT NULL GROUP BY facility_id;
  RETURN NULL;
END $$;
CREATE TRIGGER mark_on_insert AFTER INSERT ON finance.invoices
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_renewals();
CREATE TRIGGER mark_on_update AFTER UPDATE ON finance.invoices
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_renewals();

-- A new subscription touches every day it covers, and the day its member joined; a changed one the days by which it grew or shrank.
CREATE FUNCTION finance.mark_subscriptions() RETURNS trigger
  LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
      SELECT facility_id, least(min(start_date), min((created_at AT TIME ZONE 'UTC')::date)), max(current_period_end)
      FROM new_rows GROUP BY facility_id;
  ELSIF TG_OP = 'DELETE' THEN
    INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
      SELECT facility_id, least(min(start_date), min((created_at AT TIME ZONE 'UTC')::date)), max(current_period_end)
      FROM old_rows GROUP BY facility_id;
  ELSE
    INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
      SELECT n.facility_id, least(n.start_date, o.start_date, (n.created_at AT TIME ZONE 'UTC')::date),
          greatest(n.current_period_end, o.current_period_end)
        FROM new_rows n JOIN old_rows o USING (subscription_id)
        WHERE (n.status IN ('incomplete', 'incomplete_expired')) <> (o.status IN ('incomplete', 'incomplete_expired'))
          OR (n.start_date, n.created_at) IS DISTINCT FROM (o.start_date, o.created_at)
      UNION ALL
      SELECT n.facility_id, least(n.current_period_end, o.current_period_end), greatest(n.current_period_end, o.current_period_end)
        FROM new_rows n JOIN old_rows o USING (subscription_id)
        WHERE n.current_period_end <> o.current_period_end
      UNION ALL
      SELECT n.facility_id, (least(n.cancelled_at, o.cancelled_at) AT TIME ZONE 'UTC')::date,
          (greatest(n.cancelled_at, o.cancelled_at) AT TIME ZONE 'UTC')::date
        FROM new_rows n JOIN old_rows o USING (subscription_id)
        WHERE n.cancelled_at IS DISTINCT FROM o.cancelled_at;
  END IF;
  RETURN NULL;
END $$;
CREATE TRIGGER mark_on_insert AFTER INSERT ON finance.subscriptions
  REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_subscriptions();
CREATE TRIGGER mark_on_update AFTER UPDATE ON finance.subscriptions
  REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_subscriptions();
CREATE TRIGGER mark_on_delete AFTER DELETE ON finance.subscriptions
  REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION finance.mark_subscriptions();

-- What a day reads of subscriptions and invoices.
CREATE INDEX idx_subscriptions_cover ON finance.subscriptions (facility_id, current_period_end);
CREATE INDEX idx_subscriptions_cancelled_at ON finance.subscriptions (facility_id, cancelled_at) WHERE cancelled_at IS NOT NULL;
CREATE INDEX idx_invoices_payment_date ON finance.invoices (facility_id, payment_date)
  WHERE status = 'paid' AND subscription_id IS NOT NULL;

GRANT SELECT, INSERT, DELETE ON finance.analytics_marks TO nexfit_app;

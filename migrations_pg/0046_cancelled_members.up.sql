-- Who cancels a membership is no active member from the day after: the rest of its period is to be counted anew, too.
CREATE OR REPLACE FUNCTION finance.mark_subscriptions() RETURNS trigger
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
          greatest((greatest(n.cancelled_at, o.cancelled_at) AT TIME ZONE 'UTC')::date, n.current_period_end, o.current_period_end)
        FROM new_rows n JOIN old_rows o USING (subscription_id)
        WHERE n.cancelled_at IS DISTINCT FROM o.cancelled_at;
  END IF;
  RETURN NULL;
END $$;

-- What was counted so far held them until the period's end.
INSERT INTO finance.analytics_marks (facility_id, first_day, last_day)
  SELECT facility_id, (cancelled_at AT TIME ZONE 'UTC')::date, current_period_end FROM finance.subscriptions
  WHERE cancelled_at IS NOT NULL AND (cancelled_at AT TIME ZONE 'UTC')::date < current_period_end;

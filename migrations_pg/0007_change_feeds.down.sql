DO $$
DECLARE logged record;
BEGIN
  FOR logged IN SELECT tgrelid::regclass AS relation, tgname FROM pg_trigger
    WHERE tgname IN ('log_insert', 'log_update', 'log_delete') AND tgparentid = 0 AND NOT tgisinternal LOOP
    EXECUTE format('DROP TRIGGER %I ON %s', logged.tgname, logged.relation);
  END LOOP;
END $$;
REVOKE DELETE ON platform.member_facts FROM nexfit_app;
DROP INDEX platform.idx_member_facts_next_booking;
DROP FUNCTION finance.repair_member_money(text[], text[]);
DROP FUNCTION finance.member_money(text[], text[]);
DROP FUNCTION platform.log_member_changes();
DROP FUNCTION platform.log_plan_changes();
DROP FUNCTION platform.log_business_changes();
DROP FUNCTION platform.log_package_changes();
DROP SEQUENCE platform.feed_term;
DROP TABLE platform.feed_positions;
DROP TABLE platform.changes;

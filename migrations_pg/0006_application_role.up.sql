-- What the application may do when it connects as, or as a member of, the role nexfit_app: no DDL, no deleting of records, no
-- writing of what triggers derive. A second lock behind the triggers; the owner's connection works without it.
-- Roles belong to the whole server, so another database may have made it already, and `down` leaves it in place.
DO $$
BEGIN
  -- Asked first: an owner without the right to make roles can migrate once somebody else has made it.
  IF to_regrole('nexfit_app') IS NULL THEN
    CREATE ROLE nexfit_app NOLOGIN;
  END IF;
EXCEPTION
  WHEN duplicate_object OR unique_violation THEN NULL; -- another database's migration was faster
END $$;

GRANT USAGE ON SCHEMA finance, platform TO nexfit_app;
GRANT SELECT ON ALL TABLES IN SCHEMA platform TO nexfit_app;
-- Table by table, not ALL TABLES: nobody needs a right on a partition.
GRANT SELECT, INSERT ON finance.facility_accounts, finance.transactions, finance.subscriptions, finance.invoices, finance.invoice_lines,
  finance.refunds, finance.credit_notes, finance.analytics_daily, finance.audit_logs, finance.outbox, finance.idempotency_keys,
  finance.package_credit_ledger TO nexfit_app;
GRANT SELECT ON finance.transaction_keys, finance.document_counters, finance.package_balances TO nexfit_app;
GRANT UPDATE (status, payment_method, provider, provider_reference, description, metadata) ON finance.transactions TO nexfit_app;
GRANT UPDATE ON finance.subscriptions, finance.refunds, finance.idempotency_keys TO nexfit_app;
-- Drafts only, as the triggers decide.
GRANT UPDATE, DELETE ON finance.invoices, finance.invoice_lines TO nexfit_app;
GRANT UPDATE, DELETE ON finance.analytics_daily TO nexfit_app;
GRANT UPDATE (published_at), DELETE ON finance.outbox TO nexfit_app;
GRANT DELETE ON finance.idempotency_keys TO nexfit_app;
GRANT INSERT, UPDATE, DELETE ON platform.entity_attributes TO nexfit_app;
GRANT INSERT (facility_id, user_id, name_folded, status, plan_id, joined_at, last_visit_at, next_booking_at, birthday),
  UPDATE (name_folded, status, plan_id, joined_at, last_visit_at, next_booking_at, birthday) ON platform.member_facts TO nexfit_app;

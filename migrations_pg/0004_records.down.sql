SELECT platform.refuse_data_loss('finance.audit_logs', 'finance.outbox', 'finance.package_credit_ledger');
DROP TABLE finance.package_credit_ledger;
DROP FUNCTION finance.keep_package_balance();
DROP TABLE finance.package_balances;
DROP TABLE finance.idempotency_keys;
DROP TABLE finance.outbox;
DROP TABLE finance.audit_logs;
DROP FUNCTION finance.guard_audit_log();
DROP TABLE finance.analytics_daily;

SELECT platform.refuse_data_loss('finance.purchases');
DROP INDEX finance.idx_refunds_open;
ALTER TABLE finance.subscriptions DROP COLUMN plan_name, DROP COLUMN method, DROP COLUMN customer, DROP COLUMN provider;
DROP TABLE finance.provider_events, finance.purchases;
DROP FUNCTION finance.guard_purchase();

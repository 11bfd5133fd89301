SELECT platform.refuse_data_loss('finance.billing_attempts');
DROP INDEX finance.idx_subscriptions_debt;
ALTER TABLE finance.subscriptions DROP COLUMN failed_attempts, DROP COLUMN next_attempt_on;
DROP TABLE finance.billing_attempts;

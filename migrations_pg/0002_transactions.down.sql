SELECT platform.refuse_data_loss('finance.facility_accounts', 'finance.transactions');
DROP TABLE finance.transactions;
DROP FUNCTION finance.keep_transaction_keys();
DROP FUNCTION finance.guard_transaction();
DROP TABLE finance.transaction_keys;
DROP TABLE finance.facility_accounts;

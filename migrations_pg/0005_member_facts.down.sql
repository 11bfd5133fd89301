SELECT platform.refuse_data_loss('platform.entity_attributes');
DROP TRIGGER refresh_last_payment_on_update ON finance.transactions;
DROP TRIGGER refresh_last_payment_on_insert ON finance.transactions;
DROP TRIGGER refresh_debt_on_update ON finance.invoices;
DROP TRIGGER refresh_debt_on_insert ON finance.invoices;
DROP FUNCTION finance.refresh_last_payment();
DROP FUNCTION finance.refresh_member_debt();
DROP TABLE platform.member_facts;
DROP TABLE platform.entity_attributes;

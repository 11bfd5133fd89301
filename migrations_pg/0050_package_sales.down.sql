DROP INDEX finance.idx_coaching_packages_facility_id;
DROP INDEX finance.idx_coaching_packages_coach_id;
ALTER TABLE finance.coaching_packages DROP COLUMN invoice_id, DROP COLUMN facility_id;

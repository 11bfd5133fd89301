-- A package may be sold at a facility's desk: there it has an invoice, unless it costs nothing. Without a facility it is between coach and client.
ALTER TABLE finance.coaching_packages
  ADD COLUMN facility_id varchar(24) CHECK (platform.is_object_id(facility_id)),
  ADD COLUMN invoice_id uuid REFERENCES finance.invoices ON DELETE RESTRICT,
  ADD CONSTRAINT coaching_packages_invoice CHECK (invoice_id IS NULL OR facility_id IS NOT NULL);
-- What a coach sold, and what was sold at a facility: earnings.
CREATE INDEX idx_coaching_packages_coach_id ON finance.coaching_packages (coach_id, created_at);
CREATE INDEX idx_coaching_packages_facility_id ON finance.coaching_packages (facility_id, created_at) WHERE facility_id IS NOT NULL;

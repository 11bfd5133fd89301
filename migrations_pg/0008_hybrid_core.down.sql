DROP TABLE platform.copied_audits;
DROP TABLE platform.store_marker;
DROP TABLE platform.relay;
DROP INDEX finance.idx_outbox_published_at;
ALTER TABLE finance.outbox DROP COLUMN entry;
ALTER TABLE finance.outbox DROP COLUMN tags;

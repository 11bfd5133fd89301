DROP TABLE platform.handled_events;
DROP TABLE platform.event_positions;
DROP TABLE platform.copied_audits;
DROP TABLE platform.store_marker;
DROP SEQUENCE platform.relay_term;
DROP INDEX finance.idx_outbox_published_at;
ALTER TABLE finance.outbox DROP COLUMN stream_id;
ALTER TABLE finance.outbox DROP COLUMN tags;

-- What the meeting of the stores keeps in PostgreSQL: where an event stands in the stream, who relays, and the marker that tells a
-- restored store from the other.

-- Cache tags to raise when the row is relayed: the second invalidation, for a writer that died before its own.
ALTER TABLE finance.outbox ADD COLUMN tags text[] NOT NULL DEFAULT '{}';
-- The event's place in the stream, given before it is written there: a stream that lost its end is given exactly what it lost.
ALTER TABLE finance.outbox ADD COLUMN entry bigint UNIQUE CHECK (entry > 0);
CREATE INDEX idx_outbox_published_at ON finance.outbox (published_at) WHERE published_at IS NOT NULL;

-- Who relays, and the last place given. A relay that was replaced names an old term and gives no more places.
CREATE TABLE platform.relay (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  term bigint NOT NULL DEFAULT 0,
  entry bigint NOT NULL DEFAULT 0 CHECK (entry >= 0)
);
INSERT INTO platform.relay DEFAULT VALUES;

-- MongoDB holds the same epoch and a tick that runs ahead by at most one. Anything else: a store was restored.
CREATE TABLE platform.store_marker (
  only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
  epoch uuid NOT NULL,
  tick bigint NOT NULL CHECK (tick >= 0),
  updated_at timestamptz NOT NULL DEFAULT now()
);

-- Audit entries that were written in MongoDB and have been copied to finance.audit_logs: each once.
CREATE TABLE platform.copied_audits (
  entry_id uuid PRIMARY KEY,
  copied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idx_copied_audits_copied_at ON platform.copied_audits (copied_at);

GRANT UPDATE (entry) ON finance.outbox TO nexfit_app;
GRANT SELECT, UPDATE ON platform.relay TO nexfit_app;
GRANT SELECT, INSERT, UPDATE ON platform.store_marker TO nexfit_app;
GRANT SELECT, INSERT, DELETE ON platform.copied_audits TO nexfit_app;

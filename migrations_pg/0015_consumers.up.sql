-- Consumers of the stream of events: how far each has read, and which events it has handled. Both are written with the effect.
CREATE TABLE platform.consumers (
  name text PRIMARY KEY CHECK (name <> ''),
  entry bigint NOT NULL CHECK (entry >= 0),
  moved_at timestamptz NOT NULL DEFAULT now()
);

-- An event may come again under another number; kept for longer than the outbox keeps what was published.
CREATE TABLE platform.consumed_events (
  consumer text NOT NULL REFERENCES platform.consumers (name),
  event_id uuid NOT NULL,
  consumed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX idx_consumed_events_consumed_at ON platform.consumed_events (consumed_at);

-- What became of a person's bookings without them: one for each event that tells of it.
CREATE TABLE platform.notices (
  notice_id uuid PRIMARY KEY,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  facility_id varchar(24) NOT NULL CHECK (platform.is_object_id(facility_id)),
  occurrence_id varchar(24) NOT NULL CHECK (platform.is_object_id(occurrence_id)),
  kind text NOT NULL CHECK (kind IN ('seat_given', 'waited_in_vain', 'called_off')),
  at timestamptz NOT NULL
);
CREATE INDEX idx_notices_user_id ON platform.notices (user_id, at DESC, notice_id DESC);

GRANT SELECT, INSERT, UPDATE ON platform.consumers TO nexfit_app;
GRANT SELECT, INSERT, DELETE ON platform.consumed_events TO nexfit_app;
GRANT SELECT, INSERT ON platform.notices TO nexfit_app;

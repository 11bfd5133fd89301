-- Pauses of subscriptions (workflow 3.5): nothing is billed for them, and the period ends by as many days later.
CREATE TABLE finance.freezes (
  freeze_id uuid PRIMARY KEY DEFAULT uuidv7(),
  subscription_id uuid NOT NULL REFERENCES finance.subscriptions ON DELETE RESTRICT,
  facility_id varchar(24) NOT NULL,
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  -- The facility's local days; the end is the first day that is not frozen. Who comes back early moves it.
  starts_on date NOT NULL,
  ends_on date NOT NULL CHECK (ends_on >= starts_on),
  is_over boolean NOT NULL DEFAULT false,
  created_at timestamptz NOT NULL
);
-- One at a time.
CREATE UNIQUE INDEX freezes_open_key ON finance.freezes (subscription_id) WHERE NOT is_over;
-- Those that are to end.
CREATE INDEX idx_freezes_ends_on ON finance.freezes (ends_on) WHERE NOT is_over;
-- How many a subscription had.
CREATE INDEX idx_freezes_subscription_id ON finance.freezes (subscription_id, starts_on);
CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON finance.freezes
  FOR EACH STATEMENT EXECUTE FUNCTION platform.refuse_change();

GRANT SELECT, INSERT, UPDATE ON finance.freezes TO nexfit_app;

-- Guests of the shop: whoever keeps a cart or favourites before signing in. Cart and favourites hang on guest_id. A session ends by
-- its time, by being given up, or by being claimed: then it belongs to one account for good, and what hangs on it goes there.
CREATE SCHEMA shop;

CREATE TABLE shop.guest_sessions (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
  guest_id text UNIQUE NOT NULL CHECK (guest_id ~ '^[A-Za-z0-9_-]{22,64}$'),
  device_info text CHECK (length(device_info) <= 1000),
  last_activity timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  claimed_by varchar(24) CHECK (platform.is_object_id(claimed_by)),
  claimed_at timestamptz,
  revoked_at timestamptz,
  CONSTRAINT guest_sessions_expiry CHECK (expires_at > created_at),
  CONSTRAINT guest_sessions_claim CHECK ((claimed_by IS NULL) = (claimed_at IS NULL)),
  CONSTRAINT guest_sessions_one_end CHECK (claimed_at IS NULL OR revoked_at IS NULL)
);
-- For taking out what is over. guest_id is unique and has its index by that.
CREATE INDEX idx_guest_sessions_expires_at ON shop.guest_sessions (expires_at);

-- What has ended stays ended, and a claim stays with its account, whoever writes.
CREATE FUNCTION shop.keep_guest_session_ended() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF (OLD.claimed_by, OLD.claimed_at, OLD.revoked_at) IS DISTINCT FROM (NEW.claimed_by, NEW.claimed_at, NEW.revoked_at)
    OR OLD.guest_id <> NEW.guest_id THEN
    RAISE EXCEPTION 'a guest session that has ended stays so'
      USING ERRCODE = 'restrict_violation', CONSTRAINT = 'guest_sessions_stay_ended';
  END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER keep_ended BEFORE UPDATE ON shop.guest_sessions
  FOR EACH ROW WHEN (OLD.claimed_at IS NOT NULL OR OLD.revoked_at IS NOT NULL) EXECUTE FUNCTION shop.keep_guest_session_ended();

GRANT USAGE ON SCHEMA shop TO nexfit_app;
GRANT SELECT, INSERT, DELETE ON shop.guest_sessions TO nexfit_app;
GRANT UPDATE (last_activity, claimed_by, claimed_at, revoked_at) ON shop.guest_sessions TO nexfit_app;

-- What people ask for of their own data: a copy of all of it, or that it is erased. One row per request, and what of it is done.
CREATE TABLE platform.data_requests (
  request_id uuid PRIMARY KEY DEFAULT uuidv7(),
  user_id varchar(24) NOT NULL CHECK (platform.is_object_id(user_id)),
  kind text NOT NULL CHECK (kind IN ('export', 'erasure')),
  -- blocked: an erasure that is due and cannot be yet, for the reason `blocked_by`.
  status text NOT NULL DEFAULT 'waiting' CHECK (status IN ('waiting', 'running', 'blocked', 'done', 'cancelled')),
  requested_by varchar(24) CHECK (platform.is_object_id(requested_by)),
  -- Why somebody else asked. Taken out when the person is erased.
  reason text CHECK (reason <> ''),
  blocked_by text[] NOT NULL DEFAULT '{}',
  requested_at timestamptz NOT NULL,
  due_at timestamptz NOT NULL,
  finished_at timestamptz,
  steps_done smallint NOT NULL DEFAULT 0,
  steps smallint NOT NULL DEFAULT 0,
  -- Of an export: the file's key, its size, and when it is deleted.
  file_key text,
  file_bytes bigint,
  file_until timestamptz,
  -- Whoever works on it says so again and again; by the database's clock.
  claimed_by uuid,
  claimed_until timestamptz,
  CONSTRAINT data_requests_due CHECK (due_at >= requested_at),
  CONSTRAINT data_requests_finished CHECK ((status IN ('done', 'cancelled')) = (finished_at IS NOT NULL)),
  CONSTRAINT data_requests_file CHECK (file_key IS NULL OR (kind = 'export' AND file_bytes IS NOT NULL AND file_until IS NOT NULL)),
  CONSTRAINT data_requests_blocked CHECK ((status = 'blocked') = (cardinality(blocked_by) > 0))
);
-- One of each kind at a time, and nobody is erased twice.
CREATE UNIQUE INDEX data_requests_live_key ON platform.data_requests (user_id, kind)
  WHERE status IN ('waiting', 'running', 'blocked') OR (kind = 'erasure' AND status = 'done');
CREATE INDEX idx_data_requests_user_id ON platform.data_requests (user_id, requested_at DESC, request_id DESC);
CREATE INDEX idx_data_requests_due_at ON platform.data_requests (due_at) WHERE status IN ('waiting', 'running', 'blocked');
CREATE INDEX idx_data_requests_file_until ON platform.data_requests (file_until) WHERE file_key IS NOT NULL;

-- What an erasure has done: a step that is here is not done again.
CREATE TABLE platform.data_request_steps (
  request_id uuid NOT NULL REFERENCES platform.data_requests,
  step text NOT NULL CHECK (step <> ''),
  -- How much it did, by what it was done to.
  counts jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(counts) = 'object'),
  done_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (request_id, step)
);

-- Whether somebody is being erased, or is: what is printed and booked may then lose its names, and nothing else.
CREATE FUNCTION platform.is_erased(person text) RETURNS boolean LANGUAGE sql STABLE
BEGIN ATOMIC
  SELECT EXISTS (SELECT FROM platform.data_requests r
    WHERE r.user_id = person AND r.kind = 'erasure' AND r.status IN ('running', 'done'));
END;

GRANT SELECT, INSERT, UPDATE ON platform.data_requests TO nexfit_app;
GRANT SELECT, INSERT ON platform.data_request_steps TO nexfit_app;

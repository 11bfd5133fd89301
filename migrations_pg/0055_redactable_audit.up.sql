-- An audit entry can lose what it says of a person and stay in its chain: the chain covers a digest of that part instead of the part.
-- Each part has a salt of its own, which goes with it, so that nobody can guess what stood there from its digest.
ALTER TABLE finance.audit_logs
  ADD COLUMN state_salt bytea CHECK (length(state_salt) = 32),
  ADD COLUMN origin_salt bytea CHECK (length(origin_salt) = 32),
  -- Filled when the part was taken out.
  ADD COLUMN state_digest bytea CHECK (length(state_digest) = 32),
  ADD COLUMN origin_digest bytea CHECK (length(origin_digest) = 32),
  ADD CONSTRAINT audit_logs_state_redacted
    CHECK (state_digest IS NULL OR (previous_state IS NULL AND new_state IS NULL AND state_salt IS NULL)),
  ADD CONSTRAINT audit_logs_origin_redacted
    CHECK (origin_digest IS NULL OR (ip_address IS NULL AND user_agent IS NULL AND origin_salt IS NULL));

CREATE FUNCTION finance.audit_digest(salt bytea, part jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT sha256(coalesce(salt, '') || convert_to(part::text, 'UTF8'))
$$;

CREATE FUNCTION finance.audit_state(entry finance.audit_logs) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('before', ($1).previous_state, 'after', ($1).new_state)
$$;

CREATE FUNCTION finance.audit_origin(entry finance.audit_logs) RETURNS jsonb LANGUAGE sql STABLE AS $$
  SELECT jsonb_build_object('address', ($1).ip_address::text, 'agent', ($1).user_agent)
$$;

CREATE OR REPLACE FUNCTION finance.audit_entry_hash(entry finance.audit_logs, chain text, chain_position bigint, previous_hash bytea)
RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(coalesce($4, '') || convert_to(jsonb_build_object(
    'chain', $2, 'position', $3, 'id', ($1).audit_id, 'facility', ($1).facility_id, 'entity_type', ($1).entity_type,
    'entity_id', ($1).entity_id, 'user', ($1).user_id, 'action', ($1).action,
    'state', encode(coalesce(($1).state_digest, finance.audit_digest(($1).state_salt, finance.audit_state($1))), 'hex'),
    'origin', encode(coalesce(($1).origin_digest, finance.audit_digest(($1).origin_salt, finance.audit_origin($1))), 'hex'),
    'at', (extract(epoch FROM ($1).created_at) * 1000000)::bigint)::text, 'UTF8'))
$$;

-- What is sealed already is sealed anew, in the same order: ends of chains that were noted elsewhere have to be noted again.
CREATE OR REPLACE FUNCTION finance.guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RETURN NEW;
END $$;
DO $$
DECLARE
  sealed finance.audit_logs;
  at_chain text := '';
  before bytea;
  made bytea;
BEGIN
  FOR sealed IN SELECT * FROM finance.audit_logs WHERE chain IS NOT NULL ORDER BY chain, chain_position LOOP
    IF sealed.chain <> at_chain THEN
      at_chain := sealed.chain;
      before := NULL;
    END IF;
    sealed.state_salt := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    sealed.origin_salt := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    made := finance.audit_entry_hash(sealed, at_chain, sealed.chain_position, before);
    UPDATE finance.audit_logs e SET state_salt = sealed.state_salt, origin_salt = sealed.origin_salt, previous_hash = before,
        entry_hash = made
      WHERE e.audit_id = sealed.audit_id AND e.created_at = sealed.created_at;
    UPDATE finance.audit_chains c SET last_hash = made WHERE c.chain = at_chain AND c.last_position = sealed.chain_position;
    before := made;
  END LOOP;
END $$;

CREATE OR REPLACE FUNCTION finance.guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  kept finance.audit_logs;
  after finance.audit_logs;
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.entry_hash IS NULL AND NEW.entry_hash IS NOT NULL THEN
    -- Sealing fills the entry's place in the chain, its salts, and nothing else.
    OLD.chain := NEW.chain;
    OLD.chain_position := NEW.chain_position;
    OLD.previous_hash := NEW.previous_hash;
    OLD.entry_hash := NEW.entry_hash;
    OLD.state_salt := NEW.state_salt;
    OLD.origin_salt := NEW.origin_salt;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  ELSIF TG_OP = 'UPDATE' AND (NEW.state_digest IS NOT NULL OR NEW.origin_digest IS NOT NULL) THEN
    -- A part gives way to its digest; the entry's own hash shows that it is the digest of that part.
    kept := NEW;
    after := NEW;
    IF OLD.state_digest IS NULL AND NEW.state_digest IS NOT NULL THEN
      kept.previous_state := OLD.previous_state;
      kept.new_state := OLD.new_state;
      kept.state_salt := OLD.state_salt;
      kept.state_digest := NULL;
    END IF;
    IF OLD.origin_digest IS NULL AND NEW.origin_digest IS NOT NULL THEN
      kept.ip_address := OLD.ip_address;
      kept.user_agent := OLD.user_agent;
      kept.origin_salt := OLD.origin_salt;
      kept.origin_digest := NULL;
    END IF;
    IF kept IS NOT DISTINCT FROM OLD AND (OLD.entry_hash IS NULL
        OR finance.audit_entry_hash(after, OLD.chain, OLD.chain_position, OLD.previous_hash) = OLD.entry_hash) THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit entries are append-only: % refused', TG_OP
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_logs_append_only';
END $$;

CREATE OR REPLACE FUNCTION finance.seal_audit_entries(most integer) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, finance AS $$
DECLARE
  entry finance.audit_logs;
  sealed integer := 0;
  at_chain text;
  at_position bigint;
  before bytea;
  made bytea;
BEGIN
  IF NOT pg_try_advisory_xact_lock(hashtextextended('finance.seal_audit_entries', 0)) THEN
    RETURN 0;
  END IF;
  -- Held: whoever takes a part out of an unsealed entry goes first or waits.
  FOR entry IN SELECT * FROM finance.audit_logs e WHERE e.entry_hash IS NULL ORDER BY e.audit_id LIMIT most FOR UPDATE LOOP
    at_chain := coalesce((SELECT a.business_id FROM finance.facility_accounts a WHERE a.facility_id = entry.facility_id),
      entry.facility_id, 'platform');
    SELECT c.last_position + 1, c.last_hash INTO at_position, before FROM finance.audit_chains c WHERE c.chain = at_chain;
    at_position := coalesce(at_position, 1);
    IF entry.state_digest IS NULL THEN
      entry.state_salt := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    END IF;
    IF entry.origin_digest IS NULL THEN
      entry.origin_salt := uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid());
    END IF;
    made := finance.audit_entry_hash(entry, at_chain, at_position, before);
    UPDATE finance.audit_logs e SET chain = at_chain, chain_position = at_position, previous_hash = before, entry_hash = made,
        state_salt = entry.state_salt, origin_salt = entry.origin_salt
      WHERE e.audit_id = entry.audit_id AND e.created_at = entry.created_at;
    INSERT INTO finance.audit_chains (chain, last_position, last_hash) VALUES (at_chain, at_position, made)
      ON CONFLICT ON CONSTRAINT audit_chains_pkey
      DO UPDATE SET last_position = EXCLUDED.last_position, last_hash = EXCLUDED.last_hash, sealed_at = now();
    sealed := sealed + 1;
  END LOOP;
  RETURN sealed;
END $$;

-- Take out of entries what they say of somebody who is erased: where from and with what they acted, in all they did; and the states of
-- whatever is theirs (`entities`), or that name them (`words`, for LIKE). How many entries.
CREATE FUNCTION finance.redact_audit_entries(person text, entities text[], words text[]) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, finance AS $$
DECLARE redacted integer;
BEGIN
  IF NOT platform.is_erased(person) THEN
    RAISE EXCEPTION 'nobody asked for % to be erased', person USING ERRCODE = 'restrict_violation';
  END IF;
  WITH theirs AS (
    SELECT e.audit_id, e.created_at, e.user_id = person AS acted,
        e.entity_id = person OR e.entity_id = ANY (entities)
          OR concat(e.previous_state::text, e.new_state::text) ILIKE ANY (words) AS told
      FROM finance.audit_logs e
      WHERE e.user_id = person OR e.entity_id = person OR e.entity_id = ANY (entities)
        OR concat(e.previous_state::text, e.new_state::text) ILIKE ANY (words)
  ), parts AS (
    SELECT e.audit_id, e.created_at,
        coalesce(t.told, false) AND e.state_digest IS NULL AND num_nonnulls(e.previous_state, e.new_state) > 0 AS state,
        coalesce(t.acted, false) AND e.origin_digest IS NULL AND num_nonnulls(e.ip_address, e.user_agent) > 0 AS origin
      FROM theirs t JOIN finance.audit_logs e ON e.audit_id = t.audit_id AND e.created_at = t.created_at
      ORDER BY e.audit_id FOR UPDATE OF e
  )
  UPDATE finance.audit_logs e SET
      previous_state = CASE WHEN NOT p.state THEN e.previous_state END, new_state = CASE WHEN NOT p.state THEN e.new_state END,
      state_digest = CASE WHEN p.state THEN finance.audit_digest(
        coalesce(e.state_salt, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), finance.audit_state(e))
        ELSE e.state_digest END,
      state_salt = CASE WHEN NOT p.state THEN e.state_salt END,
      ip_address = CASE WHEN NOT p.origin THEN e.ip_address END, user_agent = CASE WHEN NOT p.origin THEN e.user_agent END,
      origin_digest = CASE WHEN p.origin THEN finance.audit_digest(
        coalesce(e.origin_salt, uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())), finance.audit_origin(e))
        ELSE e.origin_digest END,
      origin_salt = CASE WHEN NOT p.origin THEN e.origin_salt END
    FROM parts p
    WHERE e.audit_id = p.audit_id AND e.created_at = p.created_at AND (p.state OR p.origin);
  GET DIAGNOSTICS redacted = ROW_COUNT;
  RETURN redacted;
END $$;
REVOKE ALL ON FUNCTION finance.redact_audit_entries(text, text[], text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION finance.redact_audit_entries(text, text[], text[]) TO nexfit_app;

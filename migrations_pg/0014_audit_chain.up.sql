-- The hash chain of audit entries, one per business. Entries are sealed after they were committed, by one process at a time: writers
-- neither wait for each other nor for it, and an entry of a prepared transaction is sealed once that is decided.
ALTER TABLE finance.audit_logs
  ADD COLUMN chain varchar(24) CHECK (chain <> ''),
  ADD COLUMN chain_position bigint CHECK (chain_position > 0),
  ADD CONSTRAINT audit_logs_chained CHECK ((chain IS NULL) = (chain_position IS NULL) AND (chain IS NULL OR entry_hash IS NOT NULL));
CREATE INDEX idx_audit_logs_chain ON finance.audit_logs (chain, chain_position);

-- Where each chain ends: an entry taken off its end is missed here.
CREATE TABLE finance.audit_chains (
  chain varchar(24) PRIMARY KEY,
  last_position bigint NOT NULL CHECK (last_position > 0),
  last_hash bytea NOT NULL CHECK (length(last_hash) = 32),
  sealed_at timestamptz NOT NULL DEFAULT now()
);

CREATE OR REPLACE FUNCTION finance.guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.entry_hash IS NULL AND NEW.entry_hash IS NOT NULL THEN
    -- Sealing fills the entry's place in the chain and nothing else.
    OLD.chain := NEW.chain;
    OLD.chain_position := NEW.chain_position;
    OLD.previous_hash := NEW.previous_hash;
    OLD.entry_hash := NEW.entry_hash;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit entries are append-only: % refused', TG_OP
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_logs_append_only';
END $$;

-- The hash of an entry at a place: over the hash before it and everything the entry says. jsonb has one text for one value.
CREATE FUNCTION finance.audit_entry_hash(entry finance.audit_logs, chain text, chain_position bigint, previous_hash bytea)
RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(coalesce($4, '') || convert_to(jsonb_build_object(
    'chain', $2, 'position', $3, 'id', ($1).audit_id, 'facility', ($1).facility_id, 'entity_type', ($1).entity_type,
    'entity_id', ($1).entity_id, 'user', ($1).user_id, 'action', ($1).action, 'before', ($1).previous_state,
    'after', ($1).new_state, 'address', ($1).ip_address::text, 'agent', ($1).user_agent,
    'at', (extract(epoch FROM ($1).created_at) * 1000000)::bigint)::text, 'UTF8'))
$$;

-- Puts committed entries at the ends of their chains, oldest number first; how many. 0 while another process is at it. What belongs
-- to no facility is in the chain 'platform'; a facility without an account is its own business.
CREATE FUNCTION finance.seal_audit_entries(most integer) RETURNS integer
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
  FOR entry IN SELECT * FROM finance.audit_logs e WHERE e.entry_hash IS NULL ORDER BY e.audit_id LIMIT most LOOP
    at_chain := coalesce((SELECT a.business_id FROM finance.facility_accounts a WHERE a.facility_id = entry.facility_id),
      entry.facility_id, 'platform');
    SELECT c.last_position + 1, c.last_hash INTO at_position, before FROM finance.audit_chains c WHERE c.chain = at_chain;
    at_position := coalesce(at_position, 1);
    made := finance.audit_entry_hash(entry, at_chain, at_position, before);
    UPDATE finance.audit_logs e SET chain = at_chain, chain_position = at_position, previous_hash = before, entry_hash = made
      WHERE e.audit_id = entry.audit_id AND e.created_at = entry.created_at;
    INSERT INTO finance.audit_chains (chain, last_position, last_hash) VALUES (at_chain, at_position, made)
      ON CONFLICT ON CONSTRAINT audit_chains_pkey
      DO UPDATE SET last_position = EXCLUDED.last_position, last_hash = EXCLUDED.last_hash, sealed_at = now();
    sealed := sealed + 1;
  END LOOP;
  RETURN sealed;
END $$;
REVOKE ALL ON FUNCTION finance.seal_audit_entries(integer) FROM PUBLIC;

-- The application adds entries, unsealed ones, and asks for sealing. It can do nothing else to them.
REVOKE INSERT ON finance.audit_logs FROM nexfit_app;
GRANT INSERT (facility_id, entity_type, entity_id, user_id, action, previous_state, new_state, ip_address, user_agent, created_at)
  ON finance.audit_logs TO nexfit_app;
GRANT SELECT ON finance.audit_chains TO nexfit_app;
GRANT EXECUTE ON FUNCTION finance.seal_audit_entries(integer) TO nexfit_app;

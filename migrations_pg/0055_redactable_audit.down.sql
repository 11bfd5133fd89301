-- What was taken out cannot be sealed as before.
DO $$
BEGIN
  IF EXISTS (SELECT FROM finance.audit_logs WHERE state_digest IS NOT NULL OR origin_digest IS NOT NULL)
     AND current_setting('nexfit.lose_data', true) IS DISTINCT FROM 'on' THEN
    RAISE EXCEPTION 'audit entries were redacted: their chains could not be checked any more' USING ERRCODE = 'NXD01';
  END IF;
END $$;
DROP FUNCTION finance.redact_audit_entries(text, text[], text[]);
CREATE OR REPLACE FUNCTION finance.audit_entry_hash(entry finance.audit_logs, chain text, chain_position bigint, previous_hash bytea)
RETURNS bytea LANGUAGE sql STABLE AS $$
  SELECT sha256(coalesce($4, '') || convert_to(jsonb_build_object(
    'chain', $2, 'position', $3, 'id', ($1).audit_id, 'facility', ($1).facility_id, 'entity_type', ($1).entity_type,
    'entity_id', ($1).entity_id, 'user', ($1).user_id, 'action', ($1).action, 'before', ($1).previous_state,
    'after', ($1).new_state, 'address', ($1).ip_address::text, 'agent', ($1).user_agent,
    'at', (extract(epoch FROM ($1).created_at) * 1000000)::bigint)::text, 'UTF8'))
$$;
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
    made := finance.audit_entry_hash(sealed, at_chain, sealed.chain_position, before);
    UPDATE finance.audit_logs e SET previous_hash = before, entry_hash = made
      WHERE e.audit_id = sealed.audit_id AND e.created_at = sealed.created_at;
    UPDATE finance.audit_chains c SET last_hash = made WHERE c.chain = at_chain AND c.last_position = sealed.chain_position;
    before := made;
  END LOOP;
END $$;
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
DROP FUNCTION finance.audit_origin(finance.audit_logs);
DROP FUNCTION finance.audit_state(finance.audit_logs);
DROP FUNCTION finance.audit_digest(bytea, jsonb);
ALTER TABLE finance.audit_logs DROP COLUMN state_salt, DROP COLUMN origin_salt, DROP COLUMN state_digest, DROP COLUMN origin_digest;

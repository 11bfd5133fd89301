SELECT platform.refuse_data_loss('finance.audit_chains');
REVOKE INSERT ON finance.audit_logs FROM nexfit_app; -- of single columns, too
GRANT INSERT ON finance.audit_logs TO nexfit_app;
DROP FUNCTION finance.seal_audit_entries(integer);
DROP FUNCTION finance.audit_entry_hash(finance.audit_logs, text, bigint, bytea);
CREATE OR REPLACE FUNCTION finance.guard_audit_log() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' AND OLD.entry_hash IS NULL AND NEW.entry_hash IS NOT NULL THEN
    -- Sealing fills the two hashes and nothing else.
    OLD.previous_hash := NEW.previous_hash;
    OLD.entry_hash := NEW.entry_hash;
    IF NEW IS NOT DISTINCT FROM OLD THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'audit entries are append-only: % refused', TG_OP
    USING ERRCODE = 'restrict_violation', CONSTRAINT = 'audit_logs_append_only';
END $$;
DROP TABLE finance.audit_chains;
DROP INDEX finance.idx_audit_logs_chain;
ALTER TABLE finance.audit_logs DROP COLUMN chain_position, DROP COLUMN chain;

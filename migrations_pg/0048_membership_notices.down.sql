DELETE FROM platform.notices WHERE occurrence_id IS NULL;
ALTER TABLE platform.notices DROP CONSTRAINT notices_subject, DROP CONSTRAINT notices_kind_check;
ALTER TABLE platform.notices ADD CONSTRAINT notices_kind_check CHECK (kind IN ('seat_given', 'waited_in_vain', 'called_off'));
ALTER TABLE platform.notices DROP COLUMN subscription_id, ALTER COLUMN occurrence_id SET NOT NULL;

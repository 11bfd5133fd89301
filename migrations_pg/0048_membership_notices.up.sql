-- Notices tell of memberships, too: of a charge that was declined, and what came of it.
ALTER TABLE platform.notices ALTER COLUMN occurrence_id DROP NOT NULL, ADD COLUMN subscription_id uuid;
ALTER TABLE platform.notices DROP CONSTRAINT notices_kind_check;
ALTER TABLE platform.notices ADD CONSTRAINT notices_kind_check CHECK (kind IN ('seat_given', 'waited_in_vain', 'called_off',
    'payment_due', 'payment_declined', 'membership_suspended', 'membership_active_again')),
  ADD CONSTRAINT notices_subject CHECK ((occurrence_id IS NULL) <> (subscription_id IS NULL));

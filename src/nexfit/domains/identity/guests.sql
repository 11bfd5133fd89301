-- Guest sessions. A live one is neither claimed nor given up, and its time is not over.

-- name: begin
-- for: a new one. Takes out some that ended days ago, so that the table holds no more than what lives.
-- $1 guest, $2 device, $3 now, $4 expiry.
WITH gone AS (
  DELETE FROM shop.guest_sessions WHERE id IN (
    SELECT id FROM shop.guest_sessions WHERE expires_at < $3::timestamptz - interval '7 days'
    ORDER BY expires_at LIMIT 10 FOR UPDATE SKIP LOCKED))
INSERT INTO shop.guest_sessions (guest_id, device_info, last_activity, created_at, expires_at) VALUES ($1, $2, $3, $3, $4)

-- name: live
-- for: whether a guest's token is still good. $1 guest, $2 now.
SELECT device_info, last_activity, created_at, expires_at FROM shop.guest_sessions
WHERE guest_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2

-- name: touch
-- for: when it was last used. $1 guest, $2 now.
UPDATE shop.guest_sessions SET last_activity = greatest(last_activity, $2) WHERE guest_id = $1

-- name: claim
-- for: signing in with it: of several at once the first to lock the row gets it. $1 guest, $2 now, $3 account.
UPDATE shop.guest_sessions SET claimed_by = $3, claimed_at = $2, last_activity = greatest(last_activity, $2)
WHERE guest_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2
RETURNING id

-- name: owner
-- for: who claimed it before. $1 guest.
SELECT claimed_by FROM shop.guest_sessions WHERE guest_id = $1

-- name: revoke
-- for: giving it up. $1 guest, $2 now.
UPDATE shop.guest_sessions SET revoked_at = $2
WHERE guest_id = $1 AND claimed_at IS NULL AND revoked_at IS NULL AND expires_at > $2
RETURNING id

-- A facility's memberships that are about to end, the next first; and those that have ended, the latest first.
CREATE INDEX idx_subscriptions_expiring ON finance.subscriptions (facility_id, current_period_end, subscription_id)
  WHERE status = 'active' AND NOT auto_renew;
CREATE INDEX idx_subscriptions_lapsed ON finance.subscriptions (facility_id, current_period_end DESC, subscription_id DESC)
  WHERE status IN ('cancelled', 'expired');

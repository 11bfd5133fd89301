-- Subscriptions whose first payment has not come: they expire after 23 hours.
CREATE INDEX idx_subscriptions_incomplete ON finance.subscriptions (created_at) WHERE status = 'incomplete';

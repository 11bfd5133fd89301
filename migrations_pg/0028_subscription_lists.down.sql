DROP INDEX finance.idx_subscriptions_lapsed;
DROP INDEX finance.idx_subscriptions_expiring;

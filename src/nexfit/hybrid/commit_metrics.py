"""What operators see of commits over both stores and of the outbox."""

from prometheus_client import Counter, Gauge, Histogram

PREPARED = Gauge("nexfit_prepared_transactions", "Transactions PostgreSQL holds prepared for commits over both stores.")
PREPARED_AGE = Gauge("nexfit_prepared_oldest_seconds", "Age of the oldest of them, 0 without any.")
RECOVERED = Counter("nexfit_recovered_transactions", "Prepared transactions that recovery has ended.", ["verdict"])
RESTORED = Gauge("nexfit_store_restored", "1 while the stores are of different moments and somebody has to decide.")

PUBLISHED = Counter("nexfit_outbox_published", "Events the relay has written to the stream.")
REFILLED = Counter("nexfit_outbox_refilled", "Events written to the stream again because it had lost them.")
OUTBOX_LAG = Histogram(
    "nexfit_outbox_lag_seconds",
    "From the beginning of an event's transaction to the stream.",
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
CONSUMED = Counter(
    "nexfit_consumed_events", "Events a consumer has met: handled, repeated or failed.", ["consumer", "outcome"]
)

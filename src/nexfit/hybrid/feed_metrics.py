"""What operators see of the change feeds. Lags count from the commit (for rows, from the statement) to the effect."""

from prometheus_client import Counter, Gauge, Histogram

LAG = Histogram(
    "nexfit_feed_lag_seconds",
    "From a change to its effect.",
    ["feed"],
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60),
)
CHANGES = Counter("nexfit_feed_changes", "Changes a feed has handled.", ["feed"])
HISTORY_LOST = Counter("nexfit_feed_history_lost", "Times a feed could not tell what it had missed.", ["feed"])
BUSY = Gauge("nexfit_feed_pending", "Effects put off because somebody holds the row.", ["feed"])
GENERATIONS = Counter("nexfit_cache_generations", "Times every cached view was given up at once.")

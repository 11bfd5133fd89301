"""What operators see of the reconciler."""

from prometheus_client import Counter, Gauge

DRIFT = Gauge("nexfit_drift", "Disagreements between the stores that the last comparison found.", ["kind"])
CHECKED = Counter("nexfit_reconcile_checked", "Rows and documents compared.", ["comparison"])
FINISHED = Gauge("nexfit_reconcile_finished_seconds", "When the last comparison ended, in seconds since 1970.")
GAP = Gauge("nexfit_feed_gap_seconds", "Age of the oldest gap in a feed that nothing has made up for.")

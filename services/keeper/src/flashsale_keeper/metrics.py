"""Metrics of the keeper."""

from prometheus_client import Counter, Gauge

ACTIVE = Gauge("flashsale_keeper_active", "1 in the keeper that acts, 0 in one that waits to take over")
SHARD_OPEN = Gauge("flashsale_shard_open", "1 while a shard is open for sales, by the keeper's last look; 0 while it is not", ["shard"])
INCARNATION = Gauge(
    "flashsale_shard_incarnation",
    "Incarnation of a shard; it rises with each rebuild, and when Redis was opened without everybody who may know of a loss",
    ["shard"],
)
RECOVERING_SECONDS = Gauge("flashsale_recovering_seconds", "How long shards have not been open; 0 while all are")
RESEALS = Counter("flashsale_reseals_total", "Times that a restarted or promoted Redis was opened again as it was")
REOPENS = Counter(
    "flashsale_reopens_total", "Times that a Redis was opened in a new incarnation, because not all who may know of a loss could be asked"
)
REBUILDS = Counter("flashsale_rebuilds_total", "Times that the shards of a Redis server were rebuilt from the ledger")
REBUILD_FAILURES = Counter("flashsale_rebuild_failures_total", "Rebuilds that were interrupted; each is tried again")
RESTOCKED_UNITS = Counter(
    "flashsale_keeper_restocked_units_total",
    "Units of returned orders that waited, although the ledger had their return, until the keeper put them on sale",
)
LATELY_LOST = Gauge("flashsale_lately_lost_entries", "Outbox entries that rebuilds of the last hour reported as lost, by the ledger")
LOST_ENTRIES = Counter("flashsale_lost_entries_total", "Outbox entries that a rebuild found neither in the ledger nor in Redis")

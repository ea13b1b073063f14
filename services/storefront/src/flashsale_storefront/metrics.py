"""Metrics of a storefront."""

from prometheus_client import Counter, Gauge, Histogram

REQUESTS = Counter("flashsale_storefront_requests_total", "Answers to browsers, by what was asked for and by status", ["what", "code"])
STREAMS = Gauge("flashsale_storefront_streams", "Event streams that are open")
STREAMS_ENDED = Counter(
    "flashsale_storefront_streams_ended_total",
    "Event streams that the storefront refused or ended: full, address (too many of one address), slow, gone, shutdown",
    ["reason"],
)
EVENTS = Counter("flashsale_storefront_events_total", "Events written to streams; a change of a sale is one for each of its streams")
CONNECTIONS_ENDED = Counter(
    "flashsale_storefront_connections_ended_total",
    "Connections that the storefront refused or ended: full, slow_head, large_head, pipelined, unread",
    ["reason"],
)
SALES = Gauge("flashsale_storefront_sales", "Sales that are read from Redis each second, because somebody watches them")
READ_SECONDS = Histogram(
    "flashsale_storefront_read_seconds", "Duration of one read of all watched sales",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)  # fmt: skip
READ_AGE_SECONDS = Gauge("flashsale_storefront_read_age_seconds", "Time since Redis was last read without an error")

"""Metrics of consuming, whatever the messages are."""

from prometheus_client import Counter, Gauge, Histogram

CONSUMED = Counter("flashsale_consumed_total", "Messages received, including redelivered ones", ["queue"])
REDELIVERED = Counter("flashsale_redelivered_total", "Messages that were delivered again", ["queue"])
BATCHES = Counter("flashsale_batches_total", "Batches processed and acknowledged", ["queue"])
BATCH_MESSAGES = Histogram("flashsale_batch_messages", "Messages in one batch", ["queue"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
BATCH_SECONDS = Histogram(
    "flashsale_batch_seconds", "Time from the start of a batch's processing to its acknowledgement", ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
RETRIES = Counter("flashsale_batch_retries_total", "Batches processed again because a store was away", ["queue"])
PARKED = Counter("flashsale_parked_total", "Messages parked, by reason", ["queue", "reason"])
PARKED_MESSAGES = Gauge("flashsale_parked_messages", "Messages parked now, which wait for a person", ["queue"])
CONSUMER_UP = Gauge("flashsale_consumer_up", "1 while this worker consumes the queue", ["queue"])

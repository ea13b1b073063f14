"""What is measured of consuming, whatever the messages are."""

from prometheus_client import Counter, Gauge, Histogram

CONSUMED = Counter("flashsale_consumed_total", "Messages received, redelivered ones included", ["queue"])
REDELIVERED = Counter("flashsale_redelivered_total", "Messages received again", ["queue"])
BATCHES = Counter("flashsale_batches_total", "Batches worked off and acknowledged", ["queue"])
BATCH_MESSAGES = Histogram("flashsale_batch_messages", "Messages in one batch", ["queue"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512))
BATCH_SECONDS = Histogram(
    "flashsale_batch_seconds", "From the batch's first message to its acknowledgement", ["queue"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)  # fmt: skip
RETRIES = Counter("flashsale_batch_retries_total", "Batches handed over again because a store was away", ["queue"])
PARKED = Counter("flashsale_parked_total", "Messages parked, by reason", ["queue", "reason"])
PARKED_MESSAGES = Gauge("flashsale_parked_messages", "Messages that are parked now and wait for a person", ["queue"])
CONSUMER_UP = Gauge("flashsale_consumer_up", "1 while there is a consumer on the queue", ["queue"])

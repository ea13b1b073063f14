"""Metrics of the connections to Redis, whichever service has them."""

from prometheus_client import Counter

WRONG_SERVER = Counter(
    "flashsale_redis_wrong_server", "Replies that mean that this Redis serves nobody now, such as READONLY; its connections are then closed"
)

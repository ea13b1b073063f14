"""What is measured of Redis' connections, whichever service has them."""

from prometheus_client import Counter

WRONG_SERVER = Counter(
    "flashsale_redis_wrong_server", "Replies by which a Redis said that it serves nobody now, such as READONLY; its connections are left"
)

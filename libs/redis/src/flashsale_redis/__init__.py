"""Opening Redis, one server or a cluster of them, for every service alike."""

from flashsale_redis.client import open_redis
from flashsale_redis.health import Health
from flashsale_redis.servers import infos, now_ms, one_slot_groups
from flashsale_redis.urls import checked_url

__all__ = ["Health", "checked_url", "infos", "now_ms", "one_slot_groups", "open_redis"]

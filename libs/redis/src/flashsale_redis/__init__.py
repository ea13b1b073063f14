"""Opens Redis for every service, whether it is a single server, the master that Sentinels name, or a cluster."""

from flashsale_redis.client import open_redis
from flashsale_redis.errors import is_wrong_server, server_of
from flashsale_redis.health import Health
from flashsale_redis.sentinel_urls import checked_url
from flashsale_redis.servers import history_near, infos, is_cluster, now_ms, one_slot_groups, ping_near
from flashsale_redis.single import refuse_replica

__all__ = [
    "Health",
    "checked_url",
    "history_near",
    "infos",
    "is_cluster",
    "is_wrong_server",
    "now_ms",
    "one_slot_groups",
    "open_redis",
    "ping_near",
    "refuse_replica",
    "server_of",
]

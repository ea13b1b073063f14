"""Redis for tests, without any of our code: redis-py's own clients for one server or a cluster."""

from typing import Any

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

from flashsale_redis.urls import cluster_url


def redis_client(url: str) -> Any:
    """A client, which is a context manager. Its CONFIG SET reaches every master."""
    cluster = cluster_url(url)
    if cluster is None:
        return Redis.from_url(url)
    user, _, password = cluster.credentials.removesuffix("@").partition(":")
    node: Any = ClusterNode
    return RedisCluster(startup_nodes=[node(*seed) for seed in cluster.seeds], username=user or None, password=password)


def on_all_masters(client: Any) -> dict[str, Any]:
    """Options that send a command without a key to every master."""
    return {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}

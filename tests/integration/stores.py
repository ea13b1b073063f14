"""A look into Redis past all that is ours: redis-py's own clients, of one server or of a cluster."""

from typing import Any

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

from flashsale_redis.urls import cluster_url


def look_into(url: str) -> Any:
    """A client that is a context manager. CONFIG SET goes to every master by itself."""
    cluster = cluster_url(url)
    if cluster is None:
        return Redis.from_url(url)
    user, _, password = cluster.credentials.removesuffix("@").partition(":")
    node: Any = ClusterNode
    return RedisCluster(startup_nodes=[node(*seed) for seed in cluster.seeds], username=user or None, password=password)


def at_all(client: Any) -> dict[str, Any]:
    """Options of a command without a key that every master is to have."""
    return {"target_nodes": RedisCluster.PRIMARIES} if isinstance(client, RedisCluster) else {}

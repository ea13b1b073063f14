"""`open_redis` returns the client for a URL."""

from functools import partial

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from flashsale_core.errors import SettingsError
from flashsale_redis.cluster import Cluster
from flashsale_redis.packing import packing
from flashsale_redis.single import Pool, Single
from flashsale_redis.urls import Address, ClusterUrl, cluster_url


def open_redis(url: str, timeout_seconds: float, connections_max: int) -> Redis:
    """A client that repeats no command whose answer was lost: only the caller knows whether that is safe.

    `connections_max` applies to each server: a cluster's client has that many to each master. Nothing is connected yet.
    Raises SettingsError if the URL is not valid.
    """
    connect = partial(_connect, timeout_seconds=timeout_seconds, connections_max=connections_max)
    cluster = cluster_url(url)
    if cluster is None:
        return connect(url)
    return Cluster(cluster.seeds, partial(_connect_node, connect, cluster))


def _connect_node(connect: "partial[Redis]", cluster: ClusterUrl, address: Address) -> Redis:
    return connect(cluster.node_url(address))


def _connect(url: str, timeout_seconds: float, connections_max: int) -> Redis:
    try:
        pool = Pool.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            max_connections=connections_max,
            timeout=timeout_seconds,
        )
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from error
    # The URL determines the class: plain, TLS or a Unix socket.
    pool.connection_class = packing(pool.connection_class)
    return Single.from_pool(pool)

"""`open_redis` returns the client for a URL."""

from functools import partial

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

from flashsale_core.errors import SettingsError
from flashsale_redis.certificates import renewing
from flashsale_redis.cluster import Cluster
from flashsale_redis.followed import Followed
from flashsale_redis.packing import packing
from flashsale_redis.prompt_writes import writing_promptly
from flashsale_redis.resets import reporting_resets
from flashsale_redis.sentinel_urls import SentinelUrl, sentinel_url
from flashsale_redis.sentinels import ANSWER_SECONDS, Sentinels
from flashsale_redis.single import Pool, Single
from flashsale_redis.urls import Address, ClusterUrl, cluster_url

SENTINEL_CONNECTIONS_MAX = 2
"""To each Sentinel: one question at a time, and one more while a question that took too long ends."""

# Where redis-py would take notifications of maintenance, which it does unless told otherwise, its pools do not look whether a connection
# was closed before they use it. Then each connection of before a restart of Redis fails a command, whose outcome is unknown.
_NO_NOTIFICATIONS = MaintNotificationsConfig(enabled=False)


def open_redis(url: str, timeout_seconds: float, connections_max: int) -> Redis:
    """A client that repeats no command whose answer was lost: only the caller knows whether that is safe.

    `connections_max` applies to each server: a cluster's client has that many to each master. Nothing is connected yet.
    Raises SettingsError if the URL is not valid.
    """
    connect = partial(_connect, timeout_seconds=timeout_seconds, connections_max=connections_max)
    if (sentinels := sentinel_url(url)) is not None:
        return _connect_followed(sentinels, timeout_seconds, connections_max)
    if (cluster := cluster_url(url)) is not None:
        return Cluster(cluster.seeds, partial(_connect_node, connect, cluster))
    return connect(url)


def _connect_node(connect: "partial[Redis]", cluster: ClusterUrl, address: Address) -> Redis:
    return connect(cluster.node_url(address))


def _connect_followed(url: SentinelUrl, timeout_seconds: float, connections_max: int) -> Redis:
    sentinels = Sentinels(url.service, url.sentinels, partial(_connect_sentinel, url))
    return Followed(_pool(url.master_url, timeout_seconds, connections_max), sentinels)


def _connect_sentinel(url: SentinelUrl, address: Address) -> Redis:
    return Redis.from_pool(_pool(url.sentinel_url(address), ANSWER_SECONDS, SENTINEL_CONNECTIONS_MAX))


def _connect(url: str, timeout_seconds: float, connections_max: int) -> Redis:
    return Single.from_pool(_pool(url, timeout_seconds, connections_max))


def _pool(url: str, timeout_seconds: float, connections_max: int) -> Pool:
    try:
        pool = Pool.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=timeout_seconds,
            socket_connect_timeout=timeout_seconds,
            max_connections=connections_max,
            timeout=timeout_seconds,
            maint_notifications_config=_NO_NOTIFICATIONS,
        )
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from error
    # The URL determines the class: plain, TLS or a Unix socket.
    pool.connection_class = packing(writing_promptly(reporting_resets(renewing(pool.connection_class))))
    return pool

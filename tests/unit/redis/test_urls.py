"""REDIS_URL: one server, a cluster, or an error that names the cure and shows no password."""

from typing import Any

import pytest

from flashsale_core.errors import SettingsError
from flashsale_redis import checked_url, open_redis
from flashsale_redis.cluster import Cluster
from flashsale_redis.followed import Followed
from flashsale_redis.single import Single
from flashsale_redis.urls import ClusterUrl, cluster_url


@pytest.mark.parametrize("url", ["redis://sales/", "redis://u:p@h:1/0", "rediss://h", "unix:///run/redis.sock"])
def test_single_server_is_no_cluster(url: str) -> None:
    assert (cluster_url(url), checked_url(url)) == (None, url)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis+cluster://h", ClusterUrl("redis", "", (("h", 6379),), "")),
        ("redis+cluster://u:p%40x@a:1,b:2,c/0", ClusterUrl("redis", "u:p%40x@", (("a", 1), ("b", 2), ("c", 6379)), "")),
        ("rediss+cluster://:p@[::1]:7,[fd00::2]/?protocol=2", ClusterUrl("rediss", ":p@", (("::1", 7), ("fd00::2", 6379)), "protocol=2")),
    ],
)
def test_cluster_url_names_nodes(url: str, expected: ClusterUrl) -> None:
    assert cluster_url(url) == expected


def test_each_node_gets_the_credentials_and_options_of_the_url() -> None:
    cluster = cluster_url("rediss+cluster://u:p%40x@a:1?ssl_check_hostname=false")
    assert cluster is not None
    assert cluster.node_url(("10.0.0.7", 7001)) == "rediss://u:p%40x@10.0.0.7:7001/0?ssl_check_hostname=false"
    assert cluster.node_url(("::1", 7001)) == "rediss://u:p%40x@[::1]:7001/0?ssl_check_hostname=false"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sales",
        "http://u:secret@h",
        "redis://",
        "redis://u:secret@:6379/0",
        "redis://u:secret@h:port/0",
        "redis://:sec/ret@h:6379/0",
        "redis://[::1/0",
        "'redis://u:secret@h/0'",
        "redis://u:secret@h/0\n",
        "redis+cluster://",
        "redis+cluster://u:secret@",
        "redis+cluster://u:secret@a,,b",
        "redis+cluster://u:secret@a:0",
        "redis+cluster://u:secret@a:65536",
        "redis+cluster://u:secret@a:x",
        "redis+cluster://u:secret@a b",
        "redis+cluster://u:secret@a/3",
    ],
)
def test_other_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL") as refused:
        checked_url(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://nowhere/", "redis+cluster://nowhere", "redis+sentinel://nowhere/m"])
async def test_clients_never_retry_and_wait_for_a_free_connection(url: str) -> None:
    redis = open_redis(url, timeout_seconds=1.5, connections_max=7)
    pool: Any = redis.connection_pool
    retries = int(pool.connection_kwargs["retry"].get_retries())
    kind = Followed if "sentinel" in url else Cluster if "cluster" in url else Single
    assert (type(redis), retries, pool.max_connections, pool.connection_kwargs["socket_timeout"]) == (
        kind,
        0,
        7,
        1.5,
    )

"""TLS connections to Redis share a context that trusts only the named authority, until a file changes."""

import shutil
from pathlib import Path
from ssl import SSLContext
from typing import Any

import pytest
from redis.asyncio.connection import Connection

from flashsale_redis import open_redis
from flashsale_redis.certificates import renewing
from tests.certificates import Authority


def contexts(url: str, count: int) -> list[SSLContext]:
    pool: Any = open_redis(url, 5, count).connection_pool
    return [pool.make_connection()._connection_arguments()["ssl"] for _ in range(count)]


def test_connections_of_a_pool_share_a_context_until_a_file_changes(tmp_path: Path) -> None:
    old, new, file = Authority(tmp_path, "old"), Authority(tmp_path, "new"), tmp_path / "ca.crt"
    shutil.copy(old.cert, file)
    pool: Any = open_redis(f"rediss://h?ssl_ca_certs={file}", 5, 1).connection_pool
    connection = pool.make_connection()
    first = connection._connection_arguments()["ssl"]
    assert [authority["subject"] for authority in first.get_ca_certs()] == [((("commonName", "old"),),)]
    assert connection._connection_arguments()["ssl"] is first
    shutil.copy(new.cert, file)
    assert [authority["subject"] for authority in connection._connection_arguments()["ssl"].get_ca_certs()] == [((("commonName", "new"),),)]
    file.unlink()
    with pytest.raises(FileNotFoundError):
        connection._connection_arguments()


def test_two_connections_share_a_context() -> None:
    first, second = contexts("rediss://h", 2)
    assert first is second


def test_connection_without_tls_is_as_before() -> None:
    assert renewing(Connection) is Connection

"""Which replies mean that a server is the wrong one, and the role in a HELLO reply."""

from typing import Any

import pytest
from redis.exceptions import (
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from flashsale_redis import is_wrong_server
from flashsale_redis.roles import role_of


@pytest.mark.parametrize(
    ("error", "wrong"),
    [
        (ReadOnlyError("You can't write against a read only replica."), True),
        (BusyLoadingError("Redis is loading the dataset in memory"), True),
        (MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."), True),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)"), True),
        (RedisConnectionError("Connection refused"), False),
        (ClusterDownError("The cluster is down"), False),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), False),
        (NoScriptError("No matching script."), False),
        (ResponseError("INVARIANT total 1 is not available 2"), False),
    ],
)
def test_reply_concerns_the_server_or_only_the_command(error: RedisError, wrong: bool) -> None:
    assert is_wrong_server(error) is wrong


@pytest.mark.parametrize(
    ("reply", "role"),
    [
        ({b"server": b"redis", b"role": b"replica"}, b"replica"),
        ([b"server", b"redis", b"role", b"master"], b"master"),
        ([b"server"], None),
        ({}, None),
    ],
)
def test_role_is_read_from_both_protocols(reply: Any, role: bytes | None) -> None:
    assert role_of(reply) == role

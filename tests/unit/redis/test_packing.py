"""Commands packed by hiredis are, byte for byte, those that redis-py packs."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import DataError

from flashsale_redis import open_redis
from flashsale_redis.packing import PacksByHiredis, packing

ARGUMENTS = st.text(max_size=20) | st.binary(max_size=20) | st.integers() | st.floats()
NAMES = st.sampled_from(["GET", "CONFIG GET", "SCRIPT LOAD", b"XADD", b"CONFIG SET", "évalsha"])


@settings(deadline=None)
@given(NAMES, st.lists(ARGUMENTS, max_size=6))
def test_packed_commands_equal_those_of_redis_py(name: str | bytes, arguments: list[Any]) -> None:
    ours, theirs = packing(Connection)(), Connection()
    assert b"".join(ours.pack_command(name, *arguments)) == b"".join(theirs.pack_command(name, *arguments))
    both = [(name, *arguments), ("PING",)]
    assert b"".join(ours.pack_commands(both)) == b"".join(theirs.pack_commands(both))


def test_invalid_argument_raises_as_in_redis_py() -> None:
    with pytest.raises(DataError):
        packing(Connection)().pack_command("SET", "a", None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://127.0.0.1:1", Connection),
        ("rediss://127.0.0.1:1", SSLConnection),
        ("unix:///nowhere", UnixDomainSocketConnection),
    ],
)
def test_every_transport_packs_with_hiredis(url: str, transport: type[Connection]) -> None:
    connection = open_redis(url, 1, 1).connection_pool.make_connection()  # type: ignore[no-untyped-call]
    assert isinstance(connection, PacksByHiredis)
    assert isinstance(connection, transport)

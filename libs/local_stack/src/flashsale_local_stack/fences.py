"""Looks whether the keeper has opened Redis for the history that it has now. Services may report an older look."""

from typing import Any

from redis import Redis
from redis.exceptions import MovedError, RedisError

from flashsale_core.fence import OPEN
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_local_stack.state import HOST, State

TIMEOUT_SECONDS = 5.0


def are_open(state: State) -> bool:
    """Whether the fence of each shard is open on the server that holds it."""
    shards = range(int(state.extra_env.get("FLASHSALE_SHARDS") or SHARDS_DEFAULT))
    ports = [node.port for node in state.redis_nodes] or [state.ports.redis]
    try:
        return sum(_open_at(port, state.secrets.redis, shards) for port in ports) == len(shards)
    except RedisError:
        return False


def _open_at(port: int, password: str, shards: range) -> int:
    """How many of the shards are open on the server at `port`."""
    with Redis(host=HOST, port=port, password=password, socket_timeout=TIMEOUT_SECONDS) as client:
        info: Any = client.info("replication")
        expected = [OPEN.encode(), str(info["master_replid"]).encode()]
        return sum(_fence(client, shard) == expected for shard in shards)


def _fence(client: "Redis", shard: int) -> Any:
    try:
        return client.hmget(shard_keys(shard).fence, ["state", "replid"])
    except MovedError:
        # Another master of the cluster has it.
        return None

"""Functions that work alike for a single server and a cluster."""

from collections.abc import Iterable, Mapping
from typing import Any

from redis.asyncio import Redis

from flashsale_core.redis_info import SAFETY_SETTINGS
from flashsale_redis.cluster import Cluster
from flashsale_redis.slots import slot_of


async def now_ms(redis: Redis, near: str) -> int:
    """The clock of the server with the key `near`: times that a script wrote there are by that clock."""
    seconds, micros = await (redis.at(near, "TIME") if isinstance(redis, Cluster) else redis.time())
    return int(seconds) * 1000 + int(micros) // 1000


def is_cluster(redis: Redis) -> bool:
    return isinstance(redis, Cluster)


async def ping_near(redis: Redis, near: str) -> None:
    """PING the server with the key `near`. Raises like any command."""
    await (redis.at(near, "PING") if isinstance(redis, Cluster) else redis.ping())


async def history_near(redis: Redis, near: str) -> str:
    """The replication id of the server with the key `near`, which is new after each restart and promotion. Raises like a command."""
    info: Any = await (redis.at(near, "INFO", "replication") if isinstance(redis, Cluster) else redis.info("replication"))
    return str(info.get("master_replid", ""))


async def infos(redis: Redis) -> Mapping[str, Mapping[str, Any]]:
    """INFO of each server that answers, by address; a single server's address is empty. Raises like a command if no server answers."""
    if isinstance(redis, Cluster):
        return {f"{host}:{port}": info for (host, port), info in (await redis.everywhere("INFO", "everything")).items()}
    return {"": await redis.info("everything")}


async def safety_settings(redis: Redis) -> Mapping[str, Mapping[Any, Any]]:
    """SAFETY_SETTINGS of each server, by the addresses of `infos`. Raises ResponseError where the user may not read them."""
    if isinstance(redis, Cluster):
        return {f"{host}:{port}": settings for (host, port), settings in (await redis.everywhere("CONFIG GET", *SAFETY_SETTINGS)).items()}
    return {"": await redis.config_get(*SAFETY_SETTINGS)}


def one_slot_groups(redis: Redis, keys: Iterable[str]) -> list[list[str]]:
    """The keys in groups, each of which one command may name: all keys on a single server, the keys of one slot on a cluster."""
    if not isinstance(redis, Cluster):
        return [list(keys)]
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(slot_of(key), []).append(key)
    return list(groups.values())

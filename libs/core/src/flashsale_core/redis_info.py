"""Finds faults in the INFO of a Redis server, with its SAFETY_SETTINGS where they are known. Pure: libs/redis asks the servers."""

from collections.abc import Callable, Mapping

Info = Mapping[str, object]
SAFETY_SETTINGS = ("appendfsync", "no-appendfsync-on-rewrite", "min-replicas-to-write")
"""Settings of how a server writes to its disk and to its replicas; INFO does not contain them."""


def first_fault(servers: Mapping[str, Info], judge: Callable[[Info], str | None]) -> str | None:
    """The first fault that `judge` finds among the masters that answer, with its address. One that is away stops only its own sales."""
    for address, info in servers.items():
        if (fault := judge(info)) is not None:
            return f"{address}: {fault}" if address else fault
    return None


def version_fault(info: Info) -> str | None:
    """None when the scripts can run on this server: Redis >= 7.0, or Valkey, which also reports a Redis version."""
    version = str(info.get("redis_version", ""))
    major = version.split(".")[0]
    return f"Redis {version} is too old; use Redis >= 7.0 or Valkey >= 8" if major.isdigit() and int(major) < 7 else None


def replicas_fault(info: Info) -> str | None:
    """Why this server refuses every write with NOREPLICAS; None if it does not. INFO counts good replicas only where some are required."""
    good, required = info.get("min_slaves_good_slaves"), int(str(info.get("min-replicas-to-write", 1)))
    if good is None or int(str(good)) >= required:
        return None
    return f"Redis takes no writes: {good} of {required} required replicas keep up (min-replicas-to-write)"


def durability_fault(info: Info) -> str | None:
    """Why this server may lose an acknowledged order; None if it does not."""
    if not info.get("aof_enabled"):
        return "Redis keeps no append-only file; set `appendonly yes` and `appendfsync always`"
    if info.get("appendfsync", "always") != "always":
        return f"Redis answers before its disk has it (appendfsync {info['appendfsync']}); set `appendfsync always`"
    if info.get("no-appendfsync-on-rewrite", "no") != "no":
        return "Redis does not wait for its disk while it rewrites its append-only file; set `no-appendfsync-on-rewrite no`"
    if info.get("aof_last_write_status") == "err":
        return "Redis cannot write its append-only file; look at its disk"
    if info.get("maxmemory_policy") != "noeviction":
        return f"Redis may evict sales (maxmemory-policy {info.get('maxmemory_policy')}); set `maxmemory-policy noeviction`"
    return None

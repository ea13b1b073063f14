"""What a Redis' INFO, with FSYNC_SETTINGS where it tells them, says against it. Pure: libs/redis asks, for gateway and operator."""

from collections.abc import Callable, Mapping

Info = Mapping[str, object]
FSYNC_SETTINGS = ("appendfsync", "no-appendfsync-on-rewrite")
"""What INFO does not say of how a server writes to its disk."""


def first_fault(servers: Mapping[str, Info], judge: Callable[[Info], str | None]) -> str | None:
    """Of the masters that answer, by address. One that is away keeps its own sales from selling, and the others' not."""
    for address, info in servers.items():
        if (fault := judge(info)) is not None:
            return f"{address}: {fault}" if address else fault
    return None


def version_fault(info: Info) -> str | None:
    """None when the scripts can run on this server: Redis >= 7.0, or Valkey, which tells of a Redis version too."""
    version = str(info.get("redis_version", ""))
    major = version.split(".")[0]
    return f"Redis {version} is too old; use Redis >= 7.0 or Valkey >= 8" if major.isdigit() and int(major) < 7 else None


def durability_fault(info: Info) -> str | None:
    """What breaks the promise that an acknowledged order is never forgotten; None when nothing does."""
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

"""Names of Redis keys.

The shard tag in braces keeps all keys of one script call in one cluster slot (Redis Cluster specification, "hash tags").
"""

import zlib
from dataclasses import dataclass
from functools import lru_cache

SHARDS_DEFAULT = 16
WAITS = "fs:waits"
"""When a probe of each payment window last came home (hash: window in seconds -> ms)."""


@dataclass(frozen=True, slots=True)
class SaleKeys:
    sale: str
    orders: str
    buyers: str
    rate_even: str
    rate_odd: str


@dataclass(frozen=True, slots=True)
class ShardKeys:
    deadlines: str
    outbox: str
    """What any gateway publishes."""
    direct: str
    """What the gateway that made it publishes, from the script's answer."""
    strays: str
    """Payments for orders that nobody knew."""
    sales: str


def shard_of(sale_id: str, shards: int = SHARDS_DEFAULT) -> int:
    """The shard of a sale: CRC-32 modulo the number of shards; the same in every process and release."""
    return zlib.crc32(sale_id.encode()) % shards


def sale_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> SaleKeys:
    prefix = f"fs:{{{shard_of(sale_id, shards)}}}:{sale_id}"
    return SaleKeys(
        sale=f"{prefix}:sale",
        orders=f"{prefix}:orders",
        buyers=f"{prefix}:buyers",
        rate_even=f"{prefix}:rate:0",
        rate_odd=f"{prefix}:rate:1",
    )


@lru_cache(maxsize=4096)
def shard_keys(shard: int) -> ShardKeys:
    prefix = f"fs:{{{shard}}}"
    return ShardKeys(
        deadlines=f"{prefix}:deadlines",
        outbox=f"{prefix}:outbox",
        direct=f"{prefix}:direct",
        strays=f"{prefix}:strays",
        sales=f"{prefix}:sales",
    )


def deadline_member(sale_id: str, order_id: str) -> str:
    return f"{sale_id}|{order_id}"


def split_deadline_member(member: str) -> tuple[str, str]:
    """The (sale id, order id) of a member of the deadlines set."""
    sale_id, _, order_id = member.partition("|")
    return sale_id, order_id

"""Names of Redis keys.

The shard tag in braces keeps all keys of one script call in one cluster slot (Redis Cluster specification, "hash tags").
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

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


def define_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """What `define` and `retire` are given."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd, shard.sales, shard.outbox)


def order_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """What `cancel` and `expire` are given."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.outbox)


def reserve_keys(sale_ids: Sequence[str], shards: int = SHARDS_DEFAULT, direct: bool = False) -> list[str]:
    """What `reserve` is given for these sales, of one slot on a cluster, with one or the other outbox."""
    return _call_keys(_reserved, sale_ids, shards, direct)


def settle_keys(sale_ids: Sequence[str], shards: int = SHARDS_DEFAULT, direct: bool = False) -> list[str]:
    """What `settle` is given for these sales, of one slot on a cluster, with one or the other outbox."""
    return _call_keys(_settled, sale_ids, shards, direct)


def _call_keys(keys_of: Callable[[str, int], Sequence[str]], sale_ids: Sequence[str], shards: int, direct: bool) -> list[str]:
    shard = shard_keys(shard_of(sale_ids[0], shards))
    return [shard.direct if direct else shard.outbox, *chain.from_iterable([keys_of(sale_id, shards) for sale_id in sale_ids])]


# A sale's keys are named with every call that it has a part in: as many sales as this are not reckoned anew each time.
@lru_cache(maxsize=16_384)
def _reserved(sale_id: str, shards: int) -> tuple[str, ...]:
    sale = sale_keys(sale_id, shards)
    return (sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd, shard_keys(shard_of(sale_id, shards)).deadlines)


@lru_cache(maxsize=16_384)
def _settled(sale_id: str, shards: int) -> tuple[str, ...]:
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.strays)


def deadline_member(sale_id: str, order_id: str) -> str:
    return f"{sale_id}|{order_id}"


def split_deadline_member(member: str) -> tuple[str, str]:
    """The (sale id, order id) of a member of the deadlines set."""
    sale_id, _, order_id = member.partition("|")
    return sale_id, order_id

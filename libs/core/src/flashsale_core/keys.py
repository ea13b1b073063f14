"""Names of Redis keys.

The shard tag in braces keeps all keys of one script call in one cluster slot (Redis Cluster specification, "hash tags").
"""

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

SHARDS_DEFAULT = 16
INSTALLATION_DEFAULT = "flashsale"
"""The name of an installation in fences and in the ledger, so that two installations never share a Redis unnoticed."""
WAITS = "fs:waits"
"""When a probe last returned from the wait queue of each payment window (hash: window in seconds -> ms)."""


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
    """The shared outbox: any gateway publishes its entries."""
    direct: str
    """The direct outbox: the gateway that called the script publishes the entry from the script's answer."""
    strays: str
    """Payments for orders that did not exist."""
    sales: str
    fence: str
    """The history of Redis that scripts may write to (lua/lib/fence.lua)."""
    gateways: str
    """What each gateway knows of the shard (lua/attest.lua)."""
    quarantine: str
    """Order records that a rebuild could not read, and that the ledger did not have (lua/restore.lua)."""


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
        fence=f"{prefix}:fence",
        gateways=f"{prefix}:gateways",
        quarantine=f"{prefix}:quarantine",
    )


def define_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """The keys of a call of `define` or `retire`."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd, shard.sales, shard.outbox, shard.fence)


def order_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """The keys of a call of `cancel` or `expire`."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.outbox, shard.fence)


def return_keys(sale_id: str, shards: int = SHARDS_DEFAULT, direct: bool = False) -> tuple[str, ...]:
    """The keys of a call of `return_order`, with the direct or the shared outbox."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, shard.direct if direct else shard.outbox, shard.fence)


def restock_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """The keys of a call of `restock`."""
    sale = sale_keys(sale_id, shards)
    return (sale.sale, sale.orders, shard_keys(shard_of(sale_id, shards)).fence)


def reclaim_keys(shard: int) -> tuple[str, ...]:
    """The keys of a call of `reclaim`."""
    keys = shard_keys(shard)
    return (keys.direct, keys.outbox, keys.fence)


def restore_keys(sale_id: str, shards: int = SHARDS_DEFAULT) -> tuple[str, ...]:
    """The keys of a call of `restore`."""
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (shard.fence, shard.outbox, shard.sales, shard.deadlines, shard.strays, sale.sale, sale.orders, sale.buyers, shard.quarantine)


def attest_keys(shard: int) -> tuple[str, ...]:
    """The keys of a call of `attest`."""
    keys = shard_keys(shard)
    return (keys.fence, keys.gateways)


def reserve_keys(sale_ids: Sequence[str], shards: int = SHARDS_DEFAULT, direct: bool = False) -> list[str]:
    """The keys of a call of `reserve`, with the direct or the shared outbox. On a cluster, all sales are of one slot."""
    return _call_keys(_reserved, sale_ids, shards, direct)


def settle_keys(sale_ids: Sequence[str], shards: int = SHARDS_DEFAULT, direct: bool = False) -> list[str]:
    """The keys of a call of `settle`, with the direct or the shared outbox. On a cluster, all sales are of one slot."""
    return _call_keys(_settled, sale_ids, shards, direct)


def _call_keys(keys_of: Callable[[str, int], Sequence[str]], sale_ids: Sequence[str], shards: int, direct: bool) -> list[str]:
    shard = shard_keys(shard_of(sale_ids[0], shards))
    return [shard.direct if direct else shard.outbox, *chain.from_iterable([keys_of(sale_id, shards) for sale_id in sale_ids])]


# Every call names the keys of its sales, so those of the sales that are called most are cached.
@lru_cache(maxsize=16_384)
def _reserved(sale_id: str, shards: int) -> tuple[str, ...]:
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, sale.rate_even, sale.rate_odd, shard.deadlines, shard.fence, shard.outbox)


@lru_cache(maxsize=16_384)
def _settled(sale_id: str, shards: int) -> tuple[str, ...]:
    sale, shard = sale_keys(sale_id, shards), shard_keys(shard_of(sale_id, shards))
    return (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.strays, shard.fence, shard.outbox)


def deadline_member(sale_id: str, order_id: str) -> str:
    return f"{sale_id}|{order_id}"


def split_deadline_member(member: str) -> tuple[str, str]:
    """The (sale id, order id) of a member of the deadlines set."""
    sale_id, _, order_id = member.partition("|")
    return sale_id, order_id

"""Holds in great number, put into Redis by the script that puts them there for buyers."""

import asyncio
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

from flashsale_core.keys import reserve_keys
from flashsale_core.scripts import Order, call, pack_orders, read_scripts
from tools.bench.site import Site

BATCH = 256
AT_ONCE = 4


async def seed(site: Site, sale_id: str, count: int, clock_ms: int | None = None) -> int:
    """`count` holds of one unit by as many buyers, of ids as long as those of people; all at `clock_ms`, or as the clock goes.

    Returns the last deadline in ms.
    """
    scripts = read_scripts(Path(site.environment.text("FLASHSALE_LUA_DIR")))
    keys = reserve_keys([sale_id])
    clock, latest = "" if clock_ms is None else str(clock_ms), 0

    async def batch(first: int) -> int:
        orders = [Order(_order_id(), f"user-{number:08d}", 1) for number in range(first, min(first + BATCH, count))]
        _, results, _ = await call(site.redis, scripts.reserve, keys, pack_orders([(sale_id, orders)]), clock)
        if any(result[0] != "accepted" for result in results):
            raise RuntimeError(f"{sale_id}: a hold was not accepted: {results[0]}")
        return int(results[-1][2])

    for start in range(0, count, BATCH * AT_ONCE):
        firsts = range(start, min(start + BATCH * AT_ONCE, count), BATCH)
        latest = max(latest, *await asyncio.gather(*map(batch, firsts)))
    return latest


def _order_id() -> str:
    return urlsafe_b64encode(secrets.token_bytes(15)).decode()

"""Puts a large number of holds into Redis, with the same script that reserves for buyers."""

import asyncio
import secrets
from base64 import urlsafe_b64encode
from pathlib import Path

from flashsale_core.keys import reserve_keys
from flashsale_core.scripts import Order, call, pack_orders, read_scripts
from tools.bench.testbed import Testbed

BATCH = 256
AT_ONCE = 4


async def seed_holds(testbed: Testbed, sale_id: str, count: int, clock_ms: int | None = None) -> int:
    """Make `count` holds of one unit, each of another buyer, with ids as long as real ones. All start at `clock_ms`, or at Redis' clock.

    Returns the last deadline in Unix milliseconds. Raises RuntimeError when a hold is refused.
    """
    scripts = read_scripts(Path(testbed.environment.text("FLASHSALE_LUA_DIR")))
    keys = reserve_keys([sale_id])
    clock, latest_ms = "" if clock_ms is None else str(clock_ms), 0

    async def seed_batch(first: int) -> int:
        orders = [Order(_order_id(), f"user-{index:08d}", 1) for index in range(first, min(first + BATCH, count))]
        _, results, *_ = await call(testbed.redis, scripts.reserve, keys, pack_orders([(sale_id, orders)]), clock)
        if any(result[0] != "accepted" for result in results):
            raise RuntimeError(f"{sale_id}: a hold was not accepted: {results[0]}")
        return int(results[-1][2])

    for start in range(0, count, BATCH * AT_ONCE):
        firsts = range(start, min(start + BATCH * AT_ONCE, count), BATCH)
        latest_ms = max(latest_ms, *await asyncio.gather(*map(seed_batch, firsts)))
    return latest_ms


def _order_id() -> str:
    return urlsafe_b64encode(secrets.token_bytes(15)).decode()

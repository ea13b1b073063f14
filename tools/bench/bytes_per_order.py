"""`python -m tools.bench.bytes_per_order`: what an order takes in Redis' memory, in its file and in the ledger, for docs/sizing.md.

It starts servers of its own, fills the ledger as a real sale would have, and rebuilds Redis from it.
"""

from pathlib import Path
from time import time
from typing import Annotated

import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_cli.console import console, number
from flashsale_cli.environment import CliEnvironment
from flashsale_core.scripts import read_scripts
from flashsale_local_stack import private_stack
from flashsale_redis import open_redis
from tools.bench.rebuild import CONNECTIONS, TIMEOUT_SECONDS, Shop
from tools.bench.seed_ledger import Seed, seed_ledger

LEDGER = "select sum(pg_total_relation_size(oid)) from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace"
"""Bytes of all tables with their indexes."""


async def measure(environment: CliEnvironment, orders: int, screen: Console) -> None:
    scripts = read_scripts(Path(environment.text("FLASHSALE_LUA_DIR")))
    ledger = await asyncpg.connect(environment.text("DATABASE_URL"))
    try:
        async with open_redis(environment.text("REDIS_URL"), TIMEOUT_SECONDS, CONNECTIONS) as redis:
            empty = (await redis.info("memory"))["used_memory"], await ledger.fetchval(LEDGER)
            seed = Seed("bench-bytes", orders)
            await seed_ledger(ledger, seed, round(time() * 1000))
            await Shop(environment, redis, scripts, ledger).recover(seed.sale_id)
            full = (await redis.info("memory"))["used_memory"], await ledger.fetchval(LEDGER)
            log = (await redis.info("persistence"))["aof_current_size"]
    finally:
        await ledger.close()
    memory, tables = (after - before for before, after in zip(empty, full, strict=True))
    for name, size in (
        ("Redis, memory", memory),
        ("Redis, append-only file before its rewrite", log),
        ("ledger, tables and indexes", tables),
    ):
        screen.print(Text(f"{name}: {size / orders:.0f} bytes an order ({number(orders)} orders)"))


def main(orders: Annotated[int, typer.Option(help="Orders of the sale.", min=1)] = 1_000_000) -> None:
    screen = console()
    with private_stack(services=False, say=lambda words: screen.print(Text(words, "dim"))) as stack:
        uvloop.run(measure(CliEnvironment(stack.env()), orders, screen))


if __name__ == "__main__":
    typer.run(main)

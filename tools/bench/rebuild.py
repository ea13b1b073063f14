"""`python -m tools.bench.rebuild`: how long a shop with an empty Redis waits for its first sale, rebuilt from the ledger.

It starts servers of its own, without services, fills the ledger, and lets the first order decide: only one unit is left.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import monotonic, time
from typing import Annotated, Any

import asyncpg
import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_audit.audit_all import Options, Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, console, number
from flashsale_cli.environment import CliEnvironment
from flashsale_core.fence import OPEN
from flashsale_core.keys import SHARDS_DEFAULT, reserve_keys, shard_keys, shard_of
from flashsale_core.messages import read
from flashsale_core.scripts import Order, Scripts, call, pack_orders, read_scripts
from flashsale_local_stack import private_stack
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository
from flashsale_recovery.rebuild import RebuildContext, RebuildReport, rebuild, verify
from flashsale_redis import now_ms, open_redis
from flashsale_redis.fences import read_fence, seal
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.options import ResultFolder
from tools.bench.processes import redis_cpu_seconds
from tools.bench.result_file import section_to_json
from tools.bench.run import RESULTS, write
from tools.bench.seed_ledger import Seed, seed_ledger

SHARDS = range(SHARDS_DEFAULT)
INCARNATION = 1
TARGETS = {10_000: Target(3.0, at_least=False), 1_000_000: Target(60.0, at_least=False)}
"""Orders -> seconds from an empty Redis to the first sale."""
TIMEOUT_SECONDS = 120.0
CONNECTIONS = 8


@dataclass(frozen=True, slots=True)
class Done:
    report: RebuildReport
    rebuild_seconds: float
    verify_seconds: float
    first_sale_seconds: float
    memory_mb: float
    """By which the largest size of this process grew."""
    own_cpu_seconds: float
    redis_cpu_seconds: float
    """CPU time tells more than seconds on a machine that does other work at the same time."""


@dataclass(frozen=True, slots=True)
class Shop:
    environment: CliEnvironment
    redis: Any
    scripts: Scripts
    ledger: "asyncpg.Connection[asyncpg.Record]"

    async def seal(self, state: str) -> None:
        for shard in SHARDS:
            fence = await read_fence(self.redis, shard)
            fields: dict[str, str | int] = {"state": state, "incarnation": INCARNATION, "seq": fence.seq}
            if await seal(self.redis, self.scripts, shard, fence, fields, accept_history=state != OPEN) is None:
                raise RuntimeError(f"the fence of shard {shard} changed")

    async def recover(self, sale_id: str) -> Done:
        """Rebuild an empty Redis, check it, open it, and sell the last unit.

        Raises RuntimeError unless the sale is what the ledger says and exactly one order is accepted.
        """
        await self.redis.flushall()
        before, redis_before, started = getrusage(RUSAGE_SELF), await redis_cpu_seconds(self.redis), monotonic()
        await self.seal("restoring")
        clock = await now_ms(self.redis, sale_id)
        context = RebuildContext(
            self.redis, self.scripts, self.ledger, SHARDS_DEFAULT, dict.fromkeys(SHARDS, INCARNATION), grace_ms=60_000, now_ms=clock
        )
        report = await rebuild(context, SHARDS)
        rebuilt = monotonic()
        faulty = (await verify(context, SHARDS)).faulty
        if faulty:
            raise RuntimeError(f"Redis is not what the ledger says: {faulty}")
        verified = monotonic()
        await self.seal(OPEN)
        orders = [Order("first-sale----------", "late", 1), Order("one-too-many--------", "later", 1)]
        _, results, *_ = await call(self.redis, self.scripts.reserve, reserve_keys([sale_id]), pack_orders([(sale_id, orders)]), "")
        if [result[0] for result in results] != ["accepted", "out_of_stock"]:
            raise RuntimeError(f"one unit was left, and the answers were {results}")
        ended, after = monotonic(), getrusage(RUSAGE_SELF)
        return Done(
            report,
            rebuild_seconds=rebuilt - started,
            verify_seconds=verified - rebuilt,
            first_sale_seconds=ended - started,
            memory_mb=(after.ru_maxrss - before.ru_maxrss) / 1024,
            own_cpu_seconds=after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            redis_cpu_seconds=await redis_cpu_seconds(self.redis) - redis_before,
        )

    async def publish(self, sale_id: str) -> None:
        """Write what the first sale left in the outbox to the ledger, as the services would."""
        outbox = shard_keys(shard_of(sale_id)).outbox
        repository = Repository(self.environment.text("DATABASE_URL"), TIMEOUT_SECONDS, 1.0)
        for entry_id, fields in await self.redis.xrange(outbox):
            await repository.write(plan((entry_id.decode(), message) for message in read(fields[b"b"]).messages))
            await self.redis.xdel(outbox, entry_id)
        await repository.close()


async def measure(environment: CliEnvironment, counts: Sequence[int], screen: Console) -> tuple[Section, Report]:
    scripts = read_scripts(Path(environment.text("FLASHSALE_LUA_DIR")))
    ledger = await asyncpg.connect(environment.text("DATABASE_URL"))
    measurements, seeds = [], []
    try:
        async with open_redis(environment.text("REDIS_URL"), TIMEOUT_SECONDS, CONNECTIONS) as redis:
            shop = Shop(environment, redis, scripts, ledger)
            for count in counts:
                seeds.append(Seed(f"bench-rebuild-{count}", count))
                screen.print(Text(f"putting {number(count)} orders into the ledger", "dim"))
                await ledger.execute("truncate sales, orders, order_events, payments, refunds")
                await seed_ledger(ledger, seeds[-1], round(time() * 1000))
                measurements.append(_measurement(count, await shop.recover(seeds[-1].sale_id)))
            await shop.publish(seeds[-1].sale_id)
        section = Section("Rebuild from the ledger", measurements, [], [seeds[-1].sale_id])
        return section, await audit_stores(environment, Options([seeds[-1].sale_id]))
    finally:
        await ledger.close()


def _measurement(count: int, done: Done) -> Measurement:
    rate = count / done.rebuild_seconds
    details = (
        f"rebuild {done.rebuild_seconds:.1f} s ({number(rate)} orders/s), check {done.verify_seconds:.1f} s, "
        f"{number(done.report.sales[0].written)} orders written, "
        f"CPU {done.own_cpu_seconds:.1f} s here and {done.redis_cpu_seconds:.1f} s in Redis, memory +{done.memory_mb:.0f} MB"
    )
    name = f"{number(count)} orders: from an empty Redis to the first sale"
    return Measurement(name, done.first_sale_seconds, "s", TARGETS.get(count), details)


def main(
    orders: Annotated[list[int] | None, typer.Option(help="Orders in the ledger; may be repeated.", min=1)] = None,
    results: ResultFolder = RESULTS,
    save: Annotated[bool, typer.Option(help="Write the result as JSON.")] = False,
) -> None:
    """Measure the rebuild. Exit status 1 when a target is missed or the stores disagree afterwards."""
    screen = console()
    with private_stack(services=False, say=lambda words: screen.print(Text(words, "dim"))) as stack:
        section, audit = uvloop.run(measure(CliEnvironment(stack.env()), orders or sorted(TARGETS), screen))
    for each in section.measurements:
        screen.print(Text(each.verdict()))
    screen.print(audit_report.differences_text(audit))
    if save:
        screen.print(Text(f"written to {write(results, 'bench-rebuild', section_to_json(section)).name}", "dim"))
    if not audit.clean() or not all(each.reached for each in section.measurements):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)

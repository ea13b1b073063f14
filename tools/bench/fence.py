"""`python -m tools.bench.fence`: what the fence costs, as Redis' CPU time an order, with the fence and without it in turns.

Everything that Redis does for a call counts: reading it, the script, the append-only file with its fsync, and the answer.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from statistics import median, quantiles
from typing import Annotated, Any

import typer
import uvloop
from rich.text import Text

from flashsale_cli.console import EXIT_FAILED, console
from flashsale_cli.environment import CliEnvironment
from flashsale_core.keys import define_keys, reserve_keys
from flashsale_core.scripts import Order, Script, Scripts, call, pack, pack_orders, read_scripts
from flashsale_local_stack import private_stack
from flashsale_redis import open_redis
from flashsale_redis.fences import open_fences
from tools.bench.measurements import Measurement, Target
from tools.bench.processes import redis_cpu_seconds

TARGETS = {1: Target(5, at_least=False), 16: None, 64: None, 256: Target(1, at_least=False)}
"""Orders a call -> percent of Redis' CPU time an order."""
ORDERS_IN_ROUND = 16_384
"""Fewer take so little CPU time that what else the machine does decides the comparison."""
CALLS_MAX = 1024
TIMEOUT_SECONDS = 60.0
SALE = "bench-fence"
ComparedRounds = Annotated[
    int, typer.Option("--rounds", help="How often each measurement is repeated; at least 2, for their spread.", min=2, max=100)
]
CHECK = "local function require_open(fence_key, known)\n"
POSITION = "fence.seq = redis.call('HINCRBY', fence_key, 'seq', 1)"


@dataclass(frozen=True, slots=True)
class Bench:
    redis: Any
    scripts: Scripts
    numbers: Iterator[int]

    async def define(self) -> None:
        """One sale with more units than the bench orders, and open fences."""
        await self.redis.flushall()
        await open_fences(self.redis, self.scripts)
        wanted = {"owner": "admin", "generation": 0, "total": 10**9}
        await call(self.redis, self.scripts.define, define_keys(SALE), SALE, pack(wanted), "")

    async def cpu_us(self, script: Script, orders: int) -> float:
        """Redis' CPU time an order, in microseconds. Raises RuntimeError unless every order is accepted."""
        keys, calls = reserve_keys([SALE]), min(CALLS_MAX, ORDERS_IN_ROUND // orders)
        batches = [pack_orders([(SALE, [self._order() for _ in range(orders)])]) for _ in range(calls)]
        await call(self.redis, script, keys, pack_orders([(SALE, [self._order()])]), "")
        before = await redis_cpu_seconds(self.redis)
        answers = [await call(self.redis, script, keys, batch, "") for batch in batches]
        spent = await redis_cpu_seconds(self.redis) - before
        if {result[0] for _, results, *_ in answers for result in results} != {"accepted"}:
            raise RuntimeError("an order was not accepted, so the time is worth nothing")
        return spent / (calls * orders) * 1e6

    def _order(self) -> Order:
        number = next(self.numbers)
        return Order(f"bench-{number:014d}", f"user-{number}", 1)


def without_fence(script: Script) -> Script:
    """The script with a fence that is always open. Raises RuntimeError if the fence's code has changed."""
    if script.source.count(CHECK) != 1 or script.source.count(POSITION) != 1:
        raise RuntimeError(f"{script.name}.lua has another fence: change CHECK and POSITION")
    source = script.source.replace(CHECK, f"{CHECK}  fences[fence_key] = {{ incarnation = '1', seq = 0 }}\n")
    source = source.replace(POSITION, "fence.seq = fence.seq + 1")
    return Script(script.name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


async def measure(environment: CliEnvironment, rounds: int) -> list[Measurement]:
    scripts = read_scripts(Path(environment.text("FLASHSALE_LUA_DIR")))
    variants = {"without": without_fence(scripts.reserve), "with": scripts.reserve}
    measurements = []
    async with open_redis(environment.text("REDIS_URL"), TIMEOUT_SECONDS, 1) as redis:
        bench = Bench(redis, scripts, count())
        for orders, target in TARGETS.items():
            times: dict[str, list[float]] = {name: [] for name in variants}
            for index in range(rounds):
                for name in variants if index % 2 else reversed(variants):
                    await bench.define()
                    times[name].append(await bench.cpu_us(variants[name], orders))
            measurements.append(_compared(orders, times, target))
    return measurements


def _compared(orders: int, times: dict[str, list[float]], target: Target | None) -> Measurement:
    # Each round is compared with its neighbour, because the machine is faster in one minute than in the next.
    shares = [(after / before - 1) * 100 for before, after in zip(times["without"], times["with"], strict=True)]
    low, middle, high = quantiles(shares, n=4)
    spread = f"half of the rounds between {low:.1f} and {high:.1f} %"
    details = f"{median(times['without']):.2f} us an order without, {median(times['with']):.2f} us with; {spread}"
    return Measurement(f"CPU of Redis, {orders} orders a call", middle, "% more", target, details)


def main(rounds: ComparedRounds = 20) -> None:
    """Measure the fence. Exit status 1 when a target is missed."""
    screen = console()
    with private_stack(services=False, say=lambda words: screen.print(Text(words, "dim"))) as stack:
        measurements = uvloop.run(measure(CliEnvironment(stack.env()), rounds))
    for each in measurements:
        screen.print(Text(each.verdict()))
    if not all(each.reached for each in measurements):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)

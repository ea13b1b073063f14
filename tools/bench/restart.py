"""`python -m tools.bench.restart`: how long after Redis answers again a shop sells again, when Redis was killed and kept its data."""

import asyncio
from collections.abc import Awaitable, Callable
from statistics import median
from time import monotonic
from uuid import uuid4

import aiohttp
import typer
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError
from rich.text import Text

from flashsale_audit.audit_all import Options, Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, console
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import Stack, private_stack
from tools.bench.measurements import Measurement, Target
from tools.bench.options import Rounds
from tools.bench.processes import POLL_SECONDS
from tools.bench.testbed import Testbed, open_testbed

TARGET = Target(2.0, at_least=False)
ORDERS_BEFORE = 200
DOWN_SECONDS = 1.0
GIVE_UP_SECONDS = 60.0
PROBE_TIMEOUT_SECONDS = 0.5
SETTLE_SECONDS = 60.0


async def measure(stack: Stack, environment: CliEnvironment, rounds: int) -> tuple[Measurement, Report]:
    async with open_testbed(environment) as testbed:
        sale = await testbed.new_sale("bench-restart")
        waits = [await _restart(stack, testbed, sale) for _ in range(rounds)]
        audit = await audit_stores(environment, Options([sale]), SETTLE_SECONDS)
    details = ", ".join(f"{wait:.1f}" for wait in waits)
    return Measurement("from Redis' first answer after a kill to the first order, median", median(waits), "s", TARGET, details), audit


async def _restart(stack: Stack, testbed: Testbed, sale: str) -> float:
    """Seconds from Redis' first answer to the first accepted order. Raises TimeoutError when either takes too long."""
    if not all(await asyncio.gather(*[_order(testbed, sale) for _ in range(ORDERS_BEFORE)])):
        raise RuntimeError("an order was refused before Redis was killed")
    await asyncio.to_thread(stack.kill, "redis")
    await asyncio.sleep(DOWN_SECONDS)
    start = asyncio.create_task(asyncio.to_thread(stack.start, "redis"))
    answered = await _until(lambda: _answers(testbed.environment.text("REDIS_URL")))
    sold = await _until(lambda: _order(testbed, sale))
    await start
    return sold - answered


async def _until(ask: Callable[[], Awaitable[bool]]) -> float:
    """The time at which the answer was yes, by `monotonic`. Raises TimeoutError after GIVE_UP_SECONDS."""
    deadline = monotonic() + GIVE_UP_SECONDS
    while not await ask():
        if monotonic() > deadline:
            raise TimeoutError(f"Redis was killed, and the shop did not recover within {GIVE_UP_SECONDS:.0f} s")
        await asyncio.sleep(POLL_SECONDS)
    return monotonic()


async def _answers(url: str) -> bool:
    """Whether Redis has loaded its data: until then it refuses commands."""
    # A connection of its own each time, because a client would repeat a refused command by itself.
    async with Redis.from_url(url, socket_timeout=PROBE_TIMEOUT_SECONDS) as redis:
        try:
            return bool(await redis.ping())
        except (RedisError, OSError):
            return False


async def _order(testbed: Testbed, sale: str) -> bool:
    body = {"userId": uuid4().hex, "productId": sale, "quantity": 1, "requestId": uuid4().hex}
    try:
        async with testbed.session.post(f"{testbed.url}/order", json=body) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def main(rounds: Rounds = 5) -> None:
    """Measure restarts. Exit status 1 when the target is missed or the stores disagree afterwards."""
    screen = console()
    with private_stack(say=lambda words: screen.print(Text(words, "dim"))) as stack:
        measurement, audit = uvloop.run(measure(stack, CliEnvironment(stack.env()), rounds))
    screen.print(Text(measurement.verdict()))
    screen.print(audit_report.differences_text(audit))
    if not measurement.reached or not audit.clean():
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)

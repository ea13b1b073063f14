"""Holds: the memory of each, the cost of an order among a million of them, and how fast they are released."""

import asyncio
from statistics import median
from time import monotonic, time

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.open_loop import send_orders
from tools.bench.seed_holds import seed_holds
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, run_wrk

FEW, MANY = 1_000, 1_000_000
CONNECTIONS = 512
BYTES_TARGET = Target(350, at_least=False)
COST_TARGET = Target(1.1, at_least=False)
STORM = 100_000
STORM_WINDOW_SECONDS = 60
STORM_TIMEOUT_SECONDS = 60.0
STORM_POLL_SECONDS = 0.02
STORM_TARGET = Target(1.5)
STEADY_PER_SECOND = 1_000
STEADY_SECONDS = 20
STEADY_WINDOW_SECONDS = 5
STEADY_PATIENCE_SECONDS = 5.0
LATENESS = """
select count(*) as expired, percentile_disc(array[0.5, 0.99, 1.0]) within group (order by extract(epoch from e.at - o.deadline)) as late
from order_events e join orders o using (sale_id, epoch, order_id)
where e.sale_id = $1 and e.state = 'expired'
"""
LATENESS_TARGET = Target(1.0, at_least=False)


async def measure_live(testbed: Testbed, seconds: int, rounds: int, screen: Console) -> Section:
    """Bytes of Redis for each of a million live orders, and the cost of an order among them."""
    few_id, many_id = await testbed.new_sale("bench-few"), await testbed.new_sale("bench-million")
    await seed_holds(testbed, few_id, FEW)
    before = await _used_memory(testbed)
    screen.print(Text(f"putting {number(MANY)} holds into Redis", "dim"))
    await seed_holds(testbed, many_id, MANY)
    await testbed.wait_for_ledger(many_id, MANY)
    await testbed.finish_maintenance()
    bytes_each = (await _used_memory(testbed) - before) / MANY
    rates: dict[str, list[float]] = {few_id: [], many_id: []}
    problems = []
    # The first round does not count: after the fork of Redis' rewrite, the first write to each page is a page fault.
    for _ in range(rounds + 1):
        for sale_id, sale_rates in rates.items():
            result = await run_wrk(testbed.url, Load(sale_id), CONNECTIONS, seconds)
            sale_rates.append(result.per_second)
            screen.print(Text(f"{sale_id}: {number(result.per_second)}/s, p99 {result.p99_ms:.0f} ms", "dim"))
            if result.refused or result.broken:
                problems.append(f"{sale_id}: {result.refused} requests refused, {result.broken} connections broke")
    few, many = median(rates[few_id][1:]), median(rates[many_id][1:])
    cost_details = f"{number(few)} orders/s in the sale with {number(FEW)} at first, {number(many)} in the other"
    cost = f"cost of an order in a sale with {number(MANY)} live orders, compared with {number(FEW)}"
    measurements = [
        Measurement("Redis memory per live order, all keys together", bytes_each, "bytes", BYTES_TARGET, "ids of 13 and 34 characters"),
        Measurement(cost, few / many, "times", COST_TARGET, cost_details),
    ]
    return Section(f"A million live orders, {CONNECTIONS} connections", measurements, problems, [few_id, many_id])


async def measure_storm(testbed: Testbed, accepted_per_second: float, screen: Console) -> Section:
    """How fast STORM holds are released that are all due at the same moment."""
    sale_id = await testbed.new_sale("bench-storm", STORM, STORM_WINDOW_SECONDS)
    screen.print(Text(f"putting {number(STORM)} holds into Redis that are all due in {STORM_WINDOW_SECONDS} s", "dim"))
    due_ms = await seed_holds(testbed, sale_id, STORM, round(time() * 1000))
    await testbed.wait_for_ledger(sale_id, STORM)
    left = due_ms / 1000 - time()
    problems = [] if left > 0 else [f"the ledger had the holds {-left:.1f} s after they were due"]
    await asyncio.sleep(max(0.0, left - 0.1))
    took_seconds = await _wait_for_release(testbed, sale_id, due_ms)
    rate = STORM / took_seconds
    details = f"{number(rate)} holds/s, the last {took_seconds:.1f} s after the deadline; {number(accepted_per_second)} accepted orders/s"
    name = f"rate of releasing {number(STORM)} holds due at the same moment, compared with accepting orders"
    return Section("Expiry storm", [Measurement(name, rate / accepted_per_second, "times", STORM_TARGET, details)], problems, [sale_id])


async def _wait_for_release(testbed: Testbed, sale_id: str, due_ms: int) -> float:
    """Seconds from the deadline until all units are available. Raises RuntimeError after STORM_TIMEOUT_SECONDS."""
    give_up_at = monotonic() + STORM_TIMEOUT_SECONDS
    while await testbed.counter(sale_id, "available") < STORM:
        if monotonic() > give_up_at:
            raise RuntimeError(f"{sale_id}: holds are left {STORM_TIMEOUT_SECONDS:.0f} s after the deadline")
        await asyncio.sleep(STORM_POLL_SECONDS)
    return time() - due_ms / 1000


async def measure_steady(testbed: Testbed, screen: Console) -> Section:
    """How late holds are released while orders arrive and expire all the time."""
    sale_id = await testbed.new_sale("bench-steady", window_seconds=STEADY_WINDOW_SECONDS)
    screen.print(Text(f"{number(STEADY_PER_SECOND)} orders/s for {STEADY_SECONDS} s that nobody pays", "dim"))
    sent = await send_orders(testbed.url, sale_id, STEADY_PER_SECOND, STEADY_SECONDS)
    await asyncio.sleep(STEADY_WINDOW_SECONDS)
    await asyncio.sleep(STEADY_PATIENCE_SECONDS)
    ((expired, lateness),) = await testbed.ledger.fetch(LATENESS, sale_id)
    p50, p99, largest = (float(seconds) for seconds in lateness or (0, 0, 0))
    problems = [] if expired == sent.accepted else [f"{sent.accepted} orders were accepted, {expired} have expired"]
    details = f"p50 {p50 * 1000:.0f} ms, largest {largest * 1000:.0f} ms"
    name = f"delay between deadline and release at {number(STEADY_PER_SECOND)} expiring holds/s, p99"
    return Section("Steady expiry", [Measurement(name, p99, "s", LATENESS_TARGET, details)], problems, [sale_id])


async def _used_memory(testbed: Testbed) -> int:
    """Bytes."""
    return int((await testbed.redis.info("memory"))["used_memory"])

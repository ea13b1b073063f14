"""Holds: what each costs in memory, what a million of them cost the next order, and how fast they come back."""

import asyncio
from statistics import median
from time import monotonic, time

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.arrivals import arrive
from tools.bench.figures import Bar, Line, Section
from tools.bench.seed import seed
from tools.bench.site import Site
from tools.bench.wrk import Load, shoot

FEW, MANY = 1_000, 1_000_000
CONNECTIONS = 512
BYTES_BAR = Bar(350, at_least=False)
COST_BAR = Bar(1.1, at_least=False)
STORM = 100_000
STORM_WINDOW_SECONDS = 60
STORM_TIMEOUT_SECONDS = 60.0
STORM_POLL_SECONDS = 0.02
STORM_BAR = Bar(1.5)
STEADY_PER_SECOND = 1_000
STEADY_SECONDS = 20
STEADY_WINDOW_SECONDS = 5
STEADY_PATIENCE_SECONDS = 5.0
LATENESS = """
select count(*) as expired, percentile_disc(array[0.5, 0.99, 1.0]) within group (order by extract(epoch from e.at - o.deadline)) as late
from order_events e join orders o using (sale_id, epoch, order_id)
where e.sale_id = $1 and e.state = 'expired'
"""
LATENESS_BAR = Bar(1.0, at_least=False)


async def live(site: Site, seconds: int, rounds: int, screen: Console) -> Section:
    """Bytes of Redis for each of a million live orders, and the cost of an order among them."""
    few_id, many_id = await site.new_sale("bench-few"), await site.new_sale("bench-million")
    await seed(site, few_id, FEW)
    before = await _used_memory(site)
    screen.print(Text(f"putting {number(MANY)} holds into Redis", "dim"))
    await seed(site, many_id, MANY)
    await site.caught_up(many_id, MANY)
    await site.tidied()
    each = (await _used_memory(site) - before) / MANY
    rates: dict[str, list[float]] = {few_id: [], many_id: []}
    problems = []
    # The first round does not count: after the fork of the rewrite a page's first write is a fault, and the pages are the million's.
    for _ in range(rounds + 1):
        for sale_id, found in rates.items():
            shot = await shoot(site.url, Load(sale_id), CONNECTIONS, seconds)
            found.append(shot.per_second)
            screen.print(Text(f"{sale_id}: {number(shot.per_second)}/s, p99 {shot.p99_ms:.0f} ms", "dim"))
            if shot.refused or shot.broken:
                problems.append(f"{sale_id}: {shot.refused} requests refused, {shot.broken} connections broke")
    few, many = median(rates[few_id][1:]), median(rates[many_id][1:])
    words = f"{number(few)} orders/s among {number(FEW)} at first, {number(many)} among {number(MANY)}"
    lines = [
        Line("Redis memory of a live order, all keys", each, "bytes", BYTES_BAR, f"of {number(MANY)}, ids of 13 and 34 characters"),
        Line("cost of an order in the larger sale to the smaller", few / many, "x", COST_BAR, words),
    ]
    return Section(f"A million live orders, {CONNECTIONS} connections", lines, problems, [few_id, many_id])


async def storm(site: Site, accepted_per_second: float, screen: Console) -> Section:
    """All holds of one moment, due at one moment."""
    sale_id = await site.new_sale("bench-storm", STORM, STORM_WINDOW_SECONDS)
    screen.print(Text(f"putting {number(STORM)} holds into Redis that are all due in {STORM_WINDOW_SECONDS} s", "dim"))
    due_ms = await seed(site, sale_id, STORM, round(time() * 1000))
    await site.caught_up(sale_id, STORM)
    left = due_ms / 1000 - time()
    problems = [] if left > 0 else [f"the ledger was {-left:.1f} s late for the storm"]
    await asyncio.sleep(max(0.0, left - 0.1))
    took = await _until_free(site, sale_id, due_ms)
    rate = STORM / took
    words = f"{number(rate)} holds/s, all back {took:.1f} s after they were due; accepted {number(accepted_per_second)} orders/s"
    line = Line(f"{number(STORM)} holds due at once, returned beside accepted", rate / accepted_per_second, "", STORM_BAR, words)
    return Section("Expiry storm", [line], problems, [sale_id])


async def _until_free(site: Site, sale_id: str, due_ms: int) -> float:
    give_up_at = monotonic() + STORM_TIMEOUT_SECONDS
    while await site.counter(sale_id, "available") < STORM:
        if monotonic() > give_up_at:
            raise RuntimeError(f"{sale_id}: the storm is not over after {STORM_TIMEOUT_SECONDS:.0f} s")
        await asyncio.sleep(STORM_POLL_SECONDS)
    return time() - due_ms / 1000


async def steady(site: Site, screen: Console) -> Section:
    """Lateness of holds that come and go all the time."""
    sale_id = await site.new_sale("bench-steady", window_seconds=STEADY_WINDOW_SECONDS)
    screen.print(Text(f"{number(STEADY_PER_SECOND)} orders/s for {STEADY_SECONDS} s that nobody pays", "dim"))
    arrivals = await arrive(site.url, sale_id, STEADY_PER_SECOND, STEADY_SECONDS)
    await asyncio.sleep(STEADY_WINDOW_SECONDS)
    await asyncio.sleep(STEADY_PATIENCE_SECONDS)
    ((expired, late),) = await site.ledger.fetch(LATENESS, sale_id)
    p50, p99, most = (float(value) for value in late or (0, 0, 0))
    problems = [] if expired == arrivals.answered else [f"{arrivals.answered} orders were accepted, {expired} have expired"]
    line = Line("lateness, 99th percentile", p99, "s", LATENESS_BAR, f"p50 {p50 * 1000:.0f} ms, largest {most * 1000:.0f} ms")
    return Section(f"{number(STEADY_PER_SECOND)} orders/s that expire", [line], problems, [sale_id])


async def _used_memory(site: Site) -> int:
    return int((await site.redis.info("memory"))["used_memory"])

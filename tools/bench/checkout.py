"""Checkouts: an order and the signed webhook that pays it, as fast as they go."""

import asyncio
from collections.abc import Sequence
from statistics import median
from time import monotonic

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.processes import POLL_SECONDS
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, run_wrk

TARGET = Target(0.25)
PERSIST_SECONDS = 10.0


async def measure(testbed: Testbed, connections: Sequence[int], seconds: int, rounds: int, screen: Console) -> Section:
    """Units sold per second, divided by the requests per second of the bare endpoint."""
    sale_id = await testbed.new_sale("bench-checkout")
    measurements, problems = [], []
    for count in connections:
        ratios, rates, backlogs = [], [], []
        for _ in range(rounds):
            bare = await run_wrk(testbed.starlette_url, Load(sale_id), count, seconds)
            before = await testbed.counter(sale_id, "sold")
            result = await run_wrk(testbed.url, Load(sale_id, secret=testbed.webhook_secret), count, seconds)
            sold = await testbed.counter(sale_id, "sold")
            rates.append((sold - before) / result.seconds)
            ratios.append(rates[-1] / bare.per_second)
            backlogs.append(await _wait_for_payments(testbed, sale_id, sold))
            if result.refused or result.broken:
                problems.append(f"{count} connections: {result.refused} requests refused, {result.broken} connections broke")
            words = f"bare {number(bare.per_second)}/s, {number(rates[-1])} checkouts/s, {number(result.per_second)} requests/s"
            screen.print(Text(f"checkout, {count} connections: {words}", "dim"))
        name = f"orders accepted and paid, {count} connections, compared with bare Starlette"
        details = f"{number(median(rates))} checkouts/s; the ledger had the payments {median(backlogs):.1f} s after the load"
        measurements.append(Measurement(name, median(ratios), "times", TARGET, details))
    return Section("Checkout: order and pay", measurements, problems, [sale_id])


async def _wait_for_payments(testbed: Testbed, sale_id: str, sold: int) -> float:
    """Seconds until the ledger has `sold` paid orders; PERSIST_SECONDS at most."""
    paid = "select count(*) from orders where sale_id = $1 and state = 'paid'"
    started = monotonic()
    while monotonic() - started < PERSIST_SECONDS:
        if int(await testbed.ledger.fetchval(paid, sale_id)) >= sold:
            break
        await asyncio.sleep(POLL_SECONDS)
    return monotonic() - started

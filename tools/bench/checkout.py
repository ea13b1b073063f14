"""Checkouts: an order and the signed webhook that pays it, as fast as they go."""

import asyncio
from collections.abc import Sequence
from statistics import median
from time import monotonic

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.figures import Bar, Line, Section
from tools.bench.site import POLL_SECONDS, Site
from tools.bench.wrk import Load, shoot

BAR = Bar(0.25)
PERSIST_SECONDS = 10.0


async def measure(site: Site, connections: Sequence[int], seconds: int, rounds: int, screen: Console) -> Section:
    """Units sold per second beside the requests per second of the bare endpoint."""
    sale_id = await site.new_sale("bench-checkout")
    lines, problems = [], []
    for count in connections:
        ratios, rates, backlogs = [], [], []
        for _ in range(rounds):
            bare = await shoot(site.starlette_url, Load(sale_id), count, seconds)
            before = await site.counter(sale_id, "sold")
            shot = await shoot(site.url, Load(sale_id, secret=site.webhook_secret), count, seconds)
            sold = await site.counter(sale_id, "sold")
            rates.append((sold - before) / shot.seconds)
            ratios.append(rates[-1] / bare.per_second)
            backlogs.append(await _ledger_has(site, sale_id, sold))
            if shot.refused or shot.broken:
                problems.append(f"{count} connections: {shot.refused} requests refused, {shot.broken} connections broke")
            words = f"bare {number(bare.per_second)}/s, {number(rates[-1])} checkouts/s, {number(shot.per_second)} requests/s"
            screen.print(Text(f"checkout, {count} connections: {words}", "dim"))
        words = f"{number(median(rates))} checkouts/s, the ledger {median(backlogs):.1f} s behind at the end"
        lines.append(Line(f"checkouts beside bare, {count} connections", median(ratios), "", BAR, words))
    return Section("Checkout: reserve and pay", lines, problems, [sale_id])


async def _ledger_has(site: Site, sale_id: str, sold: int) -> float:
    """Seconds until the ledger has the payments."""
    started = monotonic()
    while monotonic() - started < PERSIST_SECONDS:
        if int(await site.ledger.fetchval("select count(*) from orders where sale_id = $1 and state = 'paid'", sale_id)) >= sold:
            break
        await asyncio.sleep(POLL_SECONDS)
    return monotonic() - started

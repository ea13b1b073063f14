"""The live line of a run: progress, rate and outcomes."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.report import COLORS
from flashsale_cli.load.tally import Tally

EVERY_SECONDS = 0.2


@contextmanager
def watch(tally: Tally, console: Console) -> Iterator[None]:
    """Show `tally` while the block runs, if the console is a terminal. Call it in a running event loop."""
    if not console.is_terminal:
        yield
        return
    with Live(line(tally, 0.0), console=console, auto_refresh=False, transient=True) as live:
        refresher = asyncio.get_running_loop().create_task(_refresh(live, tally))
        try:
            yield
        finally:
            refresher.cancel()
            with suppress(asyncio.CancelledError):
                live.update(line(tally, 0.0), refresh=True)


def line(tally: Tally, per_second: float) -> Table:
    grid = Table.grid(padding=(0, 2))
    counts = Text("  ").join(Text(f"{tally.count(group):,} {group.value}", COLORS[group]) for group in Group if tally.count(group))
    grid.add_row(
        ProgressBar(max(tally.planned, 1), tally.done(), width=30), f"{tally.done():,}/{tally.planned:,}", f"{per_second:,.0f}/s", counts
    )
    return grid


async def _refresh(live: Live, tally: Tally) -> None:
    done, at = tally.done(), perf_counter()
    while True:
        await asyncio.sleep(EVERY_SECONDS)
        now = perf_counter()
        live.update(line(tally, (tally.done() - done) / (now - at)), refresh=True)
        done, at = tally.done(), now

"""The output of the demo for a person."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.console import Group as Lines
from rich.live import Live
from rich.rule import Rule
from rich.text import Text

from flashsale_cli.console import number, table
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.progress import line
from flashsale_cli.load.tally import Tally
from flashsale_cli.sales_client import Sale

BAR_WIDTH = 60
EVERY_SECONDS = 0.2
_COLORS = {"sold": "green", "reserved": "yellow", "available": "bright_black"}
_WORDS = {"sold": "sold", "reserved": "held", "available": "free"}


class Screen:
    def __init__(self, console: Console) -> None:
        self.console = console

    def section(self, title: str) -> None:
        self.console.print()
        self.console.print(Rule(Text(title, "bold"), align="left", style="dim"))

    def say(self, words: str) -> None:
        self.console.print(Text(words))

    def say_address(self, words: str) -> None:
        """One line even if it is longer than the terminal is wide, so that the address can be clicked or copied."""
        self.console.print(Text(words), soft_wrap=True)

    def show(self, what: RenderableType) -> None:
        self.console.print(what)

    @contextmanager
    def live(self, draw: Callable[[], RenderableType]) -> Iterator[None]:
        """Redraw while the block runs, if this is a terminal. Call it in a running event loop."""
        if not self.console.is_terminal:
            yield
            return
        with Live(draw(), console=self.console, auto_refresh=False, transient=True) as live:
            drawing = asyncio.get_running_loop().create_task(_draw(live, draw))
            try:
                yield
            finally:
                drawing.cancel()


async def _draw(live: Live, draw: Callable[[], RenderableType]) -> None:
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(EVERY_SECONDS)
            live.update(draw(), refresh=True)


def stock_bar(sale: Sale) -> Text:
    """A bar of all units of the sale: sold, held, free."""
    total = max(sale["stock"], 1)
    bar = Text()
    for name, color in _COLORS.items():
        bar.append("█" * cells(sale[name], total), color)
    bar.append("  ")
    words = (Text(f"{number(sale[name])} {_WORDS[name]}", color) for name, color in _COLORS.items())
    return bar + Text(" · ", "dim").join(words) + Text(f" of {number(sale['stock'])}", "dim")


def cells(units: int, total: int) -> int:
    """The cells of the bar for `units`; at least one if there are any units."""
    return max(1, round(BAR_WIDTH * units / total)) if units else 0


def wave(sale: Sale, tally: Tally, payments: Counter[str]) -> RenderableType:
    paid = Text("payments  ", "dim") + Text(" · ").join(Text(f"{number(count)} {name}") for name, count in payments.most_common())
    return Lines(stock_bar(sale), line(tally, tally.per_second()), paid)


def payments_table(payments: Counter[str]) -> RenderableType:
    return table("", ("answer of the gateway", "webhooks"), [(name, number(count)) for name, count in payments.most_common()])


def actions_table(actions: Counter[str]) -> RenderableType:
    return table("", ("winners who", "orders"), [(name, number(count)) for name, count in actions.most_common()])


def summary(tally: Tally) -> str:
    """A sentence about a wave."""
    counts = {group: tally.count(group) for group in Group}
    answered = f"{number(tally.done())} requests in {tally.elapsed_seconds:.1f} s ({number(tally.per_second())} per second)"
    return f"{answered}: {number(counts[Group.ACCEPTED])} orders, {number(counts[Group.SOLD_OUT])} refused because the sale was sold out."

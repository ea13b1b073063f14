"""A frame as a screen: faults first, then the sales, then the pipeline."""

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flashsale_cli.console import table
from flashsale_cli.top import tiles
from flashsale_cli.top.frame import Frame, SaleNow
from flashsale_cli.top.tiles import amount, few, per_second, percent, span

WIDE_CELLS = 110
"""From this width on, outcomes are a column of the sales; on narrower screens they are lines below the sales."""
NAME_CELLS_NARROW, NAME_CELLS_WIDE = 12, 28
"""Longer names are cut."""
_STATES = {"open": "green", "paused": "yellow", "closed": "red"}


def render(frame: Frame, url: str, width: int, height: int | None = None) -> RenderableType:
    """At most `height` lines if it is given: sales that do not fit are only counted."""
    wide = width >= WIDE_CELLS
    above, below = [_title(frame, url), *_wrong(frame)], tiles.lines(frame, width)
    # Four lines: two blank ones, the heading of the sales, and the number of sales that are not shown.
    room = None if height is None else height - len(above) - len(below) - 4
    shown = frame.sales if room is None else frame.sales[: max(1, room if wide else _narrow_room(frame.sales, room))]
    return Group(*above, Text(), *_sales(frame, shown, wide), Text(), *below)


def _title(frame: Frame, url: str) -> Text:
    title = Text("flashsale top", "bold", no_wrap=True, overflow="ellipsis")
    moment = f"{frame.at.astimezone():%H:%M:%S}"
    return title.append(f"  {url}  {moment}  {f'over {span(frame.seconds)}' if frame.seconds else 'rates follow'}", "not bold dim")


def _wrong(frame: Frame) -> list[Text]:
    silent = [service for service in frame.services if not service.answers]
    unanswered = (f"{service.name} {service.address}".strip() + f" does not answer: {service.reason}" for service in silent)
    return [Text(words, "red", no_wrap=True, overflow="ellipsis") for words in (*unanswered, *frame.faults)]


def _narrow_room(sales: Sequence[SaleNow], lines: int) -> int:
    """How many of the first sales fit into `lines`; a sale with orders needs a second line for their outcomes."""
    rows = 0
    for sale in sales:
        lines -= 2 if _outcomes(sale) else 1
        if lines < 0:
            break
        rows += 1
    return rows


def _sales(frame: Frame, shown: Sequence[SaleNow], wide: bool) -> Iterator[RenderableType]:
    if frame.sales_reason:
        yield Text(f"the sales cannot be read: {frame.sales_reason}", "red", no_wrap=True, overflow="ellipsis")
    elif not frame.sales:
        yield Text("no sale", "dim")
    else:
        yield _table(shown, wide)
        if not wide:
            yield from (_outcome_line(sale) for sale in shown if _outcomes(sale))
        yield from _not_shown(frame.sales_hidden + len(frame.sales) - len(shown), frame.more_sales)


def _not_shown(hidden: int, more_sales: bool) -> Iterator[Text]:
    less_busy = [f"and {hidden} more, less busy"] if hidden else []
    not_read = ["and others that were not read"] if more_sales else []
    if less_busy or not_read:
        yield Text(", ".join([*less_busy, *not_read]), "dim")


def _table(sales: Sequence[SaleNow], wide: bool) -> Table:
    columns = ["sale", "stock", "available", "reserved", "sold", " state", "orders/s", "sold out", "out in"]
    result = table("", [*columns, " by outcome"] if wide else columns, [_row(sale, wide) for sale in sales])
    result.padding = (0, 2 if wide else 1, 0, 0)
    for column in result.columns:
        column.no_wrap = True
    if wide:
        # The rest of the line and no more, or the other columns would shrink for it.
        result.expand, result.columns[-1].ratio = True, 1
    return result


def _row(sale: SaleNow, wide: bool) -> list[str | Text]:
    units = [amount(units) for units in (sale.stock, sale.available, sale.reserved, sale.sold)]
    orders = None if sale.demand_per_second is None else sum(sale.demand_per_second.values())
    row: list[str | Text] = [
        Text(_shortened(sale.product_id, NAME_CELLS_WIDE if wide else NAME_CELLS_NARROW), "bold"),
        *units,
        Text(sale.state, _STATES.get(sale.state, "")),
        few(orders),
        percent(sale.sold_out_share),
        "gone" if sale.available == 0 and sale.stock else span(sale.sold_out_in_seconds),
    ]
    return [*row, Text(_outcomes(sale), "dim")] if wide else row


def _outcome_line(sale: SaleNow) -> Text:
    line = Text(f"{_shortened(sale.product_id, NAME_CELLS_NARROW)} ", no_wrap=True, overflow="ellipsis")
    return line.append(_outcomes(sale), "dim")


def _outcomes(sale: SaleNow) -> str:
    """The outcomes of the orders in the last interval, per second."""
    return ", ".join(f"{name} {per_second(rate)}" for name, rate in tiles.most(sale.demand_per_second, tiles.OUTCOMES_MAX))


def _shortened(name: str, cells: int) -> str:
    return name if len(name) <= cells else f"{name[: cells - 1]}…"

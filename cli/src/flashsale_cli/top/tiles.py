"""Processes and pipeline as tiles, each with a name and a number. The columns keep their places while the numbers change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from flashsale_cli.top.frame import Frame
from flashsale_cli.top.pipeline import Admission, Expiry, Ledger, Outbox
from flashsale_core.topology import ORDERS_QUEUE, TIMEOUT_QUEUE

LABEL_CELLS = 8
TILE_CELLS = 22
GAP_CELLS = 2
OUTCOMES_MAX = 6
BAD = "bold red"
UNKNOWN = "-"
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
SOURCES = ("queue", "sweep")
"""What expires orders: messages of the wait queues, and the sweep over deadlines."""


@dataclass(frozen=True, slots=True)
class Tile:
    name: str
    value: str
    style: str = "bold"


def lines(frame: Frame, width: int) -> list[Text]:
    pipeline = frame.pipeline
    hops = {
        "cpu": [Tile(service.name, percent(service.cpu_cores)) for service in frame.services if service.answers],
        "gateway": _admission(pipeline.admission),
        "outbox": _outbox(pipeline.outbox),
        "ledger": _ledger(pipeline.ledger),
        "expiry": _expiry(pipeline.expiry, pipeline.ledger),
    }
    return [line for label, tiles in hops.items() for line in _hop(label, tiles, width)]


def _admission(admission: Admission) -> list[Tile]:
    return [
        Tile("orders", per_second(_total(admission.orders_per_second))),
        Tile("answer p50", span(admission.order_p50_seconds)),
        Tile("answer p99", span(admission.order_p99_seconds)),
        Tile("waiting", amount(admission.waiting_requests)),
        Tile("batch", few(admission.batch_orders_mean)),
        *(Tile(f"{script} p99", span(seconds)) for script, seconds in admission.script_p99_seconds.items()),
        *(Tile(name, per_second(rate)) for name, rate in most(admission.orders_per_second, OUTCOMES_MAX)),
        *(Tile(f"pay: {name}", per_second(rate)) for name, rate in most(admission.payments_per_second, OUTCOMES_MAX)),
    ]


def _outbox(outbox: Outbox) -> list[Tile]:
    return [
        Tile("published", per_second(outbox.published_per_second)),
        Tile("confirm p99", span(outbox.publish_p99_seconds)),
        Tile("lag", span(outbox.lag_seconds)),
        Tile("entries", amount(outbox.entries)),
        _bad_if_any("failures", outbox.failures_per_second, per_second(outbox.failures_per_second)),
        Tile("channels up", amount(outbox.broker_up), BAD if outbox.broker_up == 0 else "bold"),
    ]


def _ledger(ledger: Ledger) -> list[Tile]:
    return [
        Tile("messages", per_second(_of_queue(ledger, ORDERS_QUEUE))),
        Tile("commit p99", span(ledger.commit_p99_seconds)),
        Tile("lag", span(ledger.lag_seconds)),
        _bad_if_any("retries", ledger.retries_per_second, per_second(ledger.retries_per_second)),
        _bad_if_any("parked total", ledger.parked_total, amount(ledger.parked_total)),
        Tile("refunds due", amount(ledger.refunds_due), "bold yellow" if ledger.refunds_due else "bold"),
    ]


def _expiry(expiry: Expiry, ledger: Ledger) -> list[Tile]:
    by_source = expiry.expired_per_second
    sources = dict.fromkeys(SOURCES) if by_source is None else dict.fromkeys(SOURCES, 0.0) | {**by_source}
    return [
        Tile("messages", per_second(_of_queue(ledger, TIMEOUT_QUEUE))),
        *(Tile(f"expired, {source}", per_second(rate)) for source, rate in sources.items()),
        Tile("late p99", span(expiry.lateness_p99_seconds)),
        _bad_if_any("overdue", expiry.overdue_orders, amount(expiry.overdue_orders)),
    ]


def most(rates: Mapping[str, float] | None, count: int) -> list[tuple[str, float]]:
    """The `count` highest rates, highest first. Rates of 0 are left out."""
    happening = [(name, rate) for name, rate in (rates or {}).items() if rate > 0]
    return sorted(happening, key=lambda item: (-item[1], item[0]))[:count]


def _of_queue(ledger: Ledger, queue: str) -> float | None:
    """None if no worker reports this queue."""
    return (ledger.consumed_per_second or {}).get(queue)


def _total(rates: Mapping[str, float] | None) -> float | None:
    return None if rates is None else sum(rates.values())


def _bad_if_any(name: str, value: float | None, text: str) -> Tile:
    return Tile(name, text, BAD if value else "bold")


def _hop(label: str, tiles: Sequence[Tile], width: int) -> list[Text]:
    per_line = max(1, (width - LABEL_CELLS + GAP_CELLS) // (TILE_CELLS + GAP_CELLS))
    rows = [tiles[start : start + per_line] for start in range(0, len(tiles), per_line)] or [[]]
    return [_line(label if not index else "", row) for index, row in enumerate(rows)]


def _line(label: str, tiles: Sequence[Tile]) -> Text:
    line = Text(f"{label:<{LABEL_CELLS}}", "bold cyan", no_wrap=True, overflow="ellipsis")
    return line.append_text(Text(" " * GAP_CELLS).join(map(_tile, tiles)))


def _tile(tile: Tile) -> Text:
    room = TILE_CELLS - len(tile.value) - 1
    name = tile.name if len(tile.name) <= room else f"{tile.name[: room - 1]}…"
    return Text(f"{name:<{room}} ", "dim").append(tile.value, "dim" if tile.value == UNKNOWN else tile.style)


def amount(value: float | None) -> str:
    """A count: exact below a million."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) < 1_000_000 else f"{value / 1_000_000:,.1f}M"


def few(value: float | None) -> str:
    """A rate or a mean: with one decimal below 10."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if 0 < value < 9.95 else amount(value)


def per_second(value: float | None) -> str:
    return UNKNOWN if value is None else f"{few(value)}/s"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def span(seconds: float | None) -> str:
    """A duration, in the largest unit that gives a value of at least 2."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{1000 * seconds:.1f} ms" if 0 < seconds < 0.00995 else f"{1000 * seconds:.0f} ms"
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"

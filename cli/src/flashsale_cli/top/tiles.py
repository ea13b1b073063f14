"""Processes and pipeline as tiles: a name and a number each, in columns that stay where they are while the numbers change."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from flashsale_cli.top.frame import Frame
from flashsale_cli.top.pipeline import Admission, Expiry, Ledger, Outbox
from flashsale_cli.top.words import UNKNOWN, amount, few, per_second, percent, span
from flashsale_core.topology import ORDERS_QUEUE, TIMEOUT_QUEUE

LABEL_CELLS = 8
TILE_CELLS = 22
GAP_CELLS = 2
OUTCOMES_MAX = 6
BAD = "bold red"
SOURCES = ("queue", "sweep")
"""The two clocks of an expiry."""


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


def _admission(of: Admission) -> list[Tile]:
    return [
        Tile("orders", per_second(_total(of.orders_per_second))),
        Tile("answer p50", span(of.order_p50_seconds)),
        Tile("answer p99", span(of.order_p99_seconds)),
        Tile("waiting", amount(of.waiting_requests)),
        Tile("batch", few(of.batch_orders_mean)),
        *(Tile(f"{script} p99", span(seconds)) for script, seconds in of.script_p99_seconds.items()),
        *(Tile(name, per_second(rate)) for name, rate in most(of.orders_per_second, OUTCOMES_MAX)),
        *(Tile(f"pay: {name}", per_second(rate)) for name, rate in most(of.payments_per_second, OUTCOMES_MAX)),
    ]


def _outbox(of: Outbox) -> list[Tile]:
    return [
        Tile("published", per_second(of.published_per_second)),
        Tile("confirm p99", span(of.publish_p99_seconds)),
        Tile("lag", span(of.lag_seconds)),
        Tile("entries", amount(of.entries)),
        _bad_when_some("failures", of.failures_per_second, per_second(of.failures_per_second)),
        Tile("channels up", amount(of.broker_up), BAD if of.broker_up == 0 else "bold"),
    ]


def _ledger(of: Ledger) -> list[Tile]:
    return [
        Tile("messages", per_second(_of_queue(of, ORDERS_QUEUE))),
        Tile("commit p99", span(of.commit_p99_seconds)),
        Tile("lag", span(of.lag_seconds)),
        _bad_when_some("retries", of.retries_per_second, per_second(of.retries_per_second)),
        _bad_when_some("parked in all", of.parked_total, amount(of.parked_total)),
        Tile("refunds due", amount(of.refunds_due), "bold yellow" if of.refunds_due else "bold"),
    ]


def _expiry(of: Expiry, ledger: Ledger) -> list[Tile]:
    by_source = of.expired_per_second
    sources = dict.fromkeys(SOURCES) if by_source is None else dict.fromkeys(SOURCES, 0.0) | {**by_source}
    return [
        Tile("messages", per_second(_of_queue(ledger, TIMEOUT_QUEUE))),
        *(Tile(f"expired, {source}", per_second(rate)) for source, rate in sources.items()),
        Tile("late p99", span(of.lateness_p99_seconds)),
        _bad_when_some("overdue", of.overdue_orders, amount(of.overdue_orders)),
    ]


def most(rates: Mapping[str, float] | None, count: int) -> list[tuple[str, float]]:
    """The largest first; what does not happen is not told."""
    happening = [(name, rate) for name, rate in (rates or {}).items() if rate > 0]
    return sorted(happening, key=lambda item: (-item[1], item[0]))[:count]


def _of_queue(ledger: Ledger, queue: str) -> float | None:
    """A worker that does not answer says of its queue what it says of all: nothing."""
    return (ledger.consumed_per_second or {}).get(queue)


def _total(rates: Mapping[str, float] | None) -> float | None:
    return None if rates is None else sum(rates.values())


def _bad_when_some(name: str, value: float | None, words: str) -> Tile:
    return Tile(name, words, BAD if value else "bold")


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

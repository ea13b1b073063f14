"""A finished run as tables and as JSON."""

from typing import Any

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flashsale_cli.console import number, table
from flashsale_cli.load.latency import Latency, summarize
from flashsale_cli.load.outcomes import Group, Outcome
from flashsale_cli.load.tally import Tally

COLORS = {
    Group.ACCEPTED: "green",
    Group.REPLAYED: "cyan",
    Group.SOLD_OUT: "yellow",
    Group.LIMITED: "magenta",
    Group.REFUSED: "blue",
    Group.ERROR: "red",
}


def render(tally: Tally) -> RenderableType:
    line = Text(f"{number(tally.done())} requests in {tally.elapsed_seconds:.2f} s, {number(tally.per_second())} per second")
    return Lines(line, Text(), outcome_table(tally), Text(), latency_table(tally))


def outcome_table(tally: Tally) -> Table:
    return table("", ("outcome", " why", "requests", "share"), [_row(*item, tally.done()) for item in tally.sorted_outcomes()])


def latency_table(tally: Tally) -> Table:
    return latencies_table(tally.latencies())


def latencies_table(measured: dict[str, Latency]) -> Table:
    """A table of latencies in milliseconds."""
    names = ("latency, ms", "mean", "p50", "p90", "p95", "p99", "p99.9", "max")
    return table("", names, [(name, *latency.words()) for name, latency in measured.items()])


def to_json_over_time(tally: Tally) -> dict[str, Any]:
    """With the answers and latencies over time."""
    return to_json(tally) | {"timeline": tally.timeline.to_json()}


def to_json(tally: Tally) -> dict[str, Any]:
    latency, accepted = summarize(tally.seconds), summarize(tally.accepted_seconds)
    return {
        "requests": tally.done(),
        "seconds": round(tally.elapsed_seconds, 3),
        "per_second": round(tally.per_second(), 1),
        "groups": {group.value: tally.count(group) for group in Group},
        "outcomes": [_outcome_json(*item) for item in tally.sorted_outcomes()],
        "orders": len(tally.orders),
        "broken": tally.broken,
        "latency": latency.to_json() if latency else None,
        "latency_of_orders": accepted.to_json() if accepted else None,
    }


def _row(outcome: Outcome, count: int, done: int) -> tuple[Text, str, str, str]:
    why = f"{outcome.status} {outcome.code}".strip() if outcome.code and outcome.status else outcome.code
    return Text(outcome.group.value, COLORS[outcome.group]), why, number(count), f"{100 * count / done:.1f} %"


def _outcome_json(outcome: Outcome, count: int) -> dict[str, Any]:
    return {"group": outcome.group.value, "code": outcome.code, "status": outcome.status, "count": count}

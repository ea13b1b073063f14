"""A sale's history as SVG, drawn by the server. Pure.

It has no style of its own: classes take the page's colours, so it is right in light and dark. A table beneath it says the same in numbers.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from flashsale_console.history import History

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 8, 56, 14, 22
"""Margins: labels of values are at the right, next to the latest ones, and times below."""


def demand_svg(history: History) -> Markup:
    """Bars: units ordered in each bucket."""
    top = _nice(max(history.demand, default=0))
    width = _inner_width() / max(1, len(history.demand))
    bars = [
        f'<rect class="col" x="{LEFT + at * width:.1f}" y="{_y(units, top):.1f}" width="{max(0.5, width - 1):.1f}" '
        f'height="{_y(0, top) - _y(units, top):.1f}"/>'
        for at, units in enumerate(history.demand)
        if units
    ]
    label = f"Units ordered in each {span_words(history.step_seconds)}: at most {max(history.demand, default=0):,}"
    return _svg(label, [*_grid(top), *bars, *_times(history)])


def sold_svg(history: History, stock: int) -> Markup:
    """A line: units sold by each moment, below a rule at the stock."""
    top = _nice(max(stock, max(history.sold, default=0)))
    width = _inner_width() / max(1, len(history.sold))
    corners = [f"{LEFT},{_y(0, top):.1f}"]
    for at, units in enumerate(history.sold):
        corners += [f"{LEFT + at * width:.1f},{_y(units, top):.1f}", f"{LEFT + (at + 1) * width:.1f},{_y(units, top):.1f}"]
    end = history.sold[-1] if history.sold else 0
    line = [f'<polyline class="line" points="{" ".join(corners)}"/>'] if history.sold else []
    rule = f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{_y(stock, top):.1f}" y2="{_y(stock, top):.1f}"/>'
    return _svg(f"Units sold over time: {end:,} of {stock:,}", [*_grid(top), rule, *line, *_times(history)])


def span_words(seconds: int) -> str:
    """`second`, `10 s`, `5 min`, `hour`."""
    for size, single, unit in ((86_400, "day", "days"), (3600, "hour", "h"), (60, "minute", "min"), (1, "second", "s")):
        if seconds % size == 0:
            return single if seconds == size else f"{seconds // size} {unit}"
    return f"{seconds} s"


def table(history: History, rows_max: int = 12) -> list[tuple[str, int, int]]:
    """(time, units ordered, units sold by then) for a person who cannot see the plot: buckets are joined to at most `rows_max` rows."""
    size = -(-len(history.demand) // rows_max) or 1
    return [
        (
            clock(history.begin + at * history.step_seconds, history),
            sum(history.demand[at : at + size]),
            history.sold[min(at + size, len(history.sold)) - 1],
        )
        for at in range(0, len(history.demand), size)
    ]


def clock(second: int, history: History) -> str:
    """The time in UTC, with what tells the moments of this history apart."""
    span = history.end - history.begin
    pattern = "%H:%M:%S" if span < 7200 else "%d %b %H:%M" if span < 5 * 86_400 else "%d %b"
    return datetime.fromtimestamp(second, UTC).strftime(pattern)


def _svg(label: str, parts: Sequence[str]) -> Markup:
    # Every part is made of numbers and the names of classes here; the label has numbers and fixed words.
    inner = "".join(parts)
    return Markup(f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{inner}</svg>')  # noqa: S704


def _grid(top: int) -> list[str]:
    right = WIDTH - RIGHT
    return [
        f'<line class="rule" x1="{LEFT}" x2="{right}" y1="{_y(value, top):.1f}" y2="{_y(value, top):.1f}"/>'
        f'<text class="tick" x="{right + 6}" y="{_y(value, top) + 4:.1f}">{_short(value)}</text>'
        for value in (0, top // 2, top)
    ]


def _short(value: int) -> str:
    """A value of the grid, such as `400` or `20M`: on a telephone the margin has room for five characters."""
    for size, unit in ((10**9, "bn"), (10**6, "M"), (1000, "k")):
        if value >= size:
            return f"{value // size}{unit}"
    return str(value)


def _times(history: History) -> list[str]:
    if not history.demand:
        return []
    middle = history.begin + (history.end - history.begin) // 2
    places = ((LEFT, "start", history.begin), (LEFT + _inner_width() / 2, "middle", middle), (WIDTH - RIGHT, "end", history.end))
    return [
        f'<text class="tick" x="{x:.0f}" y="{HEIGHT - 4}" text-anchor="{anchor}">{clock(second, history)}</text>'
        for x, anchor, second in places
    ]


def _inner_width() -> int:
    return WIDTH - LEFT - RIGHT


def _y(units: float, top: int) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - min(units, top) / top)


def _nice(value: int) -> int:
    """The next even number of one digit and zeros, so that half of it is a whole number."""
    size = 1
    while value > 10 * size:
        size *= 10
    return next(step * size for step in (2, 4, 6, 8, 10) if step * size >= value)

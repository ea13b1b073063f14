"""A run over time as SVG. Pure.

It has no style of its own: classes take the page's colours, so it is right in light and dark. A table next to it says the same in numbers.
"""

from collections.abc import Callable, Sequence
from math import ceil, floor, log10

from flashsale_cli.html_report.elements import Html, element, svg_shape
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.timeline import SHOWN_PERCENTILES, Bin

WIDTH, HEIGHT = 640, 200
LEFT, RIGHT, TOP, BOTTOM = 4, 64, 12, 24
"""Margins: labels of values are at the right, and times below."""
SHARE_HEIGHT = 16
INNER = WIDTH - LEFT - RIGHT
FLOOR = HEIGHT - BOTTOM
Height = Callable[[float], float]
"""The place of a value on the axis, from 0 to 1."""


def class_of(group: Group) -> str:
    return group.value.replace(" ", "-")


def share_svg(counts: dict[Group, int]) -> Html:
    """One bar: the share of each outcome."""
    total, x = sum(counts.values()) or 1, 0.0
    parts = []
    for group, count in counts.items():
        if count:
            width = WIDTH * count / total
            # A gap of one unit, so that neighbours are told apart without their colours.
            parts.append(
                svg_shape("rect", class_=class_of(group), x=_short(x), y=0, width=_short(max(1.0, width - 1)), height=SHARE_HEIGHT)
            )
            x += width
    label = "Outcomes: " + ", ".join(f"{count:,} {group.value}" for group, count in counts.items() if count)
    return element(
        "svg", *parts, class_="share", viewBox=f"0 0 {WIDTH} {SHARE_HEIGHT}", role="img", aria_label=label, preserveAspectRatio="none"
    )


def rates_svg(bins: Sequence[Bin], widths: Sequence[float]) -> Html:
    """Stacked bars: answers per second by outcome. `widths` are the bins' lengths in seconds."""
    rates = [sum(each.counts.values()) / width for each, width in zip(bins, widths, strict=True)]
    top, end = nice(max(rates, default=0)), _end(bins, widths)
    bars = [bar for each, width in zip(bins, widths, strict=True) for bar in _stack(each, width, top, end)]
    label = f"Answers per second over {end:.1f} s: at most {max(rates, default=0):,.0f}"
    return _plot(label, [*_grid([0, top / 2, top], lambda value: value / top), *bars, *_times(end)])


def latency_svg(bins: Sequence[Bin], widths: Sequence[float]) -> Html:
    """Lines: percentiles of the latency, on a logarithmic scale."""
    values = [value for each in bins for value in each.percentiles_ms if value is not None]
    if not values:
        return _plot("Latency over time: nothing was answered", _times(_end(bins, widths)))
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    high = max(high, low + 1)

    def height(value: float) -> float:
        return (log10(value) - low) / (high - low)

    end = _end(bins, widths)
    lines = [
        svg_shape("polyline", class_=f"p{percentile:g}", points=_points(bins, widths, place, height))
        for place, percentile in enumerate(SHOWN_PERCENTILES)
    ]
    label = f"Latency over {end:.1f} s, from {min(values):,.1f} to {max(values):,.1f} ms"
    return _plot(label, [*_grid([10.0**power for power in range(low, high + 1)], height, " ms"), *lines, *_times(end)])


def nice(value: float) -> float:
    """The next 1, 2, 4, 6, 8 or 10 with zeros."""
    if value <= 0:
        return 1.0
    size = 10.0 ** floor(log10(value))
    return next(step * size for step in (1, 2, 4, 6, 8, 10) if step * size >= value)


def _stack(each: Bin, width: float, top: float, end: float) -> list[Html]:
    x, bar_width, y = LEFT + INNER * each.begin_seconds / end, max(0.5, INNER * width / end - 1), float(FLOOR)
    bars = []
    for group, count in each.counts.items():
        if count:
            height = (FLOOR - TOP) * count / width / top
            y -= height
            bars.append(svg_shape("rect", class_=class_of(group), x=_short(x), y=_short(y), width=_short(bar_width), height=_short(height)))
    return bars


def _points(bins: Sequence[Bin], widths: Sequence[float], place: int, height: Height) -> str:
    end = _end(bins, widths)
    corners = []
    for each, width in zip(bins, widths, strict=True):
        value = each.percentiles_ms[place]
        if value is not None:
            corners.append(f"{_short(LEFT + INNER * (each.begin_seconds + width / 2) / end)},{_short(_y(height(value)))}")
    return " ".join(corners)


def _grid(values: Sequence[float], height: Height, unit: str = "") -> list[Html]:
    parts = []
    for value in values:
        y = _y(height(value))
        parts += [
            svg_shape("line", class_="rule", x1=LEFT, x2=WIDTH - RIGHT, y1=_short(y), y2=_short(y)),
            element("text", f"{value:,.10g}{unit}", class_="tick", x=WIDTH - RIGHT + 6, y=_short(y + 4)),
        ]
    return parts


def _times(end: float) -> list[Html]:
    places = ((LEFT, "start", 0.0), (LEFT + INNER / 2, "middle", end / 2), (LEFT + INNER, "end", end))
    return [
        element("text", f"{second:.1f} s", class_="tick", x=_short(x), y=HEIGHT - 6, text_anchor=anchor) for x, anchor, second in places
    ]


def _plot(label: str, parts: Sequence[Html]) -> Html:
    return element("svg", *parts, class_="plot", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img", aria_label=label)


def _end(bins: Sequence[Bin], widths: Sequence[float]) -> float:
    return bins[-1].begin_seconds + widths[-1] if bins else 1.0


def _y(share: float) -> float:
    return TOP + (FLOOR - TOP) * (1 - share)


def _short(value: float) -> str:
    return f"{value:.1f}"

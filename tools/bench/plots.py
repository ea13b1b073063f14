"""`python -m tools.bench.plots`: the newest full result as pictures in docs/pictures. Needs matplotlib: `make plots` installs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from flashsale_cli.console import EXIT_USAGE, number
from tools.bench.figures import ACCEPTED, BARE, RATE_LIMITED, RAW, REPLAYED, SOLD_OUT
from tools.bench.outcome import SHARE_MAX, Measured, Outcome, by_rate, measured, newest, read_outcome
from tools.bench.run import RESULTS
from tools.dashboards.canvas import new_figure, points, save
from tools.dashboards.theme import BLUE, FAINT, FONT, GREEN, GRID, ORANGE, PANEL, PURPLE, TEXT, YELLOW
from tools.repository import PICTURES

WIDTH_PX, HEIGHT_PX, ROW_PX = 1100, 480, 26
TITLE_PX, LABEL_PX, SMALL_PX = 16, 12, 10.5
COLORS = {BARE: "#6c7280", RAW: "#b6bac2", ACCEPTED: GREEN, SOLD_OUT: ORANGE, REPLAYED: BLUE, RATE_LIMITED: PURPLE}
MARKERS = {BARE: "o", ACCEPTED: "s", SOLD_OUT: "^"}
HIGHEST = "p99.9"
QUANTILES = {"p50": (GREEN, "o"), "p99": (YELLOW, "s"), HIGHEST: (BLUE, "^")}
LABEL_ROOM = 0.08
MET, MISSED = "#37a2b4", "#d9480f"


def main(
    result: Annotated[Path | None, typer.Argument(help="A file that tools.bench.full wrote. Default: the newest.", exists=True)] = None,
    folder: Annotated[Path, typer.Option(help="Where the pictures go.")] = PICTURES,
) -> None:
    """Draw what the result has; what it has not is said."""
    path = result or newest(RESULTS)
    if path is None:
        typer.echo("plots: there is no result of tools.bench.full; run `python -m tools.bench.full` first", err=True)
        raise typer.Exit(EXIT_USAGE)
    outcome = read_outcome(path)
    for name, draw in PLOTS.items():
        figure = draw(outcome)
        if figure is None:
            typer.echo(f"not drawn: {name}.png, {path.name} has no numbers for it")
            continue
        save(figure, folder / f"{name}.png")
        typer.echo(f"drawn: {name}.png, from {path.name}")


def draw_rates(outcome: Outcome) -> Figure | None:
    """What the gateway does for each request of the bare endpoint, by kind and connections, with the bars."""
    if not outcome.figures:
        return None
    figure, axes = _plot(outcome, "Requests per second beside bare Starlette, in the same round", HEIGHT_PX)
    kinds = [kind for kind in outcome.kinds if kind != BARE]
    width = 0.8 / max(1, len(kinds))
    for place, kind in enumerate(kinds):
        _bars_of(axes, outcome, kind, (place - (len(kinds) - 1) / 2) * width, width)
    axes.axhline(1.0, color=COLORS[BARE], linewidth=points(1.2), linestyle="--", zorder=3, label=BARE)
    bare = [outcome.figure(BARE, count) for count in outcome.connections]
    labels = [
        f"{number(count)} connection{'s' if count > 1 else ''}\nbare Starlette {number(one.per_second)}/s"
        for count, one in zip(outcome.connections, bare, strict=True)
        if one
    ]
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylim(0, max(figure.ratio for figure in outcome.figures) * 1.12)
    axes.grid(axis="x", visible=False)
    _legend(axes)
    return figure


def _bars_of(axes: Axes, outcome: Outcome, kind: str, offset: float, width: float) -> None:
    for position, count in enumerate(outcome.connections):
        one = outcome.figure(kind, count)
        if one is None:
            continue
        x = position + offset
        axes.bar(x, one.ratio, width * 0.92, color=COLORS[kind], label=kind if position == 0 else None, zorder=2)
        # The number stands on its column, or on the bar's mark where that would be behind it.
        hidden = one.bar is not None and 0 <= one.bar.limit - one.ratio < LABEL_ROOM
        _say(axes, x, (one.bar.limit if one.bar and hidden else one.ratio) + 0.01, f"{one.ratio:.2f}", ha="center", va="bottom")
        if one.bar:
            _mark(axes, x, width * 0.46, one.bar.limit)


def draw_latency(outcome: Outcome) -> Figure | None:
    """p50 and p99 of a closed loop: as many requests under way as there are connections."""
    kinds = [kind for kind in outcome.kinds if kind in MARKERS]
    if not kinds:
        return None
    figure, axes = _plot(outcome, "Latency by connections, closed loop: p50 dashed, p99 solid", HEIGHT_PX)
    for kind in kinds:
        found = [(place, one) for place, count in enumerate(outcome.connections) if (one := outcome.figure(kind, count))]
        places, style = [place for place, _ in found], {"color": COLORS[kind], "marker": MARKERS[kind], "linewidth": points(2)}
        axes.plot(places, [one.p50_ms for _, one in found], linestyle="--", **style)
        axes.plot(places, [one.p99_ms for _, one in found], label=kind, **style)
        for place, one in found:
            if one.p99_bar:
                _mark(axes, place, 0.2, one.p99_bar.limit)
    axes.set_xticks(range(len(outcome.connections)), [number(count) for count in outcome.connections])
    axes.set_xlabel("connections", fontsize=points(LABEL_PX), color=FAINT, family=FONT)
    axes.margins(x=0.1)
    _milliseconds(axes)
    _legend(axes)
    return figure


def draw_open_loop(outcome: Outcome) -> Figure | None:
    """Latency while orders come at a constant rate, counted from when each was due."""
    rates = by_rate(outcome)
    if not rates:
        return None
    figure, axes = _plot(outcome, "Latency at a constant arrival rate, open loop, from when an order was due", HEIGHT_PX)
    for name, (color, marker) in QUANTILES.items():
        found = [(also["per_second"], also[name]) for also in rates if name in also]
        axes.plot([rate for rate, _ in found], [value for _, value in found], color=color, marker=marker, linewidth=points(2), label=name)
        for rate, value in found:
            # Above the highest line, below the others: they come near each other where the server is at its limit.
            highest = name == HIGHEST
            _say(axes, rate, value * (1.1 if highest else 0.9), _short(value), ha="center", va="bottom" if highest else "top")
    axes.set_xlim(0, rates[-1]["per_second"] * 1.1)
    axes.margins(y=0.12)
    axes.set_xlabel("orders per second", fontsize=points(LABEL_PX), color=FAINT, family=FONT)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    _milliseconds(axes)
    _legend(axes)
    return figure


def draw_bars(outcome: Outcome) -> Figure | None:
    """Everything that has a bar, as a share of it: met from 1 on. Missed ones differ in color, hatching and words."""
    found = measured(outcome)
    if not found:
        return None
    figure, axes = _plot(outcome, "Held against the bars: 1 is the bar, further right is better", 150 + ROW_PX * len(found), left_px=430)
    for row, one in enumerate(found):
        fill, edge, hatch = (MET, MET, "") if one.reached else (PANEL, MISSED, "////")
        axes.barh(row, one.share, 0.62, color=fill, edgecolor=edge, hatch=hatch, linewidth=points(1.2), zorder=2)
        _say(axes, max(1.0, one.share) + 0.03, row, _verdict(one), va="center")
    axes.axvline(1.0, color=TEXT, linewidth=points(1.2), zorder=3)
    axes.set_yticks(range(len(found)), [one.name for one in found])
    axes.set_ylim(len(found) - 0.4, -0.6)
    axes.set_xticks([0, 0.5, 1, 1.5, 2, 2.5, SHARE_MAX], ["0", "0.5", "1", "1.5", "2", "2.5", f"{SHARE_MAX:g} or more"])
    axes.set_xlim(0, SHARE_MAX * 1.3)
    axes.grid(axis="y", visible=False)
    return figure


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else number(value)


def _say(axes: Axes, x: float, y: float, words: str, **where: str) -> None:
    paper = {"facecolor": PANEL, "edgecolor": "none", "pad": 0.8, "alpha": 0.7}
    axes.text(x, y, words, fontsize=points(SMALL_PX), color=TEXT, family=FONT, zorder=5, bbox=paper, **where)


def _mark(axes: Axes, x: float, half: float, level: float) -> None:
    """A bar that is to be reached."""
    axes.plot([x - half, x + half], [level, level], color=TEXT, linewidth=points(4), zorder=4, solid_capstyle="butt", label="bar")


def _verdict(one: Measured) -> str:
    value = f"{one.value:.2f}" if one.value < 100 else number(one.value)
    verdict = f"{value} {one.unit}".strip() + f" ({one.bar})"
    return verdict if one.reached else f"{verdict}, missed"


def _plot(outcome: Outcome, title: str, height: float, left_px: float = 80) -> tuple[Figure, Axes]:
    """A figure with a title above, the machine below, and axes between."""
    figure = new_figure(WIDTH_PX, height, PANEL)
    figure.text(16 / WIDTH_PX, 1 - 24 / height, title, fontsize=points(TITLE_PX), color=TEXT, weight="bold", va="center", family=FONT)
    figure.text(16 / WIDTH_PX, 16 / height, outcome.where, fontsize=points(SMALL_PX), color=FAINT, va="center", family=FONT)
    axes: Axes = figure.add_axes((left_px / WIDTH_PX, 86 / height, (WIDTH_PX - left_px - 30) / WIDTH_PX, (height - 170) / height))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.grid(color=GRID, linewidth=points(1), zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, labelsize=points(LABEL_PX), labelcolor=TEXT, labelfontfamily=FONT, pad=points(6))
    return figure, axes


def _milliseconds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g} ms"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="minor", length=0)
    axes.grid(which="minor", color=GRID, linewidth=points(0.5))


def _legend(axes: Axes) -> None:
    """Above the axes, each name once, the bars last."""
    handles, labels = axes.get_legend_handles_labels()
    once: dict[str, object] = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] == "bar"))
    font = {"family": FONT, "size": points(LABEL_PX)}
    axes.legend(once.values(), once, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=len(once), frameon=False, prop=font, borderpad=0)


PLOTS: dict[str, Callable[[Outcome], Figure | None]] = {
    "bench-rates": draw_rates,
    "bench-latency": draw_latency,
    "bench-open-loop": draw_open_loop,
    "bench-bars": draw_bars,
}


if __name__ == "__main__":
    typer.run(main)

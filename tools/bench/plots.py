"""`python -m tools.bench.plots`: the newest full result as pictures in docs/pictures. Needs matplotlib: `make plots` installs it."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from flashsale_cli.console import EXIT_USAGE, number
from tools.bench.measurements import ACCEPTED, BARE, RATE_LIMITED, RAW, REPLAYED, SOLD_OUT
from tools.bench.options import PictureFolder
from tools.bench.result_file import SHARE_MAX, FullResult, Verdict, by_constant_rate, newest, read_result, verdicts
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
LABEL_ROOM, LABEL_LETTER_PX = 0.08, 6.6
REACHED, MISSED = "#37a2b4", "#d9480f"


def main(
    file: Annotated[Path | None, typer.Argument(help="A file that tools.bench.full wrote. Default: the newest file.", exists=True)] = None,
    folder: PictureFolder = PICTURES,
) -> None:
    """Draw each plot that the result has numbers for, and name the others."""
    path = file or newest(RESULTS)
    if path is None:
        typer.echo("plots: there is no result of tools.bench.full; run `python -m tools.bench.full` first", err=True)
        raise typer.Exit(EXIT_USAGE)
    result = read_result(path)
    for name, draw in PLOTS.items():
        figure = draw(result)
        if figure is None:
            typer.echo(f"not drawn: {name}.png, {path.name} has no numbers for it")
            continue
        save(figure, folder / f"{name}.png")
        typer.echo(f"drawn: {name}.png, from {path.name}")


def draw_rates(result: FullResult) -> Figure | None:
    """Requests of the gateway per request of the bare endpoint, by kind and connections, with the targets."""
    if not result.rates:
        return None
    figure, axes = _plot(result, "Requests per second, divided by those of bare Starlette in the same round", HEIGHT_PX)
    kinds = [kind for kind in result.kinds if kind != BARE]
    width = 0.8 / max(1, len(kinds))
    for place, kind in enumerate(kinds):
        _columns_of(axes, result, kind, (place - (len(kinds) - 1) / 2) * width, width)
    axes.axhline(1.0, color=COLORS[BARE], linewidth=points(1.2), linestyle="--", zorder=3, label=BARE)
    bare = [result.rate(BARE, count) for count in result.connections]
    labels = [
        f"{number(count)} connection{'s' if count > 1 else ''}\nbare Starlette {number(rate.per_second)}/s"
        for count, rate in zip(result.connections, bare, strict=True)
        if rate
    ]
    axes.set_xticks(range(len(labels)), labels)
    axes.set_ylim(0, max(rate.ratio for rate in result.rates) * 1.12)
    axes.grid(axis="x", visible=False)
    _legend(axes)
    return figure


def _columns_of(axes: Axes, result: FullResult, kind: str, offset: float, width: float) -> None:
    for position, count in enumerate(result.connections):
        rate = result.rate(kind, count)
        if rate is None:
            continue
        x = position + offset
        axes.bar(x, rate.ratio, width * 0.92, color=COLORS[kind], label=kind if position == 0 else None, zorder=2)
        # The number stands on its column, or above the target's mark where the mark would hide it.
        hidden = rate.target is not None and 0 <= rate.target.limit - rate.ratio < LABEL_ROOM
        level = rate.target.limit if rate.target and hidden else rate.ratio
        _write(axes, x, level + 0.01, f"{rate.ratio:.2f}", ha="center", va="bottom")
        if rate.target:
            _mark(axes, x, width * 0.46, rate.target.limit)


def draw_latency(result: FullResult) -> Figure | None:
    """p50 and p99 of a closed loop: each connection has one request under way."""
    kinds = [kind for kind in result.kinds if kind in MARKERS]
    if not kinds:
        return None
    figure, axes = _plot(result, "Response time by connections, closed loop: p50 dashed, p99 solid", HEIGHT_PX)
    for kind in kinds:
        placed = [(place, rate) for place, count in enumerate(result.connections) if (rate := result.rate(kind, count))]
        places, style = [place for place, _ in placed], {"color": COLORS[kind], "marker": MARKERS[kind], "linewidth": points(2)}
        axes.plot(places, [rate.p50_ms for _, rate in placed], linestyle="--", **style)
        axes.plot(places, [rate.p99_ms for _, rate in placed], label=kind, **style)
        for place, rate in placed:
            if rate.p99_target:
                _mark(axes, place, 0.2, rate.p99_target.limit)
    axes.set_xticks(range(len(result.connections)), [number(count) for count in result.connections])
    axes.set_xlabel("connections", fontsize=points(LABEL_PX), color=FAINT, family=FONT)
    axes.margins(x=0.1)
    _milliseconds(axes)
    _legend(axes)
    return figure


def draw_open_loop(result: FullResult) -> Figure | None:
    """Response time while orders arrive at a constant rate, from the moment when each was due."""
    rates = by_constant_rate(result)
    if not rates:
        return None
    figure, axes = _plot(result, "Response time at a constant arrival rate, open loop, from the moment when an order was due", HEIGHT_PX)
    for name, (color, marker) in QUANTILES.items():
        points_of = [(numbers["per_second"], numbers[name]) for numbers in rates if name in numbers]
        axes.plot(
            [rate for rate, _ in points_of], [value for _, value in points_of], color=color, marker=marker, linewidth=points(2), label=name
        )
        for rate, value in points_of:
            # Labels stand above the highest line and below the others, because the lines meet where the server is at its limit.
            highest = name == HIGHEST
            _write(axes, rate, value * (1.1 if highest else 0.9), _short(value), ha="center", va="bottom" if highest else "top")
    axes.set_xlim(0, rates[-1]["per_second"] * 1.1)
    axes.margins(y=0.12)
    axes.set_xlabel("orders per second", fontsize=points(LABEL_PX), color=FAINT, family=FONT)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    _milliseconds(axes)
    _legend(axes)
    return figure


def draw_targets(result: FullResult) -> Figure | None:
    """Everything that has a target, as a share of it: reached from 1 on. Missed ones differ in color, hatching and words."""
    listed = verdicts(result)
    if not listed:
        return None
    left_px = 30 + LABEL_LETTER_PX * max(len(verdict.name) for verdict in listed)
    figure, axes = _plot(
        result, "Compared with the targets: 1 is the target, further right is better", 150 + ROW_PX * len(listed), left_px=left_px
    )
    for row, verdict in enumerate(listed):
        fill, edge, hatch = (REACHED, REACHED, "") if verdict.reached else (PANEL, MISSED, "////")
        axes.barh(row, verdict.share, 0.62, color=fill, edgecolor=edge, hatch=hatch, linewidth=points(1.2), zorder=2)
        _write(axes, max(1.0, verdict.share) + 0.03, row, _verdict_words(verdict), va="center")
    axes.axvline(1.0, color=TEXT, linewidth=points(1.2), zorder=3)
    axes.set_yticks(range(len(listed)), [verdict.name for verdict in listed])
    axes.set_ylim(len(listed) - 0.4, -0.6)
    axes.set_xticks([0, 0.5, 1, 1.5, 2, 2.5, SHARE_MAX], ["0", "0.5", "1", "1.5", "2", "2.5", f"{SHARE_MAX:g} or more"])
    axes.set_xlim(0, SHARE_MAX * 1.3)
    axes.grid(axis="y", visible=False)
    return figure


def _short(value: float) -> str:
    return f"{value:.1f}" if value < 100 else number(value)


def _write(axes: Axes, x: float, y: float, words: str, **where: str) -> None:
    paper = {"facecolor": PANEL, "edgecolor": "none", "pad": 0.8, "alpha": 0.7}
    axes.text(x, y, words, fontsize=points(SMALL_PX), color=TEXT, family=FONT, zorder=5, bbox=paper, **where)


def _mark(axes: Axes, x: float, half: float, level: float) -> None:
    """Mark a target."""
    axes.plot([x - half, x + half], [level, level], color=TEXT, linewidth=points(4), zorder=4, solid_capstyle="butt", label="target")


def _verdict_words(verdict: Verdict) -> str:
    value = f"{verdict.value:.2f}" if verdict.value < 100 else number(verdict.value)
    words = f"{value} {verdict.unit}".strip() + f" ({verdict.target})"
    return words if verdict.reached else f"{words}, missed"


def _plot(result: FullResult, title: str, height: float, left_px: float = 80) -> tuple[Figure, Axes]:
    """A figure with a title at the top, the machine at the bottom, and axes between them."""
    figure = new_figure(WIDTH_PX, height, PANEL)
    figure.text(16 / WIDTH_PX, 1 - 24 / height, title, fontsize=points(TITLE_PX), color=TEXT, weight="bold", va="center", family=FONT)
    figure.text(16 / WIDTH_PX, 16 / height, result.machine_line, fontsize=points(SMALL_PX), color=FAINT, va="center", family=FONT)
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
    """Above the axes, each name once, the targets last."""
    handles, labels = axes.get_legend_handles_labels()
    once: dict[str, object] = dict(sorted(zip(labels, handles, strict=True), key=lambda pair: pair[0] == "target"))
    font = {"family": FONT, "size": points(LABEL_PX)}
    axes.legend(once.values(), once, loc="lower left", bbox_to_anchor=(0, 1.01), ncols=len(once), frameon=False, prop=font, borderpad=0)


PLOTS: dict[str, Callable[[FullResult], Figure | None]] = {
    "bench-rates": draw_rates,
    "bench-latency": draw_latency,
    "bench-open-loop": draw_open_loop,
    "bench-bars": draw_targets,
}


if __name__ == "__main__":
    typer.run(main)

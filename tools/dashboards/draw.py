"""One dashboard as one picture. Panels look as in Grafana: big numbers, lines with a legend below, a gauge. Needs matplotlib."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Wedge

from tools.dashboards.canvas import new_figure, points, save
from tools.dashboards.grid import HEAD_PX, MARGIN_PX, WIDTH_PX, Box, box, height_px, legend_rows
from tools.dashboards.panel_data import Series, TimeRange, clock, floors, largest, stacked
from tools.dashboards.reader import Dashboard, Panel, color_of
from tools.dashboards.theme import BORDER, FAINT, FONT, GRID, LABEL_PX, LEGEND_PX, NAMED, PAGE, PANEL, TEXT, TITLE_PX, line_colors
from tools.dashboards.units import axis_step, words

AXIS_STEPS = 4
TITLE_ROOM_PX, AXIS_ROOM_PX, TIMES_ROOM_PX, LEGEND_ROW_PX = 34, 66, 28, 17
PX_OF_A_TIME, HALF_A_TIME_PX = 80, 18
NO_DATA = "No data"


def draw_dashboard(dashboard: Dashboard, shown: Sequence[tuple[Panel, list[Series]]], time_range: TimeRange, path: Path) -> None:
    """Raises KeyError for a kind of panel or a unit that is missing in KINDS or in units.py."""
    page = Page(time_range, height_px(dashboard.height))
    page.text(MARGIN_PX, HEAD_PX / 2, dashboard.title, 19, weight="bold")
    words = f"{clock(time_range.start)} to {clock(time_range.end)} UTC · drawn from the dashboard's queries, not by Grafana"
    page.text(WIDTH_PX - MARGIN_PX - 8, HEAD_PX / 2, words, 11, FAINT, "right")
    for panel, series in shown:
        KINDS[panel.kind](page, panel, box(panel.place), series)
    save(page.figure, path)


class Page:
    """A figure with positions in pixels from the upper left corner."""

    def __init__(self, time_range: TimeRange, height: float) -> None:
        self.time_range = time_range
        self._height = height
        self.figure: Figure = new_figure(WIDTH_PX, height, PAGE)

    def text(self, x: float, y: float, text: str, pixels: float, color: str = TEXT, align: str = "left", weight: str = "normal") -> None:
        font = {"fontsize": points(pixels), "family": FONT, "weight": weight}
        self.figure.text(x / WIDTH_PX, 1 - y / self._height, text, color=color, ha=align, va="center", **font)

    def card(self, place: Box, title: str) -> None:
        left, bottom, width, height = place.in_figure(WIDTH_PX, self._height)
        card = FancyBboxPatch(
            (left, bottom), width, height, boxstyle="square,pad=0", facecolor=PANEL, edgecolor=BORDER, linewidth=points(1),
            transform=self.figure.transFigure, zorder=-1,
        )  # fmt: skip
        self.figure.add_artist(card)
        self.text(place.left + 10, place.top + TITLE_ROOM_PX / 2, title, TITLE_PX)

    def line(self, x: float, y: float, width: float, color: str) -> None:
        ends, level = [x / WIDTH_PX, (x + width) / WIDTH_PX], 1 - y / self._height
        self.figure.add_artist(Line2D(ends, [level, level], color=color, linewidth=points(3), transform=self.figure.transFigure))

    def axes(self, place: Box) -> Axes:
        axes: Axes = self.figure.add_axes(place.in_figure(WIDTH_PX, self._height))
        axes.set_facecolor("none")
        for spine in axes.spines.values():
            spine.set_visible(False)
        return axes

    def blank(self, place: Box) -> Axes:
        """Axes without ticks."""
        axes = self.axes(place)
        axes.set_xticks([])
        axes.set_yticks([])
        return axes


def draw_row(page: Page, panel: Panel, place: Box, _: Sequence[Series]) -> None:
    page.text(place.left + 2, place.top + place.height / 2, panel.title, 15, weight="bold")


def draw_stat(page: Page, panel: Panel, place: Box, series: Sequence[Series]) -> None:
    """The last number, and its history as a faint line."""
    page.card(place, panel.title)
    value, color = _last(panel, series)
    middle, room = place.left + place.width / 2, place.height - TITLE_ROOM_PX
    page.text(middle, place.top + TITLE_ROOM_PX + room * 0.4, _words(panel, value), min(44.0, room * 0.28), color, "center")
    if value is None or not panel.sparkline:
        return
    axes = page.blank(place.inside(1, place.height * 0.68, 1, 1))
    moments, values = page.time_range.moments, series[0].values
    axes.fill_between(moments, values, color=color, alpha=0.12, linewidth=0)
    axes.plot(moments, values, color=color, alpha=0.5, linewidth=points(1.2))
    axes.set_xlim(page.time_range.start, page.time_range.end)
    axes.set_ylim(0, (largest(series) or 1.0) * 1.05)


def draw_gauge(page: Page, panel: Panel, place: Box, series: Sequence[Series]) -> None:
    """A share from 0 to 1, as half a ring."""
    page.card(place, panel.title)
    value, color = _last(panel, series)
    axes = page.blank(place.inside(10, TITLE_ROOM_PX, 10, 8))
    axes.set_aspect("equal")
    axes.set_xlim(-1.05, 1.05)
    axes.set_ylim(-0.1, 1.05)
    axes.add_patch(Wedge((0, 0), 1, 0, 180, width=0.22, color=GRID))
    axes.add_patch(Wedge((0, 0), 1, 180 * (1 - min(1.0, max(0.0, value or 0.0))), 180, width=0.22, color=color))
    axes.text(0, 0.16, _words(panel, value), fontsize=points(25), color=color, ha="center", va="center", family=FONT)


def draw_lines(page: Page, panel: Panel, place: Box, series: Sequence[Series]) -> None:
    page.card(place, panel.title)
    colors = line_colors([each.name for each in series], panel.fixed)
    legend_px = _legend(page, place, series, colors)
    plot = place.inside(AXIS_ROOM_PX, TITLE_ROOM_PX, 14, TIMES_ROOM_PX + legend_px)
    tops = stacked(series) if panel.stacked else series
    below = floors(series) if panel.stacked else [[0.0] * len(each.values) for each in series]
    axes = page.axes(plot)
    _scale(axes, panel, largest(tops), page.time_range, plot.width)
    if not series:
        page.text(place.left + place.width / 2, place.top + place.height / 2, NO_DATA, 13, FAINT, "center")
    for top, floor, color in zip(tops, below, colors, strict=True):
        axes.plot(page.time_range.moments, top.values, color=color, linewidth=points(1.6), solid_capstyle="round", zorder=3)
        axes.fill_between(
            page.time_range.moments, floor, top.values, color=color, alpha=0.25 if panel.stacked else 0.05, linewidth=0, zorder=2
        )


def _legend(page: Page, place: Box, series: Sequence[Series], colors: Sequence[str]) -> float:
    """Draw the legend at the bottom of the panel. Returns its height."""
    left = place.left + 12
    rows = legend_rows([each.name for each in series], place.width - 24)
    height = len(rows) * LEGEND_ROW_PX + 6
    for number, row in enumerate(rows):
        y = place.top + place.height - height + LEGEND_ROW_PX * (number + 0.5)
        for offset, index in row:
            page.line(left + offset, y, 14, colors[index])
            page.text(left + offset + 20, y, series[index].name, LEGEND_PX, FAINT)
    return height


def _scale(axes: Axes, panel: Panel, most: float, time_range: TimeRange, width: float) -> None:
    """Axes from 0 to a round number."""
    step = axis_step(1.0 if panel.unit == "percentunit" else most, panel.unit, AXIS_STEPS)
    top = step * max(1, math.ceil(most / step - 1e-9))
    levels = [step * number for number in range(round((1.0 if panel.unit == "percentunit" else top) / step) + 1)]
    # The last time must not cross the panel's edge.
    latest = time_range.end - (time_range.end - time_range.start) * HALF_A_TIME_PX / width
    times = [at for at in time_range.clock_ticks(int(width / PX_OF_A_TIME)) if at <= latest]
    axes.set_xlim(time_range.start, time_range.end)
    axes.set_ylim(0, levels[-1] * 1.04)
    axes.set_yticks(levels, [words(level, panel.unit) for level in levels])
    axes.set_xticks(times, [clock(at) for at in times])
    axes.grid(color=GRID, linewidth=points(1), zorder=0)
    axes.tick_params(length=0, labelsize=points(LABEL_PX), labelcolor=FAINT, labelfontfamily=FONT, pad=points(5))
    axes.tick_params(axis="x", pad=points(9))


def _last(panel: Panel, series: Sequence[Series]) -> tuple[float | None, str]:
    """The number and its color."""
    value = series[0].last if series else None
    return value, FAINT if value is None else NAMED[color_of(panel, value)]


def _words(panel: Panel, value: float | None) -> str:
    return NO_DATA if value is None else panel.mapped.get(f"{value:g}", words(value, panel.unit))


KINDS: dict[str, Callable[[Page, Panel, Box, Sequence[Series]], None]] = {
    "row": draw_row,
    "stat": draw_stat,
    "gauge": draw_gauge,
    "timeseries": draw_lines,
}

"""Colors and fonts of the pictures: those of Grafana's light theme, some a shade darker to be seen on white."""

from collections.abc import Mapping, Sequence
from itertools import cycle

PAGE, PANEL, BORDER = "#f4f5f5", "#ffffff", "#dcdde0"
TEXT, FAINT, GRID = "#24292e", "#6c7280", "#e6e7ea"
GREEN, YELLOW, BLUE, ORANGE, RED, PURPLE = "#56a64b", "#e0b400", "#3274d9", "#ff780a", "#e02f44", "#a352cc"
MORE = ("#37a2b4", "#b0527c", "#6b7a3a", "#8f8f8f", "#8ab8ff", "#c4a26b", "#7eb26d", "#d683ce", "#2f4b7c")
SERIES = (GREEN, YELLOW, BLUE, ORANGE, RED, PURPLE, *MORE)
SHADES = {
    "dark-orange": "#b35400", "light-orange": "#ffb357", "dark-red": "#8f0d1c", "dark-purple": "#5f2b7a", "light-purple": "#c07fe0",
}  # fmt: skip
NAMED = {"green": GREEN, "yellow": YELLOW, "blue": BLUE, "orange": ORANGE, "red": RED, "purple": PURPLE, **SHADES, "": TEXT}
"""Name in a dashboard -> color."""
FONT = "DejaVu Sans"
TITLE_PX, LABEL_PX, LEGEND_PX = 13.0, 10.5, 11.0


def line_colors(names: Sequence[str], fixed: Mapping[str, str]) -> list[str]:
    """The color that the dashboard defines for each line, or else the next one that no other line of the panel has."""
    taken = {NAMED[fixed[name]] for name in names if name in fixed}
    free = cycle([color for color in SERIES if color not in taken])
    return [NAMED[fixed[name]] if name in fixed else next(free) for name in names]

"""Where a dashboard's panels and their legends are on a picture, in pixels from its upper left corner. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.dashboards.reader import Place

COLUMNS = 24
COLUMN_PX, ROW_PX, GAP_PX = 52, 38, 8
HEAD_PX, MARGIN_PX = 56, 12
"""Space above all panels, for the dashboard's title, and space around them."""
WIDTH_PX = COLUMNS * COLUMN_PX + 2 * MARGIN_PX
LETTER_PX, MARKER_PX = 6.6, 32
"""A legend's average letter, and the marker before a name with the space after it."""


@dataclass(frozen=True, slots=True)
class Box:
    left: float
    top: float
    width: float
    height: float

    def inside(self, left: float, top: float, right: float, bottom: float) -> "Box":
        """The box that is left when each side moves inwards by this much."""
        return Box(self.left + left, self.top + top, self.width - left - right, self.height - top - bottom)

    def in_figure(self, width: float, height: float) -> tuple[float, float, float, float]:
        """(left, bottom, width, height) as shares of a figure, as matplotlib counts."""
        return self.left / width, 1 - (self.top + self.height) / height, self.width / width, self.height / height


def box(place: Place) -> Box:
    """The place on the picture. Panels touch in the grid, and have a gap between them here."""
    left, top = MARGIN_PX + place.x * COLUMN_PX, HEAD_PX + place.y * ROW_PX
    return Box(left, top, place.width * COLUMN_PX - GAP_PX, place.height * ROW_PX - GAP_PX)


def height_px(rows: int) -> int:
    return HEAD_PX + rows * ROW_PX + MARGIN_PX


def legend_rows(names: Sequence[str], width: float) -> list[list[tuple[float, int]]]:
    """Rows of (offset from the left, index of the name). A row has one name at least, and otherwise those that fit."""
    rows: list[list[tuple[float, int]]] = []
    at = width
    for index, name in enumerate(names):
        needed = MARKER_PX + len(name) * LETTER_PX
        if not rows or at + needed > width:
            rows.append([])
            at = 0.0
        rows[-1].append((at, index))
        at += needed
    return rows

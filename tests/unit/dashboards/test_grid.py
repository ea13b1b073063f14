import pytest

from tools.dashboards.grid import GAP_PX, WIDTH_PX, Box, box, height_px, legend_rows
from tools.dashboards.reader import BOARDS, Place, read_dashboard


def test_neighbours_have_a_gap_between_them() -> None:
    left, right, below = box(Place(0, 0, 8, 7)), box(Place(8, 0, 8, 7)), box(Place(0, 7, 8, 7))
    assert right.left - (left.left + left.width) == GAP_PX
    assert below.top - (left.top + left.height) == GAP_PX


@pytest.mark.parametrize("name", BOARDS)
def test_every_panel_is_on_the_picture(name: str) -> None:
    board = read_dashboard(name)
    places = [box(panel.place) for panel in board.panels]
    assert all(place.left >= 0 and place.left + place.width <= WIDTH_PX for place in places)
    assert all(place.top >= 0 and place.top + place.height <= height_px(board.height) for place in places)


def test_figure_counts_from_the_bottom() -> None:
    assert Box(10, 20, 30, 40).in_figure(100, 200) == (0.1, 0.7, 0.3, 0.2)
    assert Box(10, 20, 30, 40).inside(1, 2, 3, 4) == Box(11, 22, 26, 34)


def test_long_legend_continues_in_the_next_row() -> None:
    rows = legend_rows(["accepted", "out_of_stock", "x" * 500], 200)
    assert [[index for _, index in row] for row in rows] == [[0, 1], [2]]
    assert rows[0][0][0] == rows[1][0][0] == 0.0
    assert legend_rows([], 200) == []

from tools.dashboards.reader import BOARDS, read_dashboard
from tools.dashboards.theme import BLUE, GREEN, NAMED, RED, SERIES, YELLOW, line_colors


def test_line_has_its_own_color_or_one_that_no_other_has() -> None:
    assert line_colors(["a", "Live", "b"], {"Live": "yellow", "Stalled": "red"}) == [GREEN, YELLOW, BLUE]
    assert line_colors(["Stalled"], {"Stalled": "red"}) == [RED]


def test_colors_repeat_when_all_are_used() -> None:
    names = [str(number) for number in range(len(SERIES) + 1)]
    assert line_colors(names, {})[-1] == SERIES[0]


def test_every_color_of_the_dashboards_has_a_shade() -> None:
    for name in BOARDS:
        for panel in read_dashboard(name).panels:
            assert {*panel.fixed.values(), *(color for _, color in panel.colors)} <= set(NAMED)

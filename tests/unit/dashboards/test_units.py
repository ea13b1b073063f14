import pytest

from tools.dashboards.reader import BOARDS, read_dashboard
from tools.dashboards.units import WORDS, axis_step, words


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        (0, "short", "0"),
        (999, "short", "999"),
        (12_345, "short", "12.3 K"),
        (2_500_000, "short", "2.5 Mil"),
        (0, "s", "0 s"),
        (0.0000004, "s", "400 ns"),
        (0.0125, "s", "12.5 ms"),
        (59, "s", "59 s"),
        (90, "s", "1.5 min"),
        (1_234, "locale", "1,234"),
        (1_500, "ops", "1.5 K ops/s"),
        (0.123, "percentunit", "12.3%"),
        (50 * 2**20, "bytes", "50 MiB"),
    ],
)
def test_number_is_written_as_in_grafana(value: float, unit: str, expected: str) -> None:
    assert words(value, unit) == expected


@pytest.mark.parametrize(
    ("largest", "unit", "expected"),
    [(7, "short", 2), (1, "percentunit", 0.5), (0.012, "s", 0.005), (450, "ops", 200), (70 * 2**20, "bytes", 32 * 2**20), (0, "s", 1)],
)
def test_axis_steps_are_round_numbers_of_the_unit(largest: float, unit: str, expected: float) -> None:
    assert axis_step(largest, unit, 4) == pytest.approx(expected)


@pytest.mark.parametrize("name", BOARDS)
def test_every_unit_of_the_dashboards_is_known(name: str) -> None:
    assert {panel.unit for panel in read_dashboard(name).panels if panel.targets} <= set(WORDS)

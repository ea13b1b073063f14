"""The ratio of a bench of the notifier: that of each round counts, and not that of the medians."""

from tools.bench.measurements import Target
from tools.bench.notifier_cost import OFF, ON, Turns


def test_ratio_is_the_median_of_the_rounds() -> None:
    turns = Turns({ON: [90.0, 450.0, 1000.0], OFF: [100.0, 500.0, 1000.0]})
    measured = turns.measurement("orders", Target(0.95))
    assert (measured.value, measured.reached, measured.details) == (0.9, False, "450/s and 500/s")

"""Numbers as Grafana writes them in the dashboards' units, and round steps for an axis. Pure."""

import math
from collections.abc import Callable, Sequence
from itertools import count

Scale = Sequence[tuple[float, str]]
"""(size, name), the largest first."""
TIMES: Scale = ((86400.0, " day"), (3600.0, " hour"), (60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"), (1e-9, " ns"))
THOUSANDS: Scale = ((1e9, " Bil"), (1e6, " Mil"), (1e3, " K"), (1.0, ""))
BINARY: Scale = ((2.0**40, " TiB"), (2.0**30, " GiB"), (2.0**20, " MiB"), (2.0**10, " KiB"), (1.0, " B"))
ROUND_STEPS = (1.0, 2.0, 5.0)
BINARY_STEPS = tuple(2.0**power for power in range(10))
DIGITS = 3
EPSILON = 1e-9


def words(value: float, unit: str) -> str:
    """The number as Grafana writes it. Raises KeyError for a unit that is missing in WORDS."""
    return WORDS[unit](value)


def axis_step(largest: float, unit: str, steps: int) -> float:
    """The distance between two lines of an axis from 0 to `largest`, with `steps` lines at most."""
    if largest <= 0:
        return 1.0
    least = largest / steps * (1 - EPSILON)
    base, first, multiples = (1024.0, 0, BINARY_STEPS) if unit == "bytes" else (10.0, _power(least), ROUND_STEPS)
    return next(step for power in count(first) for step in (base**power * multiple for multiple in multiples) if step >= least)


def _power(value: float) -> int:
    return math.floor(math.log10(abs(value)))


def _digits(value: float) -> str:
    """Three significant digits, without zeros at the end of a fraction."""
    if value == 0:
        return "0"
    text = f"{value:.{max(0, DIGITS - 1 - _power(value))}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _scaled(value: float, scale: Scale, zero: str) -> str:
    size, name = next(((size, name) for size, name in scale if abs(value) >= size), (1.0, zero))
    return _digits(value / size) + name


WORDS: dict[str, Callable[[float], str]] = {
    "short": lambda value: _scaled(value, THOUSANDS, ""),
    "locale": lambda value: f"{value:,.0f}" if abs(value) >= 100 else _digits(value),
    "s": lambda value: _scaled(value, TIMES, " s"),
    "ops": lambda value: f"{_scaled(value, THOUSANDS, '')} ops/s",
    "percentunit": lambda value: f"{_digits(value * 100)}%",
    "bytes": lambda value: _scaled(value, BINARY, " B"),
}
"""Unit in a dashboard's JSON -> the function that writes a number."""

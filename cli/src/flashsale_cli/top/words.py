"""Numbers as words of a few characters."""

UNKNOWN = "-"
_SPANS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def amount(value: float | None) -> str:
    """Of things that are counted: exact up to a million."""
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if abs(value) < 1_000_000 else f"{value / 1_000_000:,.1f}M"


def few(value: float | None) -> str:
    """Of rates and means: a decimal while it says something."""
    if value is None:
        return UNKNOWN
    return f"{value:.1f}" if 0 < value < 9.95 else amount(value)


def per_second(value: float | None) -> str:
    return UNKNOWN if value is None else f"{few(value)}/s"


def percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{100 * share:.0f} %"


def span(seconds: float | None) -> str:
    """A time that has passed or will."""
    if seconds is None:
        return UNKNOWN
    if seconds < 0.9995:
        return f"{1000 * seconds:.1f} ms" if 0 < seconds < 0.00995 else f"{1000 * seconds:.0f} ms"
    for size, unit in _SPANS:
        if seconds >= 2 * size:
            return f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"

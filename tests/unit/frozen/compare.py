"""A list of frozen names against the names that the product has now. Pure."""

from collections.abc import Collection

COMMAND = "python -m tests.unit.frozen --write"


def differences(listed: Collection[str], found: Collection[str]) -> list[str]:
    """One line for each name that is missing (`-`) or new (`+`), sorted by name."""
    missing, new = set(listed) - set(found), set(found) - set(listed)
    return [f"{'-' if name in missing else '+'} {name}" for name in sorted(missing | new)]


def explain(title: str, lines: Collection[str]) -> str:
    """The text of a failure."""
    head = f"Outward names changed ({title}): `-` is missing, `+` is new."
    advice = f"Others depend on these names. If the change is meant, run `{COMMAND}` and commit the list with it."
    return "\n".join((head, *lines, advice))

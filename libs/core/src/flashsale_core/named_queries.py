"""SQL statements in a file of their own, each below a line `-- name: <name>`. Pure."""

import re

_NAME = re.compile(r"^-- name: (\w+)\n", re.MULTILINE)


def named_queries(text: str) -> dict[str, str]:
    """The statements by the name above each."""
    _, *parts = _NAME.split(text)
    return dict(zip(parts[::2], parts[1::2], strict=True))

"""Times on the wire: RFC 3339 outside, milliseconds since the Unix epoch inside."""

from datetime import UTC, datetime
from functools import lru_cache


@lru_cache(maxsize=1024)
def rfc3339(ms: int) -> str:
    """`ms` as RFC 3339 in UTC with milliseconds. Cached: the orders of one batch share their deadline."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def to_ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)

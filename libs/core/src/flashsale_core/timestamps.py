"""Times on the wire: RFC 3339 outside, milliseconds since the Unix epoch inside. Pure."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal


def rfc3339(moment: datetime, timespec: Literal["seconds", "milliseconds"] = "milliseconds") -> str:
    """`moment`, which is in UTC, as RFC 3339 with a `Z`; finer parts of a second are cut off."""
    return moment.isoformat(timespec=timespec).replace("+00:00", "Z")


@lru_cache(maxsize=1024)
def rfc3339_of_ms(ms: int) -> str:
    """Milliseconds since the epoch as RFC 3339 in UTC, with milliseconds. Cached: the orders of one batch share their deadline."""
    return rfc3339(datetime.fromtimestamp(ms / 1000, UTC))


def to_ms(moment: datetime) -> int:
    """Milliseconds since the epoch; a `moment` without a zone is in this machine's zone."""
    return round(moment.timestamp() * 1000)

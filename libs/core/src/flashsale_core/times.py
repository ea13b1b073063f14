"""When a sale may begin and end: gateway, operator and the FlashSale's schema agree on it.

Whatever reads such a time must be able to say it in milliseconds and in words. 0 means none; Lua's JSON writes 14 digits and then a float;
Python's calendar ends with 9999, an offset before.
"""

from datetime import UTC, datetime

EARLIEST_MS = round(datetime(1970, 1, 2, tzinfo=UTC).timestamp() * 1000)
END_MS = round(datetime(3000, 1, 1, tzinfo=UTC).timestamp() * 1000)
IN_WORDS = "from 1970-01-02 to 2999-12-31, UTC"


def is_sale_time(ms: int) -> bool:
    return EARLIEST_MS <= ms < END_MS

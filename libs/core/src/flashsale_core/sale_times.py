"""When a sale may begin and end: gateway, operator and the FlashSale's schema agree on it. Pure.

0 means no time. Every reader must be able to write a sale time: Lua's JSON writes more than 14 digits as a float, and Python's calendar
ends with the year 9999 in every time zone.
"""

from datetime import UTC, datetime

from flashsale_core.timestamps import to_ms

EARLIEST_MS = to_ms(datetime(1970, 1, 2, tzinfo=UTC))
END_MS = to_ms(datetime(3000, 1, 1, tzinfo=UTC))
SALE_TIME_RULE = "from 1970-01-02 to 2999-12-31, UTC"


def is_sale_time(ms: int) -> bool:
    return EARLIEST_MS <= ms < END_MS

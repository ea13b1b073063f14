"""What one call of lua/scan.lua returned: a page of a sale's orders. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashsale_audit.facts import TotalsByState, totals_of
from flashsale_audit.lines import PART, SEPARATOR, Columns


@dataclass(frozen=True, slots=True)
class OrderPage:
    cursor: bytes
    """Where the next page begins; b"0" after the last one."""
    columns: Columns
    totals: TotalsByState
    """The units of the orders in the columns."""
    held: Sequence[str]
    """Held orders that are overdue, or whose deadline is another one in the list of deadlines."""
    waiting: Sequence[str]
    """Returned orders whose units wait to be for sale again."""
    strange: Sequence[str]
    """Orders that are not in the columns, because their records are unusual or cannot be read."""
    refunded: Mapping[str, Sequence[str]]
    """The payments that an order in the columns remembers as refunded."""


def parse_scan(answer: Sequence[Any]) -> OrderPage | None:
    """None if an order has a character that the columns cannot contain; then the page must be read strictly."""
    _, cursor, names, lines, counts, held, waiting, strange, refunded = answer
    size = sum(counts[2::3])
    if not (_is_column(names, size) and _is_column(lines, size) and lines.count(PART.encode()) == 2 * size):
        return None
    return OrderPage(
        cursor=cursor,
        columns=Columns(names[1:].decode(), lines[1:].decode(), size),
        totals=totals_of(
            (chr(code), quantity, orders) for code, quantity, orders in zip(counts[::3], counts[1::3], counts[2::3], strict=True)
        ),
        held=_names(held),
        waiting=_names(waiting),
        strange=_names(strange),
        refunded={order_id.decode(): [payment.decode(errors="replace") for payment in payments] for order_id, *payments in refunded},
    )


def _is_column(text: bytes, size: int) -> bool:
    return text.isascii() and b"\0" not in text and text.count(SEPARATOR.encode()) == size


def _names(names: Sequence[bytes]) -> list[str]:
    return [name.decode() for name in names]

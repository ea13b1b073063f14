"""Orders as two columns of text, which the ledger compares with its rows. lua/scan.lua or `columns_of` writes them. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

from flashsale_audit.records import Letter, PageRecord, Record
from flashsale_core.orders import LETTERS, WAS_PAID

SEPARATOR = "\x1f"
"""Between two orders."""
PART = "\x1d"
"""Between the parts of a line."""


class Columns(NamedTuple):
    names: str
    lines: str
    """The letter and user of each order, the quantity, and the payment id if it was paid."""
    size: int


def columns_of(records: Mapping[str, Record]) -> tuple[Columns, dict[str, Record]]:
    """The columns of these orders, and the records of those with other characters than printable ASCII, which no column can contain."""
    lines, others = {}, {}
    for order_id, record in records.items():
        payment_id = record.payment_id if record.state in WAS_PAID else ""
        text = f"{order_id}{record.user_id}{payment_id}"
        if text.isascii() and text.isprintable():
            lines[order_id] = f"{record.letter}{record.user_id}{PART}{record.quantity}{PART}{payment_id}"
        else:
            others[order_id] = record
    return Columns(SEPARATOR.join(lines), SEPARATOR.join(lines.values()), len(lines)), others


def joined(pages: Sequence[Columns]) -> Columns:
    return Columns(
        SEPARATOR.join([page.names for page in pages]), SEPARATOR.join([page.lines for page in pages]), sum(page.size for page in pages)
    )


def read_line(line: str) -> Record:
    """The order of a line, without its deadline."""
    user_id, quantity, payment_id = line[1:].split(PART)
    if line[0] not in LETTERS:
        raise ValueError(f"no order has the letter {line[0]}")
    return PageRecord(cast(Letter, line[0]), user_id, int(quantity), 0, "", payment_id)

"""Lists as CSV files: what a cell contains, and how a long list is read."""

import csv
import io
from datetime import UTC, datetime
from typing import Any

import pytest

from flashsale_console import csv_files
from flashsale_console.pages import exports
from flashsale_core.errors import Retryable

NOON = datetime(2026, 11, 30, 12, 0, 0, 123456, tzinfo=UTC)
ORDER = {
    "order_id": "A" * 20, "user_id": "ann", "quantity": 2, "state": "paid", "payment_id": None,
    "amount_minor": None, "currency": None, "reserved_at": None, "deadline": NOON, "updated_at": NOON,
}  # fmt: skip
REFUND = {
    "refund_id": 7, "state": "due", "sale_id": "shoe", "order_id": "A" * 20, "payment_id": "p1", "reason": "late",
    "amount_minor": 101_999, "refunded_minor": None, "currency": "EUR", "created_at": NOON,
}  # fmt: skip


def test_cells_are_plain_numbers_and_times_in_utc() -> None:
    shown = "2026-11-30 12:00:00"
    assert csv_files.order_cells("shoe", ORDER) == (f"shoe.{'A' * 20}", "ann", 2, "paid", "", "", "", "", shown, shown)
    paid = ORDER | {"payment_id": "p1", "amount_minor": 3998, "currency": "EUR"}
    assert csv_files.order_cells("shoe", paid)[4:7] == ("p1", "39.98", "EUR")
    assert csv_files.refund_cells(REFUND) == (7, "due", f"shoe.{'A' * 20}", "p1", "late", "1019.99", "EUR", "0.00", shown)
    restored = csv_files.refund_cells({**REFUND, "reason": "restored", "amount_minor": 0, "currency": ""})
    assert (restored[5], restored[7]) == ("", "")
    assert len(csv_files.order_cells("shoe", ORDER)) == len(csv_files.ORDER_COLUMNS)
    assert len(csv_files.refund_cells(REFUND)) == len(csv_files.REFUND_COLUMNS)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum(a1)"])
def test_id_that_begins_as_a_formula_is_a_text(text: str) -> None:
    assert csv_files.order_cells("shoe", {**ORDER, "user_id": text, "payment_id": text})[1:5:3] == (f"'{text}", f"'{text}")
    assert csv_files.refund_cells({**REFUND, "payment_id": text})[3] == f"'{text}"
    # A payment for an order whose name has no sale: its refund has the name as the webhook had it.
    assert csv_files.refund_cells({**REFUND, "sale_id": "", "order_id": text})[2] == f"'{text}"


def test_id_that_a_semicolon_splits_has_no_formula() -> None:
    assert csv_files.refund_cells({**REFUND, "payment_id": "p;=1+1;-2;a=b-c;d"})[3] == "p;'=1+1;'-2;a=b-c;d"
    assert csv_files.order_cells("shoe", {**ORDER, "user_id": ";@sum(a1)"})[1] == ";'@sum(a1)"


def test_cells_with_commas_and_quotes_are_read_back() -> None:
    cells = ["a,b", 'say "no"', "o'brien@example.com"]
    assert list(csv.reader(io.StringIO(csv_files.lines([cells])))) == [cells]


class Rows:
    """The ledger's answers to one list, part by part; an error is raised."""

    def __init__(self, *parts: int | Exception) -> None:
        self._parts = list(parts)
        self.asked: list[tuple[Any, ...]] = []

    async def rows(self, *values: Any) -> list[dict[str, Any]]:
        self.asked.append(values)
        part = self._parts.pop(0)
        if isinstance(part, Exception):
            raise part
        return [{**ORDER, "order_id": f"{len(self.asked)}-{number:05}"} for number in range(part)]


async def test_list_is_read_in_parts_after_the_last_row_of_the_part_before() -> None:
    ledger = Rows(exports.PART_ROWS, 2)
    text = "".join([part async for part in exports.orders_of(ledger, "shoe", 1)])
    assert (text.count("\r\n"), text.count("buyer")) == (1 + exports.PART_ROWS + 2, 1)
    assert [asked[3] for asked in ledger.asked] == ["", f"1-{exports.PART_ROWS - 1:05}"]


async def test_empty_list_is_a_file_with_the_names_of_its_columns() -> None:
    assert [part async for part in exports.orders_of(Rows(0), "shoe", 1)] == [",".join(csv_files.ORDER_COLUMNS) + "\r\n"]


async def test_ledger_that_goes_away_ends_the_file_with_an_error() -> None:
    parts = exports.orders_of(Rows(exports.PART_ROWS, Retryable("Postgres is away")), "shoe", 1)
    await anext(parts)
    with pytest.raises(Retryable):
        await anext(parts)


async def test_export_that_takes_too_long_ends_with_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "EXPORT_SECONDS_MAX", -1.0)
    parts = exports.orders_of(Rows(exports.PART_ROWS), "shoe", 1)
    await anext(parts)
    with pytest.raises(Retryable, match="took longer"):
        await anext(parts)

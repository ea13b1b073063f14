"""scan.lua returns the orders of a sale as the columns that the ledger compares, and names each order that needs a look of its own."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from flashsale_audit.facts import OrderTotals
from flashsale_audit.lines import Columns, columns_of
from flashsale_audit.records import read_records, read_refunded
from flashsale_audit.scan import OrderPage, parse_scan
from flashsale_core.orders import State
from flashsale_core.scripts import read_script
from tests.lua.servers import ROOT, Sale

SCAN = read_script(ROOT / "lua", "scan")
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RECORDS = (
    ["R", "ann", 1, 1_764_000_000_000],
    ["P", "auth0|" + 40 * "a", 127, 1_764_000_000_000, "", "pay-1"],
    ["P", "bob", 128, 1_764_000_000_000, TRACE, "pay-" + 40 * "b"],
    ["X", "bob", 3, 1_764_000_000_000, TRACE, "", "refunded-1", "refunded-2"],
    ["W", "bob", 70_000, 5_000, "", "pay-3", "refunded-1"],
)


def read(sale: Sale, cursor: str = "0", count: int = 500, overdue_ms: int = 0, strict: str = "") -> OrderPage | None:
    answer: Any = sale.redis.eval(SCAN.source, 2, sale.keys.orders, sale.shard.deadlines, sale.name, cursor, count, overdue_ms, strict)
    return parse_scan(answer)


def scan(sale: Sale, **options: Any) -> OrderPage:
    page = read(sale, **options)
    assert page is not None
    return page


def by_name(columns: Columns) -> dict[str, str]:
    return dict(zip(columns.names.split("\x1f"), columns.lines.split("\x1f"), strict=True)) if columns.size else {}


def test_page_has_each_order_as_a_line_and_the_sums_of_all(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1), ("o2", "ann", 2), ("o3", "bob", 3))
    sale.settle(("o3", "p1"))
    sale.cancel("o2")
    before = sale.snapshot()
    page = scan(sale)
    assert by_name(page.columns) == {"o1": "Rann\x1d1\x1d", "o2": "Cann\x1d2\x1d", "o3": "Pbob\x1d3\x1dp1"}
    assert page.totals == {State.RESERVED: OrderTotals(1, 1, 0), State.CANCELLED: OrderTotals(1, 2, 0), State.PAID: OrderTotals(1, 3, 3)}
    assert (page.cursor, page.held, page.waiting, page.strange) == (b"0", [], [], [])
    assert sale.snapshot() == before


def test_held_order_with_another_deadline_or_an_old_one_is_named(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(*[(f"o{number}", "ann", 1) for number in range(4)])
    (deadline_ms,) = set(sale.deadlines().values())
    assert scan(sale, overdue_ms=deadline_ms).held == []
    assert sorted(scan(sale, overdue_ms=deadline_ms + 1).held) == ["o0", "o1", "o2", "o3"]
    sale.redis.zadd(sale.shard.deadlines, {f"{sale.name}|o1": deadline_ms + 1})
    sale.redis.zrem(sale.shard.deadlines, f"{sale.name}|o2")
    assert sorted(scan(sale).held) == ["o1", "o2"]


def test_every_changed_byte_is_seen_as_the_decoder_sees_it(sale: Sale) -> None:
    packed = {"plain": msgspec.msgpack.encode(["R", "", 1, 1_764_000_000_000])}
    for number, fields in enumerate(RECORDS):
        whole = msgspec.msgpack.encode(fields)
        packed |= {f"{number}": whole, f"{number}-short": whole[:-1], f"{number}-long": whole + b"\x01"}
        for place in range(len(whole)):
            for bits in (0x01, 0x02, 0x04, 0x10, 0x40, 0x80, 0xFF):
                packed[f"{number}-{place}-{bits}"] = whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]
    sale.redis.hset(sale.keys.orders, mapping=packed)
    records, _ = read_records(packed)
    page, lines, strange, refunded, cursor = None, dict[str, str](), set[str](), dict[str, Sequence[str]](), "0"
    while page is None or page.cursor != b"0":
        page = scan(sale, cursor=cursor, strict="1")
        lines |= by_name(page.columns)
        strange |= set(page.strange)
        refunded |= page.refunded
        cursor = page.cursor.decode()
    expected = by_name(columns_of(records)[0])
    assert lines == {name: expected.get(name) for name in lines}
    assert lines.keys() | strange == packed.keys()
    remembered = read_refunded(packed)
    assert refunded == {name: payments for name, payments in remembered.items() if name in lines}
    assert refunded["3"] == ["refunded-1", "refunded-2"]
    assert lines.keys() >= {str(number) for number in range(len(RECORDS))} | {"plain"}


@pytest.mark.parametrize("character", ["\x1f", "\x1d", "\0", "\n", "ü"])
def test_order_with_a_character_of_no_column_is_named_by_a_strict_call(sale: Sale, character: str) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1))
    sale.redis.hset(sale.keys.orders, f"o2{character}", msgspec.msgpack.encode(["C", "ann", 1, 5_000]))
    sale.redis.hset(sale.keys.orders, "o3", msgspec.msgpack.encode(["C", f"ann{character}", 1, 5_000]))
    page = scan(sale, strict="1")
    assert (list(by_name(page.columns)), sorted(page.strange)) == (["o1"], [f"o2{character}", "o3"])
    assert (read(sale) is None) is (character != "\n")


def test_order_with_more_refunds_than_a_script_writes_is_named(sale: Sale) -> None:
    for refunds in (16, 17, 20_000):
        sale.redis.hset(sale.keys.orders, f"{refunds}", msgspec.msgpack.encode(["X", "ann", 1, 5_000, "", "", *["p"] * refunds]))
    page = scan(sale)
    assert ({name: len(payments) for name, payments in page.refunded.items()}, sorted(page.strange)) == ({"16": 16}, ["17", "20000"])


def test_returned_orders_that_wait_for_the_broker_are_named(sale: Sale) -> None:
    sale.redis.hset(sale.keys.orders, "o1", msgspec.msgpack.encode(["W", "ann", 2, 5_000, "", "p1"]))
    page = scan(sale)
    assert (page.waiting, page.totals) == (["o1"], {State.RETURNED: OrderTotals(1, 2, 2)})

"""look.lua returns orders, deadlines, buyers and counters of one moment, and writes nothing."""

from typing import Any

from flashsale_audit.look import Look, parse_look
from flashsale_core.orders import State
from flashsale_core.scripts import pack, read_script
from tests.lua.servers import ROOT, Sale

LOOK = read_script(ROOT / "lua", "look")


def look(sale: Sale, cursor: str = "", orders: tuple[str, ...] = (), users: tuple[str, ...] = (), count: int = 400) -> Look:
    keys = (sale.keys.sale, sale.keys.orders, sale.keys.buyers, sale.shard.deadlines, sale.shard.fence)
    answer: Any = sale.redis.eval(LOOK.source, len(keys), *keys, sale.name, cursor, count, pack(orders), pack(users), str(sale.now))
    return parse_look(sale.name, answer)


def test_page_has_each_order_with_its_deadline_and_its_buyer(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1), ("o2", "ann", 2), ("o3", "bob", 3))
    sale.settle(("o3", "p1"))
    before = sale.snapshot()
    page = look(sale, "0")
    assert {order_id: (record.state, record.quantity) for order_id, record in page.records.items()} == {
        "o1": (State.RESERVED, 1),
        "o2": (State.RESERVED, 2),
        "o3": (State.PAID, 3),
    }
    assert page.deadlines == sale.deadlines()
    assert page.units == {"ann": 3, "bob": 3}
    assert page.counters is not None
    assert (page.counters.total, page.counters.available, page.counters.reserved, page.counters.sold) == sale.stock()
    assert (page.counters.orders, page.cursor, page.now_ms) == (3, 0, sale.now)
    assert sale.snapshot() == before


def test_named_orders_and_users_are_returned_even_if_missing(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1))
    named = look(sale, orders=("o1", "o2"), users=("ann", "eve"))
    assert (list(named.records), list(named.deadlines), named.units) == (["o1"], ["o1"], {"ann": 1, "eve": 0})


def test_record_that_cannot_be_read_does_not_hide_the_others(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1", "ann", 1))
    sale.redis.hset(sale.keys.orders, "o2", b"rubbish")
    page = look(sale, "0")
    assert (list(page.records), list(page.unreadable), page.units) == (["o1"], ["o2"], {"ann": 1})


def test_pages_together_have_all_orders_of_a_large_sale(sale: Sale) -> None:
    sale.define(total=3_000)
    for first in range(0, 3_000, 250):
        sale.reserve(*[(f"o{number}", f"u{number}", 1) for number in range(first, first + 250)])
    records: dict[str, Any] = {}
    cursor, pages = "0", 0
    while pages == 0 or cursor != "0":
        page = look(sale, cursor)
        records |= page.records
        cursor, pages = str(page.cursor), pages + 1
    assert (len(records), pages > 5) == (3_000, True)


def test_many_named_orders_fit_into_one_look(sale: Sale) -> None:
    sale.define(total=10)
    sale.reserve(("o1999", "ann", 1))
    assert list(look(sale, orders=tuple(f"o{number}" for number in range(2_000))).records) == ["o1999"]


def test_sale_that_does_not_exist_has_no_counters(sale: Sale) -> None:
    assert look(sale, "0").counters is None


def test_shard_that_is_not_open_is_reported_with_its_reason(sale: Sale) -> None:
    sale.define(total=10)
    assert (look(sale).closed, look(sale).counters is not None) == ("", True)
    replid = sale.redis.hget(sale.shard.fence, "replid")
    for fields, reason in (({"replid": "another"}, "history"), ({"replid": replid, "state": "draining"}, "draining")):
        sale.redis.hset(sale.shard.fence, mapping=fields)
        assert look(sale).closed == reason
    sale.redis.delete(sale.shard.fence)
    assert look(sale).closed == "missing"

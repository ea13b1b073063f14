"""Returns of paid orders: their refunds are due, and their units are for sale again or stay sold."""

import pytest

from flashsale_core.messages import OrdersReturned, ReturnedLine
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord
from tests.lua.servers import Sale, unplaced


@pytest.fixture
def paid(sale: Sale) -> Sale:
    """Ten units; ann paid for two of them by p1, and may have no more."""
    sale.define(total=10, max_per_user=2)
    sale.reserve(("o1", "ann", 2, "00-aa-bb-01"))
    sale.settle(("o1", "p1"))
    return sale


@pytest.mark.parametrize(("restock", "stock", "letter"), [(True, (10, 10, 0, 0), "W"), (False, (10, 8, 0, 2), "K")])
def test_returned_units_are_for_sale_again_or_stay_sold(paid: Sale, restock: bool, stock: tuple[int, ...], letter: str) -> None:
    deadline = paid.records()["o1"].deadline_ms
    assert paid.take_back(("o1", restock, "bob")) == [["returned", letter, 2, deadline, "p1"]]
    # No unit is for sale again before the broker has confirmed the return.
    assert (paid.stock(), paid.buyers(), paid.released(), paid.deadlines()) == ((10, 8, 0, 2), {}, {}, {})
    assert paid.records()["o1"] == OrderRecord(State.RETURNED, "ann", 2, deadline, "00-aa-bb-01", "p1", (), letter)
    key, body = paid.outbox()[-1]
    line = ReturnedLine("o1", "ann", 2, deadline, "p1", restock, "00-aa-bb-01", "bob")
    assert (key, unplaced(body)) == (
        "payment.recorded", OrdersReturned(v=1, sale="iphone", epoch=paid.now, at=paid.now, orders=[line]),
    )  # fmt: skip
    entries = len(paid.outbox())
    assert [paid.restock("o1", "o1", "none"), paid.restock("o1")] == [2 * restock, 0]
    assert (paid.stock(), len(paid.outbox())) == (stock, entries)


def test_buyer_who_returned_may_buy_again(paid: Sale) -> None:
    assert paid.reserve(("o2", "ann", 1))[0][0] == "user_limit"
    paid.take_back(("o1", False))
    assert [result[0] for result in paid.reserve(("o1", "ann", 2), ("o2", "ann", 2))] == ["gone", "accepted"]
    assert (paid.stock(), paid.buyers()) == ((10, 6, 2, 2), {"ann": 2})


def test_repeat_gets_the_first_answer_and_changes_nothing(paid: Sale) -> None:
    first = paid.take_back(("o1", True))[0]
    before = paid.snapshot()
    assert paid.take_back(("o1", False), ("o1", True)) == [["replayed", *first[1:]]] * 2
    assert paid.snapshot() == before


def test_repeat_is_noted_again_for_a_caller_that_waits_for_the_confirm(paid: Sale) -> None:
    paid.take_back(("o1", True))
    first, state = paid.outbox()[-1], (paid.records(), paid.stock(), paid.buyers())
    assert paid.take_back(("o1", False), confirms=True)[0][0] == "replayed"
    key, body = paid.outbox()[-1]
    assert (key, unplaced(body), len(paid.outbox())) == (first[0], unplaced(first[1]), 5)
    assert (paid.records(), paid.stock(), paid.buyers()) == state
    # Units that are for sale again are proof that it was confirmed.
    paid.restock("o1")
    assert (paid.take_back(("o1", True), confirms=True)[0][:2], len(paid.outbox())) == (["replayed", "T"], 5)


def test_order_in_a_batch_twice_is_returned_once(paid: Sale) -> None:
    assert [result[0] for result in paid.take_back(("o1", True), ("o1", True), ("none", True))] == ["returned", "replayed", "unknown_order"]
    assert (paid.restock("o1"), paid.stock(), paid.buyers()) == (2, (10, 10, 0, 0), {})


@pytest.mark.parametrize("letter", ["K", "W", "T"])
def test_payments_of_a_returned_order_never_buy(paid: Sale, letter: str) -> None:
    paid.define(late_payment="reacquire")
    paid.take_back(("o1", letter != "K"))
    if letter == "T":
        paid.restock("o1")
    before = paid.stock()
    assert paid.settle(("o1", "p1"), ("o1", "p2"), ("o1", "p2")) == [
        ["replayed", letter, ""], ["refund_due", letter, "duplicate"], ["refund_due", letter, "replayed"],
    ]  # fmt: skip
    assert paid.cancel("o1")[0][0] == "gone"
    assert (paid.stock(), paid.records()["o1"].refunded_payment_ids) == (before, ("p2",))


def test_unpaid_orders_are_not_returned(paid: Sale) -> None:
    paid.reserve(("held", "bob", 1), ("left", "cem", 1))
    paid.cancel("left")
    before = paid.snapshot()
    assert [result[:2] for result in paid.take_back(("held", True), ("left", True), ("none", True), confirms=True)] == [
        ["refused", "R"], ["refused", "C"], ["unknown_order", ""],
    ]  # fmt: skip
    assert paid.snapshot() == before
    assert Sale(paid.redis, "unknown").take_back(("o1", True))[0][0] == "unknown_order"


def test_returned_units_first_cover_what_was_sold_beyond_the_stock(paid: Sale) -> None:
    # A rebuild after lost data: one unit was defined, and two are sold.
    paid.redis.hset(paid.keys.sale, mapping={"total": 2, "available": 0, "oversold": 1})
    paid.take_back(("o1", True))
    assert (paid.restock("o1"), paid.stock(), paid.redis.hget(paid.keys.sale, "oversold")) == (2, (1, 1, 0, 0), b"0")


@pytest.mark.parametrize("field", ["restocked", "sold", "oversold"])
def test_restock_of_a_broken_sale_changes_nothing(paid: Sale, field: str) -> None:
    paid.take_back(("o1", True))
    paid.redis.hset(paid.keys.sale, field, "many")
    before = paid.snapshot()
    with pytest.raises(Exception, match=r"number|arithmetic|nil"):
        paid.restock("o1")
    assert paid.snapshot() == before


@pytest.mark.parametrize(("key", "field"), [("sale", "returned"), ("sale", "sold"), ("buyers", "ann")])
def test_return_from_a_broken_sale_changes_nothing(paid: Sale, key: str, field: str) -> None:
    paid.redis.hset(getattr(paid.keys, key), field, "many")
    before = paid.snapshot()
    with pytest.raises(Exception, match=r"number|arithmetic|nil"):
        paid.take_back(("o1", True))
    assert paid.snapshot() == before

import pytest

from flashsale_core.messages import PaymentLine, PaymentsRecorded, SaleDefined
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord
from tests.lua.servers import Sale, unplaced


@pytest.fixture
def held(sale: Sale) -> Sale:
    """Ten units; order o1 of ann holds two of them."""
    sale.define(total=10)
    sale.reserve(("o1", "ann", 2))
    return sale


def expire(sale: Sale, *order_ids: str) -> None:
    sale.now += 300_000
    sale.expire(*order_ids)


def test_payment_sells_the_held_units(held: Sale) -> None:
    deadline = held.deadlines()["o1"]
    assert held.settle(("o1", "p1")) == [["paid", "P", ""]]
    assert (held.stock(), held.deadlines(), held.buyers()) == ((10, 8, 0, 2), {}, {"ann": 2})
    assert held.records() == {"o1": OrderRecord(State.PAID, "ann", 2, deadline, payment_id="p1")}


def test_outbox_entry_contains_the_whole_payment(held: Sale) -> None:
    held.settle(("o1", "p1", "succeeded", 1999, "EUR", "00-aa-bb-01"), ("nobody", "p2"))
    key, body = held.outbox()[-1]
    assert key == "payment.recorded"
    assert unplaced(body) == PaymentsRecorded(
        v=1, sale="iphone", epoch=held.now, at=held.now,
        payments=[
            PaymentLine("o1", "p1", "paid", "", 1999, "EUR", "ann", 2, held.now + 300_000, "00-aa-bb-01"),
            PaymentLine("nobody", "p2", "refund_due", "unknown_order", 100, "EUR", "", 0, 0, ""),
        ],
    )  # fmt: skip


def test_payment_of_the_last_unit_says_how_many_were_sold(sale: Sale) -> None:
    sale.define(total=3)
    sale.reserve(("o1", "ann", 2), ("o2", "bob", 1))
    sold_out = []
    for order in ("o1", "o2"):
        sale.settle((order, f"p-{order}"))
        message = unplaced(sale.outbox()[-1][1])
        assert isinstance(message, PaymentsRecorded)
        sold_out.append(message.sold_out)
    # While a hold is left, its units may return.
    assert sold_out == [0, 3]


def test_sale_that_is_sold_out_again_says_how_many_units_had_come_back(sale: Sale) -> None:
    sale.define(total=3)
    sale.reserve(("o1", "ann", 2), ("o2", "bob", 1))
    sale.settle(("o1", "p1"), ("o2", "p2"))
    sale.take_back(("o2", True))
    sale.restock("o2")
    sale.reserve(("o3", "eve", 1))
    sale.settle(("o3", "p3"))
    message = unplaced(sale.outbox()[-1][1])
    assert isinstance(message, PaymentsRecorded)
    assert (message.sold_out, message.restocked) == (3, 1)
    sale.define(generation=2, total=3, max_per_user=5)
    defined = unplaced(sale.outbox()[-1][1])
    assert isinstance(defined, SaleDefined)
    assert (defined.sold, defined.restocked) == (3, 1)


def test_replay_of_the_payment_changes_nothing(held: Sale) -> None:
    held.settle(("o1", "p1"))
    before = held.snapshot()
    assert held.settle(("o1", "p1"), ("o1", "p1")) == [["replayed", "P", ""]] * 2
    assert held.snapshot() == before


def test_second_payment_is_refunded_and_remembered(held: Sale) -> None:
    assert held.settle(("o1", "p1"), ("o1", "p2")) == [["paid", "P", ""], ["refund_due", "P", "duplicate"]]
    before = held.snapshot()
    assert held.settle(("o1", "p2"), ("o1", "p1")) == [["refund_due", "P", "replayed"], ["replayed", "P", ""]]
    assert held.snapshot() == before
    assert held.records()["o1"].refunded_payment_ids == ("p2",)


def test_replayed_payment_is_noted_again_for_a_caller_that_waits_for_the_confirm(held: Sale) -> None:
    held.reserve(("o2", "bob", 1))
    held.cancel("o2")
    held.settle(("o1", "p1"), ("o1", "p2"), ("o2", "p3"), ("nobody", "p4"))
    first, state = lines(held), (held.records(), held.stock())
    answers = held.settle_confirmed(("o1", "p1"), ("o1", "p2"), ("o2", "p3"), ("nobody", "p4"))
    assert answers == [
        ["replayed", "P", ""],
        ["refund_due", "P", "replayed"],
        ["refund_due", "C", "replayed"],
        ["undecided", "", "replayed"],
    ]
    assert (lines(held), (held.records(), held.stock())) == (first, state)
    assert [line.result for line in first] == ["paid", "refund_due", "refund_due", "refund_due"]


def lines(sale: Sale) -> list[PaymentLine]:
    """The payments in the newest entry."""
    message = unplaced(sale.outbox()[-1][1])
    assert isinstance(message, PaymentsRecorded)
    return message.payments


def test_late_refund_is_noted_again_with_its_reason(held: Sale) -> None:
    expire(held, "o1")
    held.settle(("o1", "p1"))
    first = lines(held)
    assert held.settle_confirmed(("o1", "p1")) == [["refund_due", "X", "replayed"]]
    assert (lines(held), len(held.outbox())) == (first, 5)


def test_failed_payment_is_noted_and_the_hold_stays(held: Sale) -> None:
    assert held.settle(("o1", "p1", "failed"), ("nobody", "p2", "failed")) == [["noted", "R", ""], ["noted", "", ""]]
    assert held.stock() == (10, 8, 2, 0)
    assert held.settle(("o1", "p1")) == [["paid", "P", ""]]


def test_payment_of_a_cancelled_order_is_refunded(held: Sale) -> None:
    held.cancel("o1")
    assert held.settle(("o1", "p1")) == [["refund_due", "C", "cancelled"]]
    assert held.stock() == (10, 10, 0, 0)


def test_late_payment_is_refunded_under_refund(held: Sale) -> None:
    expire(held, "o1")
    assert held.settle(("o1", "p1")) == [["refund_due", "X", "late"]]
    assert held.stock() == (10, 10, 0, 0)


def test_late_payment_buys_again_under_reacquire(held: Sale) -> None:
    held.define(late_payment="reacquire")
    expire(held, "o1")
    assert held.settle(("o1", "p1")) == [["paid", "P", ""]]
    assert (held.stock(), held.buyers(), held.deadlines()) == ((10, 8, 0, 2), {"ann": 2}, {})


def test_late_payment_without_stock_is_refunded(held: Sale) -> None:
    held.define(late_payment="reacquire")
    expire(held, "o1")
    held.reserve(("o2", "bob", 9))
    assert held.settle(("o1", "p1")) == [["refund_due", "X", "sold_out"]]
    assert held.stock() == (10, 1, 9, 0)


def test_late_payment_beyond_the_buyers_limit_is_refunded(held: Sale) -> None:
    held.define(late_payment="reacquire", max_per_user=3)
    expire(held, "o1")
    held.reserve(("o2", "ann", 2))
    expire(held, "o2")
    assert held.settle(("o1", "p1"), ("o2", "p2")) == [["paid", "P", ""], ["refund_due", "X", "late"]]
    assert (held.stock(), held.buyers()) == ((10, 8, 0, 2), {"ann": 2})
    assert held.settle(("o2", "another")) == [["refund_due", "X", "late"]]


def test_refunded_payment_never_buys_later(held: Sale) -> None:
    expire(held, "o1")
    held.settle(("o1", "p1"))
    held.define(late_payment="reacquire")
    assert held.settle(("o1", "p1")) == [["refund_due", "X", "replayed"]]
    assert held.settle(("o1", "p2")) == [["paid", "P", ""]]
    assert held.stock() == (10, 8, 0, 2)


def test_order_with_too_many_refunds_accepts_no_payment(held: Sale) -> None:
    expire(held, "o1")
    held.settle(*[("o1", f"p{number}") for number in range(16)])
    held.define(late_payment="reacquire")
    assert held.settle(("o1", "another")) == [["refund_due", "X", "late"]]
    assert len(held.records()["o1"].refunded_payment_ids) == 16
    assert held.stock() == (10, 10, 0, 0)


def test_paid_order_refunds_without_limit_and_remembers_sixteen(held: Sale) -> None:
    held.settle(("o1", "p"))
    results = held.settle(*[("o1", f"q{number}") for number in range(20)])
    assert {tuple(result) for result in results} == {("refund_due", "P", "duplicate")}
    assert (len(held.records()["o1"].refunded_payment_ids), held.stock()) == (16, (10, 8, 0, 2))


def test_payment_past_the_deadline_but_before_the_expiry_is_in_time(held: Sale) -> None:
    held.now += 400_000
    assert held.settle(("o1", "p1")) == [["paid", "P", ""]]


def test_payment_for_an_unknown_sale_is_recorded(sale: Sale) -> None:
    assert sale.settle(("o1", "p1")) == [["undecided", "", "unknown_order"]]
    _, body = sale.outbox()[-1]
    message = unplaced(body)
    assert isinstance(message, PaymentsRecorded)
    assert (message.epoch, message.payments[0].reason, sale.redis.exists(sale.shard.strays)) == (0, "unknown_order", 1)


def test_largest_amount_survives_the_scripts_json(held: Sale) -> None:
    held.settle(("o1", "p1", "succeeded", 10**12 - 1))
    message = unplaced(held.outbox()[-1][1])
    assert isinstance(message, PaymentsRecorded)
    assert message.payments[0].amount_minor == 10**12 - 1


def test_refunded_payment_does_not_buy_an_order_that_is_made_later(sale: Sale) -> None:
    sale.define(total=5)
    assert sale.settle(("o1", "p1"), ("o1", "p1")) == [["undecided", "", "unknown_order"], ["undecided", "", "replayed"]]
    sale.reserve(("o1", "ann", 1))
    entries = len(sale.outbox())
    assert sale.settle(("o1", "p1")) == [["undecided", "R", "replayed"]]
    assert (len(sale.outbox()), sale.stock()) == (entries, (5, 4, 1, 0))
    assert sale.settle(("o1", "p2"), ("o1", "p1")) == [["paid", "P", ""], ["undecided", "P", "replayed"]]
    assert sale.stock() == (5, 4, 0, 1)


def test_strays_belong_to_one_sale_and_are_deleted_after_a_week(sale: Sale) -> None:
    sale.settle(("o1", "p1"))
    other = Sale(sale.redis, "pixel")
    assert other.settle(("o1", "p1")) == [["undecided", "", "unknown_order"]]
    assert 0 < sale.redis.pttl(sale.shard.strays) <= 7 * 24 * 3600 * 1000


def test_number_of_remembered_strays_is_limited(sale: Sale) -> None:
    sale.redis.hset(sale.shard.strays, "#", 100_000)
    assert [result[2] for result in sale.settle(("o1", "p1"), ("o2", "p2"))] == ["unknown_order", "unknown_order"]
    assert sale.redis.hgetall(sale.shard.strays) == {b"#": b"100000"}


@pytest.fixture
def priced(held: Sale) -> Sale:
    """As `held`, and a unit costs 19.99 EUR."""
    held.define(price="1999 EUR")
    return held


@pytest.mark.parametrize("money", [(1999, "EUR"), (3997, "EUR"), (3999, "EUR"), (3998, "USD"), (0, "EUR")])
def test_wrong_amount_is_refunded_and_the_hold_stays_for_the_right_one(priced: Sale, money: tuple[int, str]) -> None:
    before = (priced.stock(), priced.deadlines(), priced.buyers())
    assert priced.settle(("o1", "p1", "succeeded", *money)) == [["refund_due", "R", "wrong_amount"]]
    assert (priced.stock(), priced.deadlines(), priced.buyers()) == before
    assert lines(priced)[0].reason == "wrong_amount"
    assert priced.settle(("o1", "p2", "succeeded", 3998, "EUR")) == [["paid", "P", ""]]
    record = priced.records()["o1"]
    assert (record.payment_id, record.refunded_payment_ids, priced.stock()) == ("p2", ("p1",), (10, 8, 0, 2))


def test_repeat_of_a_wrong_payment_never_buys_at_a_later_price(priced: Sale) -> None:
    priced.settle(("o1", "p1", "succeeded", 2000, "EUR"))
    priced.define(price="1000 EUR")
    assert priced.settle_confirmed(("o1", "p1", "succeeded", 2000, "EUR")) == [["refund_due", "R", "replayed"]]
    assert (lines(priced)[0].result, lines(priced)[0].reason) == ("refund_due", "wrong_amount")
    assert priced.stock() == (10, 8, 2, 0)


def test_hold_that_can_remember_no_refund_takes_no_payment(priced: Sale) -> None:
    priced.settle(*[("o1", f"p{number}", "succeeded", 1) for number in range(16)])
    assert priced.settle(("o1", "right", "succeeded", 3998, "EUR")) == [["refund_due", "R", "wrong_amount"]]
    assert (len(priced.records()["o1"].refunded_payment_ids), priced.stock()) == (16, (10, 8, 2, 0))


def test_present_price_counts_and_none_takes_any_amount(priced: Sale) -> None:
    priced.define(price="500 EUR")
    assert priced.settle(("o1", "p1", "succeeded", 1000, "EUR")) == [["paid", "P", ""]]
    priced.reserve(("o2", "bob", 1))
    priced.define(price="")
    assert priced.settle(("o2", "p2", "succeeded", 7, "JPY")) == [["paid", "P", ""]]


def test_late_payment_of_a_wrong_amount_buys_nothing_back(priced: Sale) -> None:
    priced.define(late_payment="reacquire")
    expire(priced, "o1")
    assert priced.settle(("o1", "p1", "succeeded", 1, "EUR")) == [["refund_due", "X", "wrong_amount"]]
    assert priced.stock() == (10, 10, 0, 0)
    assert priced.settle(("o1", "p2", "succeeded", 3998, "EUR")) == [["paid", "P", ""]]


def test_failed_payment_of_any_amount_is_noted(priced: Sale) -> None:
    assert priced.settle(("o1", "p1", "failed", 1, "EUR")) == [["noted", "R", ""]]


def test_sale_of_an_older_release_has_no_price(held: Sale) -> None:
    held.redis.hdel(held.keys.sale, "price")
    assert held.settle(("o1", "p1", "succeeded", 1, "EUR")) == [["paid", "P", ""]]


def test_price_that_cannot_be_read_changes_nothing(held: Sale) -> None:
    held.redis.hset(held.keys.sale, "price", "19.99 EUR")
    before = held.snapshot()
    assert "INVARIANT the price 19.99 EUR cannot be read (sale iphone)" in "".join(map(str, held.settle(("o1", "p1"))))
    assert held.snapshot() == before

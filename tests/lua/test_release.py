"""`expire` and `cancel`: the two ways in which units are released."""

import pytest

from flashsale_core.messages import OrderLine, OrdersCancelled, OrdersExpired
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord, stale_terms
from tests.lua.servers import Sale, unplaced


@pytest.fixture
def held(sale: Sale) -> Sale:
    """Ten units; o1 (ann, 2) and o2 (bob, 1) hold three."""
    sale.define(total=10)
    sale.reserve(("o1", "ann", 2), ("o2", "bob", 1))
    return sale


def test_due_hold_expires_once(held: Sale) -> None:
    held.now += 300_000
    assert held.expire("o1") == [["expired", 2, held.now]]
    assert (held.stock(), held.buyers(), held.deadlines()) == ((10, 9, 1, 0), {"bob": 1}, {"o2": held.now})
    assert held.records()["o1"] == OrderRecord(State.EXPIRED, "ann", 2, held.now)
    before = held.snapshot()
    assert held.expire("o1") == [["ignored", 0, 0]]
    assert held.snapshot() == before


def test_expiry_is_announced_with_the_quantity_of_each_order(held: Sale) -> None:
    held.now += 300_000
    held.expire("o1", "o2")
    key, body = held.outbox()[-1]
    assert (key, unplaced(body)) == (
        "order.expired",
        OrdersExpired(
            v=1, sale="iphone", epoch=held.now - 300_000, at=held.now,
            orders=[OrderLine("o1", "ann", 2, held.now), OrderLine("o2", "bob", 1, held.now)],
        ),
    )  # fmt: skip


def test_hold_that_is_not_due_stays(held: Sale) -> None:
    held.now += 299_999
    before = held.snapshot()
    assert held.expire("o1") == [["not_due", 2, held.now + 1]]
    assert held.snapshot() == before


def test_same_order_twice_in_a_batch_releases_its_units_once(held: Sale) -> None:
    held.now += 300_000
    assert [result[0] for result in held.expire("o1", "o1")] == ["expired", "ignored"]
    assert held.stock() == (10, 9, 1, 0)


def test_deadline_without_a_hold_is_dropped(held: Sale) -> None:
    held.redis.zadd(held.shard.deadlines, {"iphone|ghost": 1})
    held.settle(("o1", "p1"))
    held.redis.zadd(held.shard.deadlines, {"iphone|o1": 1})
    assert held.expire("ghost", "o1") == [["ignored", 0, 0]] * 2
    assert sorted(held.deadlines()) == ["o2"]
    assert held.stock() == (10, 7, 1, 2)


def test_missing_sale_is_ignored_and_its_deadlines_dropped(sale: Sale) -> None:
    sale.redis.zadd(sale.shard.deadlines, {"iphone|o1": 1})
    assert (sale.expire("o1"), sale.snapshot()) == ([["ignored", 0, 0]], {})


def test_full_batch_expires(sale: Sale) -> None:
    sale.define(total=1000)
    for start in (0, 256):
        sale.reserve(*[(f"o{n}", f"u{n}", 1) for n in range(start, start + 256)])
    sale.now += 300_000
    results = sale.expire(*[f"o{n}" for n in range(512)])
    assert ({result[0] for result in results}, sale.stock(), sale.buyers()) == ({"expired"}, (1000, 1000, 0, 0), {})


def test_hold_is_cancelled_once(held: Sale) -> None:
    deadline = held.deadlines()["o1"]
    assert held.cancel("o1", "o1") == [["cancelled", 2, deadline], ["replayed", 2, deadline]]
    assert held.cancel("o1") == [["replayed", 2, deadline]]
    assert (held.stock(), held.buyers(), sorted(held.deadlines())) == ((10, 9, 1, 0), {"bob": 1}, ["o2"])
    message = unplaced(held.outbox()[-1][1])
    assert isinstance(message, OrdersCancelled)
    assert message.orders == [OrderLine("o1", "ann", 2, deadline)]


def test_order_of_another_buyer_is_unknown_and_stays_held(held: Sale) -> None:
    assert [result[0] for result in held.cancel("o1", owner="mallory")] == ["unknown_order"]
    assert [result[0] for result in held.cancel("o1", owner="ann")] == ["cancelled"]


def test_paid_expired_and_unknown_orders_are_not_cancelled(held: Sale) -> None:
    held.settle(("o1", "p1"))
    held.now += 300_000
    held.expire("o2")
    assert [result[0] for result in held.cancel("o1", "o2", "nobody")] == ["refused", "gone", "unknown_order"]
    assert held.stock() == (10, 8, 0, 2)


def test_trace_of_an_order_travels_with_its_expiry(sale: Sale) -> None:
    sale.define(total=1)
    sale.reserve(("o1", "ann", 1, "00-aa-bb-01"))
    sale.now += 300_000
    sale.expire("o1")
    message = unplaced(sale.outbox()[-1][1])
    assert isinstance(message, OrdersExpired)
    assert message.orders[0].traceparent == "00-aa-bb-01"


def churn(sale: Sale, user: str, first: int, orders: int) -> list[str]:
    """The answers to `orders` orders of `user`, each cancelled at once."""
    answers = []
    for number in range(first, first + orders):
        answers.append(sale.reserve((f"{user}{number}", user, 1))[0][0])
        sale.cancel(f"{user}{number}")
    return answers


def test_released_orders_of_one_buyer_are_bounded(sale: Sale) -> None:
    sale.define(total=5, max_per_user=1)
    assert churn(sale, "ann", 0, 30) == ["accepted"] * 20 + ["order_limit"] * 10
    assert (len(sale.records()), sale.released(), sale.stock()) == (20, {"ann": 20}, (5, 5, 0, 0))
    assert sale.reserve(("ann0", "ann", 1), ("new", "ann", 1), ("b", "bob", 1)) == [
        ["gone", "C", sale.now + 300_000], ["order_limit"], ["accepted", "R", sale.now + 300_000],
    ]  # fmt: skip


def test_expired_orders_count_and_bought_ones_do_not(sale: Sale) -> None:
    sale.define(total=100, max_released=2)
    orders = [(f"o{number}", "ann", 1) for number in range(10)]
    assert {answer[0] for answer in sale.reserve(*orders)} == {"accepted"}
    sale.settle(*[(order_id, f"p-{order_id}") for order_id, _, _ in orders[:8]])
    assert sale.reserve(("o10", "ann", 1))[0][0] == "accepted"
    sale.now += 300_000
    sale.expire("o8", "o9")
    assert (sale.released(), sale.reserve(("o11", "ann", 1))) == ({"ann": 2}, [["order_limit"]])


def test_limit_of_released_orders_is_raised_lowered_and_removed(sale: Sale) -> None:
    sale.define(total=100, max_released=0)
    assert churn(sale, "ann", 0, 25) == ["accepted"] * 25
    sale.define(max_released=26)
    assert churn(sale, "ann", 25, 2) == ["accepted", "order_limit"]
    sale.define(max_released=30)
    assert churn(sale, "ann", 30, 1) == ["accepted"]
    sale.define(max_released=3)
    assert sale.reserve(("x", "ann", 1), ("y", "bob", 1))[0] == ["order_limit"]
    sale.define(max_released=0)
    assert sale.reserve(("z", "ann", 1))[0][0] == "accepted"


def test_sale_from_before_the_limit_has_the_default(sale: Sale) -> None:
    sale.define(total=5)
    old = sale.redis.eval("return cmsgpack.pack('open', 0, 0, 0, 300, 0, 1)", 0)
    sale.redis.hdel(sale.keys.sale, "max_released")
    sale.redis.hset(sale.keys.sale, "terms", old)
    assert stale_terms(sale.redis.hgetall(sale.keys.sale)) == ()
    assert churn(sale, "ann", 0, 21) == ["accepted"] * 20 + ["order_limit"]
    assert stale_terms(sale.redis.hgetall(sale.keys.sale)) == ()

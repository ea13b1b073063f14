"""Random lives of a sale: after every step the scripts and the model agree, in every answer and in every key."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from flashsale_core.messages import OrdersCancelled, OrdersExpired, OrdersReserved, OrdersReturned, PaymentsRecorded
from flashsale_core.orders import State, supersedes
from flashsale_core.records import stale_terms
from tests.lua.model import ModelSale
from tests.lua.servers import Sale, empty, found_servers, run_life, unplaced

ORDERS = st.sampled_from([f"o{number}" for number in range(8)])
USERS = st.sampled_from(["ann", "bob", "cid"])
QUANTITIES = st.integers(1, 4)
PAYMENTS = st.sampled_from(["p1", "p2", "p3"])
KINDS = st.sampled_from(["succeeded", "succeeded", "failed"])
AMOUNTS = st.sampled_from([50, 100, 150, 200, 300, 400])
CURRENCIES = st.sampled_from(["EUR", "EUR", "EUR", "USD"])
# The user belongs to the order id, as it does in the keyed hash.
USER_OF = {f"o{number}": ["ann", "bob", "cid"][number % 3] for number in range(8)}
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "max_per_user": st.sampled_from([0, 3, 6]),
        "max_released": st.sampled_from([0, 1, 2, 20]),
        "hold_seconds": st.sampled_from([5, 300]),
        "late_payment": st.sampled_from(["refund", "reacquire"]),
        "price": st.sampled_from(["", "", "100 EUR", "50 EUR", "100 USD"]),
        "state": st.sampled_from(["open", "open", "open", "paused"]),
        "starts_ms": st.sampled_from([0, 1_000_000_010_000]),
        "ends_ms": st.sampled_from([0, 0, 1_000_000_900_000]),
    },
)


class Life(RuleBasedStateMachine):
    """`client` is set by the test: the server on which this life runs."""

    client: Any = None

    @initialize(total=st.integers(0, 12), changes=CHANGES)
    def begin(self, total: int, changes: dict[str, Any]) -> None:
        empty(self.client)
        self.sale = Sale(self.client)
        self.model = ModelSale()
        self.define(total, changes)

    @rule(total=st.none() | st.integers(0, 14), changes=CHANGES)
    def define(self, total: int | None, changes: dict[str, Any]) -> None:
        wanted = changes if total is None else {**changes, "total": total}
        assert self.sale.define(**wanted)[0] == self.model.define(total, changes)

    @rule(batch=st.lists(st.tuples(ORDERS, QUANTITIES), min_size=1, max_size=5), two_keys=st.booleans())
    def reserve(self, batch: list[tuple[str, int]], two_keys: bool) -> None:
        orders = [(order_id, USER_OF[order_id], quantity) for order_id, quantity in batch]
        answers = [result[0] for result in self.sale.reserve(*map(self._under_two_keys, orders) if two_keys else orders)]
        assert answers == [self.model.reserve(self.sale.now, *order) for order in orders]

    def _under_two_keys(self, order: tuple[str, str, int]) -> tuple[str, str, int, str, str]:
        """The order as a gateway asks for it while the key of order ids is replaced: one that exists has its id by the other key."""
        order_id, user, quantity = order
        new = f"new-{order_id}"
        return (new, user, quantity, "", order_id) if order_id in self.model.orders else (order_id, user, quantity, "", new)

    @rule(batch=st.lists(st.tuples(ORDERS, PAYMENTS, KINDS, AMOUNTS, CURRENCIES), min_size=1, max_size=3))
    def pay(self, batch: list[tuple[str, str, str, int, str]]) -> None:
        answers = [(result, reason) for result, _, reason in self.sale.settle(*batch)]
        assert answers == [
            ("noted", "") if kind == "failed" else self.model.pay(order_id, payment_id, amount, currency)
            for order_id, payment_id, kind, amount, currency in batch
        ]

    @rule(batch=st.lists(ORDERS, min_size=1, max_size=4))
    def expire(self, batch: list[str]) -> None:
        assert [result[0] for result in self.sale.expire(*batch)] == [self.model.expire(self.sale.now, order_id) for order_id in batch]

    @rule()
    def sweep(self) -> None:
        """Expire everything that is overdue, as the sweep does."""
        due = [order_id for order_id, deadline in self.sale.deadlines().items() if deadline <= self.sale.now]
        if due:
            self.expire(due)
        assert all(deadline > self.sale.now for deadline in self.sale.deadlines().values())

    @rule(batch=st.lists(ORDERS, min_size=1, max_size=3))
    def cancel(self, batch: list[str]) -> None:
        assert [result[0] for result in self.sale.cancel(*batch)] == [self.model.cancel(order_id) for order_id in batch]

    @rule(batch=st.lists(st.tuples(ORDERS, st.booleans()), min_size=1, max_size=3))
    def take_back(self, batch: list[tuple[str, bool]]) -> None:
        assert [result[0] for result in self.sale.take_back(*batch)] == [self.model.take_back(*order) for order in batch]

    @rule(batch=st.lists(ORDERS, min_size=1, max_size=3))
    def restock(self, batch: list[str]) -> None:
        assert self.sale.restock(*batch) == sum(self.model.restock(order_id) for order_id in batch)

    @rule(ms=st.sampled_from([1, 4_999, 5_000, 300_000]))
    def time_passes(self, ms: int) -> None:
        self.sale.now += ms

    @precondition(lambda self: self.sale.now > 1_000_000_300_000)  # long lives find more
    @rule(remove=st.booleans())
    def retire(self, remove: bool) -> None:
        assert self.sale.retire("close")[0] == self.model.close()
        if remove:
            answer = self.sale.retire("remove")[0]
            assert answer == self.model.remove()
            if answer == "removed":
                self.client.delete(self.sale.shard.outbox)

    @precondition(lambda self: self.model.exists and len(self.model.orders) > 0)
    @rule(total=st.integers(0, 12))
    def is_lost_and_not_created_again(self, total: int) -> None:
        """Only the hash is lost: nothing is created over the orders that are left."""
        lost = self.client.hgetall(self.sale.keys.sale)
        self.client.delete(self.sale.keys.sale)
        with pytest.raises(redis.ResponseError, match="INVARIANT the sale is missing"):
            self.sale.define(total=total)
        self.client.hset(self.sale.keys.sale, mapping=lost)

    @invariant()
    def everything_agrees(self) -> None:
        model = self.model
        reserved, sold = model.units(State.RESERVED), model.sold
        assert self.sale.stock() == (model.total, model.available, reserved, sold)
        assert min(model.available, reserved, sold) >= 0
        assert self.sale.records() == model.records()
        assert self.sale.buyers() == model.buyers()
        assert self.sale.released() == model.released
        live = model.deadlines()
        # A deadline of a lost sale stays until it is due, or an order of the same id takes its place.
        assert self.sale.deadlines() == live
        assert self.client.smembers(self.sale.shard.sales) == ({b"iphone"} if model.exists else set())
        if model.exists:
            fields = self.client.hgetall(self.sale.keys.sale)
            assert (b"terms" in fields, stale_terms(fields)) == (True, ())
            restocked = sum(order.quantity for order in model.orders.values() if order.return_letter == "T")
            assert (int(fields.get(b"returned", 0)), int(fields.get(b"restocked", 0))) == (model.units(State.RETURNED), restocked)

    @invariant()
    def outbox_in_any_order_tells_the_state_of_every_order(self) -> None:
        messages = [unplaced(body) for _, body in self.sale.outbox()]
        random.shuffle(messages)
        states: dict[str, State] = {}
        for message in messages:
            for order_id, state in transitions(message):
                if order_id not in states or supersedes(state, states[order_id]):
                    states[order_id] = state
        assert states == {order_id: order.state for order_id, order in self.model.orders.items()}


def transitions(message: Any) -> Iterator[tuple[str, State]]:
    match message:
        case OrdersReserved():
            yield from ((line.order_id, State.RESERVED) for line in message.orders)
        case OrdersExpired():
            yield from ((line.order_id, State.EXPIRED) for line in message.orders)
        case OrdersCancelled():
            yield from ((line.order_id, State.CANCELLED) for line in message.orders)
        case OrdersReturned():
            yield from ((line.order_id, State.RETURNED) for line in message.orders)
        case PaymentsRecorded():
            yield from ((line.order_id, State.PAID) for line in message.payments if line.result == "paid")


@pytest.mark.parametrize("binary", found_servers(), ids=lambda path: path.rpartition("/")[2])
def test_scripts_agree_with_the_model(binary: str) -> None:
    run_life(binary, Life, examples=150, steps=40)

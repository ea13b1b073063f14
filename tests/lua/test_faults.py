"""Random lives of a sale whose Redis is lost or comes back older: nothing is written until it is opened, and the ledger can count."""

import random
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import msgspec
import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from flashsale_core.entry_ranges import position_of
from flashsale_core.fence import SEQ_JUMP
from flashsale_core.messages import decode
from flashsale_core.scripts import pack
from flashsale_order_worker.plan import OrderRow, PaymentKey, merged, plan
from tests.lua.servers import FENCED, SCRIPTS, found_servers, run_life
from tests.lua.test_model import CHANGES, Life

Data = dict[bytes, tuple[bytes, int]]
"""Each key with its dump and its time to live in ms, 0 for ever."""


class FaultyLife(Life):
    """Recovery itself is not part of it: after a fault, everything comes back in a new incarnation."""

    @initialize(total=st.integers(0, 12), changes=CHANGES)
    def begin(self, total: int, changes: dict[str, Any]) -> None:
        super().begin(total, changes)
        self.copy = self.data()

    @rule()
    def is_copied(self) -> None:
        self.copy = self.data()

    @rule()
    def loses_its_disk(self) -> None:
        newest = self.data()
        self.client.flushall()
        self.refuses_everything("missing")
        self.recover(newest)

    @rule()
    def comes_back_as_an_older_copy(self) -> None:
        newest = self.data()
        self.load(self.copy)
        self.begin_another_history()
        self.refuses_everything("history")
        self.recover(newest)

    @rule()
    def restarts_with_all_its_data(self) -> None:
        self.begin_another_history()
        self.refuses_everything("history")
        self.open(self.fence())

    @rule(more=st.integers(1, 3))
    def a_gateway_was_answered_more(self, more: int) -> None:
        answer = self.attest(self.fence_seq() + more)
        assert answer[1] == "regressed"
        self.refuses_everything("fenced")
        self.open({**self.fence(), b"seq": str(self.fence_seq() + SEQ_JUMP).encode()})

    @precondition(lambda self: self.model.exists)
    @rule(seed=st.integers(0, 1000))
    def the_ledger_receives_all_in_any_order_and_twice(self, seed: int) -> None:
        """By batches of the broker, which repeats and reorders what it delivers."""
        chance = random.Random(seed)
        messages = [(str(number), decode(body)) for number, (_, body) in enumerate(self.sale.outbox())]
        deliveries = messages + chance.sample(messages, len(messages) // 2)
        chance.shuffle(deliveries)
        orders: dict[str, OrderRow] = {}
        refunds: set[PaymentKey] = set()
        while deliveries:
            size = chance.randint(1, 5)
            rows = plan(deliveries[:size])
            deliveries = deliveries[size:]
            refunds |= rows.refunds.keys()
            for key, row in rows.orders.items():
                orders[key.order_id] = merged(orders[key.order_id], row) if key.order_id in orders else row
        expected = {order_id: (order.state, order.user, order.quantity, order.paid_by) for order_id, order in self.model.orders.items()}
        assert {order_id: (row.state, row.user_id, row.quantity, row.payment_id or "") for order_id, row in orders.items()} == expected
        due = {(order_id, payment_id) for order_id, order in self.model.orders.items() for payment_id in order.refunded}
        assert due <= {(key.order_id, key.payment_id) for key in refunds}

    @invariant()
    def positions_have_no_hole_within_an_incarnation(self) -> None:
        places = [place for _, body in self.sale.outbox() if (place := position_of(decode(body))) is not None]
        for before, after in pairwise(places):
            assert after.seq == before.seq + 1 if after.incarnation == before.incarnation else after.seq >= before.seq + SEQ_JUMP
        assert not places or places[-1].seq <= self.fence_seq()

    def refuses_everything(self, reason: str) -> None:
        sale, shard = self.sale, self.sale.shard
        attempts: dict[str, Callable[[], object]] = {
            "define": lambda: sale.define(total=20, max_per_user=1),
            "reserve": lambda: sale.reserve(("o0", "ann", 1), ("o7", "bob", 1)),
            "settle": lambda: sale.settle(("o0", "p1"), ("o9", "p2")),
            "expire": lambda: sale.expire("o0", "o1"),
            "cancel": lambda: sale.cancel("o0"),
            "return_order": lambda: sale.take_back(("o0", True), ("o1", False)),
            "restock": lambda: sale.restock("o0", "o1"),
            "retire": lambda: sale.retire("close"),
            "reclaim": lambda: self.client.eval(
                SCRIPTS.reclaim.source, 3, shard.direct, shard.outbox, shard.fence, "0", "10", str(sale.now)
            ),
        }
        assert sorted(attempts) == FENCED
        before = self.dumps()
        for attempt in attempts.values():
            with pytest.raises(redis.ResponseError, match=f"FENCED {reason}"):
                attempt()
        assert self.dumps() == before

    def recover(self, newest: Data) -> None:
        self.load(newest)
        self.open({**self.fence(), b"seq": str(self.fence_seq() + SEQ_JUMP).encode()})

    def open(self, fence: dict[bytes, bytes]) -> None:
        jumped = int(fence[b"seq"]) > self.fence_seq()
        incarnation = int(fence[b"incarnation"]) + jumped
        fields = pack({"state": "open", "incarnation": incarnation, "seq": int(fence[b"seq"])})
        arguments = (fence[b"incarnation"].decode(), "", fields, "1", "")
        answer = msgspec.msgpack.decode(self.client.eval(SCRIPTS.seal.source, 1, self.sale.shard.fence, *arguments))
        assert answer[1] == "sealed"
        assert self.attest(0)[1] == "open"

    def attest(self, seq: int) -> Any:
        keys = (self.sale.shard.fence, self.sale.shard.gateways)
        return msgspec.msgpack.decode(self.client.eval(SCRIPTS.attest.source, 2, *keys, "g", str(seq), "0", str(self.sale.now)))

    def fence(self) -> dict[bytes, bytes]:
        return dict(self.client.hgetall(self.sale.shard.fence))

    def fence_seq(self) -> int:
        return int(self.client.hget(self.sale.shard.fence, "seq"))

    def begin_another_history(self) -> None:
        """A new replication id, as after a promotion; nothing listens on port 1, so no data is replaced."""
        self.client.replicaof("127.0.0.1", 1)
        self.client.replicaof("NO", "ONE")

    def data(self) -> Data:
        return {key: (self.client.dump(key), max(0, self.client.pttl(key))) for key in sorted(self.client.keys())}

    def dumps(self) -> dict[bytes, bytes]:
        """Without the times to live, which fall while the test looks."""
        return {key: dump for key, (dump, _) in self.data().items()}

    def load(self, data: Data) -> None:
        self.client.flushall()
        for key, (dump, ttl_ms) in data.items():
            self.client.restore(key, ttl_ms, dump)


@pytest.mark.parametrize("binary", found_servers(), ids=lambda path: path.rpartition("/")[2])
def test_nothing_is_written_between_a_fault_and_the_opening(binary: str) -> None:
    run_life(binary, FaultyLife, examples=30, steps=30)

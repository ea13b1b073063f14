"""The handler of `orders`: poison is reported, good neighbours are written, and an absent database is not poison."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from flashsale_consumer import Delivery, Poison
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.messages import LedgerMarker, OrdersReserved, Position, ReservedLine, encode, join
from flashsale_core.tracing import Tracing
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.plan import Rows
from flashsale_order_worker.repository import Repository


class Ledger(Repository):
    """A ledger in memory that refuses rows of user `bad`."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.received: list[tuple[int, int]] = []
        """First and last seq of each range, in the order in which they were written."""
        self.markers: list[str] = []
        self.consumer = ""
        """Who read the markers."""
        self.away = False

    async def write(self, rows: Rows, *, with_arrivals: bool = True) -> None:
        if self.away:
            raise Retryable("away")
        if any(row.user_id == "bad" for row in rows.orders.values()):
            raise Rejected("refused")
        self.written += [key.order_id for key in rows.orders]
        if not with_arrivals:
            return
        self.received += [(row.from_seq, row.to_seq) for row in rows.received]
        self.markers += rows.markers
        self.consumer = rows.consumer


def delivery(order_id: str, user_id: str = "ann", seq: int | None = None) -> Delivery:
    position = None if seq is None else Position(0, 1, seq)
    message = OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=[ReservedLine(order_id, user_id, 1)], seq=position)
    return Delivery(encode(message), f"m-{order_id}", redelivered=False)


async def handle(ledger: Ledger, batch: Sequence[Delivery]) -> list[Poison]:
    return list(await _handle(ledger, batch))


async def _handle(ledger: Ledger, batch: Sequence[Delivery]) -> Sequence[Poison]:
    return await OrderEvents(ledger, Tracing(None))(batch)


async def test_good_batch_is_written_at_once() -> None:
    ledger = Ledger()
    assert (await handle(ledger, [delivery("a"), delivery("b")]), ledger.written) == ([], ["a", "b"])


async def test_poison_is_separated_and_its_neighbours_are_written() -> None:
    ledger = Ledger()
    batch = [delivery("a"), delivery("x", "bad"), delivery("b"), Delivery(b"{", "m", redelivered=True), delivery("y", "bad"), delivery("c")]
    poisons = await handle(ledger, batch)
    assert sorted((poison.index, poison.reason) for poison in poisons) == [(1, "rejected"), (3, "undecodable"), (4, "rejected")]
    assert ledger.written == ["a", "b", "c"]


async def test_delivery_of_several_messages_is_written_and_parked_once() -> None:
    ledger = Ledger()
    lines = [delivery("a").body, b"{", delivery("x", "bad").body, delivery("b").body]
    poisons = await handle(ledger, [delivery("c"), Delivery(join(lines), "m", redelivered=False)])
    assert [(poison.index, poison.reason) for poison in poisons] == [(1, "undecodable")]
    assert sorted(ledger.written) == ["a", "b", "c"]


async def test_message_of_another_version_is_poison() -> None:
    body = delivery("a").body.replace(b'"v":1', b'"v":2')
    assert [poison.reason for poison in await handle(Ledger(), [Delivery(body, "m", redelivered=False)])] == ["undecodable"]


async def test_batch_of_only_poison_writes_nothing() -> None:
    ledger = Ledger()
    ledger.away = True
    assert [poison.index for poison in await handle(ledger, [Delivery(b"", "m", redelivered=False)])] == [0]


async def test_absent_database_is_retryable_and_not_poison() -> None:
    ledger = Ledger()
    ledger.away = True
    with pytest.raises(Retryable):
        await handle(ledger, [delivery("a"), Delivery(b"{", "m", redelivered=False)])


async def test_only_committed_transactions_are_counted() -> None:
    def commits() -> float:
        return REGISTRY.get_sample_value("flashsale_ledger_commit_seconds_count") or 0

    ledger, before = Ledger(), commits()
    ledger.away = True
    with pytest.raises(Retryable):
        await handle(ledger, [delivery("a")])
    await handle(Ledger(), [delivery("x", "bad")])
    assert commits() == before
    await handle(Ledger(), [delivery("a")])
    assert commits() == before + 1


MARKER = LedgerMarker(v=1, marker="0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11", at=1)


async def test_rejected_line_leaves_its_entry_unreceived() -> None:
    ledger = Ledger()
    # The lines of entry 2 are in different halves of the batch.
    batch = [delivery("a", seq=1), delivery("b", seq=2), delivery("x", "bad", seq=2), delivery("c", seq=3)]
    deliveries = [replace(each, consumer="c1") for each in [*batch, Delivery(encode(MARKER), "", redelivered=False)]]
    poisons = await handle(ledger, deliveries)
    assert ([poison.index for poison in poisons], ledger.written) == ([2], ["a", "b", "c"])
    assert (ledger.received, ledger.markers, ledger.consumer) == ([(1, 1), (3, 3)], [MARKER.marker], "c1")


async def test_undecodable_line_leaves_its_entry_unreceived() -> None:
    ledger = Ledger()
    bad = delivery("x", seq=2).body.replace(b'"v":1', b'"v":2')
    body = join([delivery("a", seq=1).body, delivery("b", seq=2).body, bad, delivery("c", seq=3).body])
    poisons = await handle(ledger, [Delivery(body, "m", redelivered=False)])
    assert ([poison.reason for poison in poisons], ledger.written, ledger.received) == (["undecodable"], ["a", "b", "c"], [(1, 1), (3, 3)])


async def test_positions_of_a_batch_in_parts_are_written_last() -> None:
    class Interrupted(Ledger):
        async def write(self, rows: Rows, *, with_arrivals: bool = True) -> None:
            if with_arrivals and rows.received and not rows.orders:
                raise Retryable("away")
            await super().write(rows, with_arrivals=with_arrivals)

    ledger = Interrupted()
    with pytest.raises(Retryable):
        await handle(ledger, [delivery("a", seq=1), delivery("x", "bad", seq=2)])
    assert (ledger.written, ledger.received) == (["a"], [])

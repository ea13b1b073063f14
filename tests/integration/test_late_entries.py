"""Entries that arrive after recovery has closed their incarnation: they have no effect on the ledger."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import asyncpg
import msgspec
import pytest

from flashsale_consumer import Delivery
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.messages import LedgerMarker, Message, Position
from flashsale_core.tracing import Tracing
from flashsale_order_worker.handlers import OrderEvents
from tests.integration.ledger import Ledger, open_ledger
from tests.integration.order_events import cancelled, defined, open_repository, payment, reserved, returned

CLOSED = "insert into shards (shard, incarnation, first_seq, state, kept_seq) values"


class Desk:
    """An order-worker's handler, and the ledger it writes to."""

    def __init__(self, events: OrderEvents, ledger: Ledger) -> None:
        self._events = events
        self.ledger = ledger

    async def deliver(self, *messages: Message) -> list[int]:
        """Deliver each message by itself; returns which of them are parked as late."""
        poisons = await self.deliver_bodies(*[msgspec.json.encode(message) for message in messages])
        assert set(poisons.values()) <= {"late"}
        return list(poisons)

    async def deliver_bodies(self, *bodies: bytes) -> dict[int, str]:
        """Deliver each body by itself; returns why some of them are parked, by their place."""
        deliveries = [Delivery(body, f"m{number}", redelivered=False) for number, body in enumerate(bodies)]
        return {poison.index: poison.reason for poison in await self._events(deliveries)}

    async def close(self, kept_seq: int) -> None:
        """Close incarnation 1 of shard 0 as the keeper does."""
        await self.ledger.connection.execute(
            "insert into shards (shard, incarnation, first_seq, state) values (0, 2, 1000001, 'restoring')"
        )
        await self.ledger.connection.execute(
            "insert into shards (shard, incarnation, first_seq, state, kept_seq) values (0, 1, 1, 'fenced', $1)", kept_seq
        )

    async def refunds(self) -> list[tuple[str, str]]:
        return [(row["payment_id"], row["reason"]) for row in (await self.ledger.rows())["refunds"]]


@asynccontextmanager
async def open_desk(infra: Mapping[str, str]) -> AsyncIterator[Desk]:
    async with open_repository(infra["DATABASE_URL"]) as repository, open_ledger(infra["DATABASE_URL"]) as ledger:
        yield Desk(OrderEvents(repository, Tracing(None)), ledger)


def at(message: Message, seq: int, incarnation: int = 1) -> Message:
    assert not isinstance(message, LedgerMarker)
    return msgspec.structs.replace(message, seq=Position(0, incarnation, seq))


LATE: Sequence[Message] = (
    at(reserved("o3"), 3),
    at(payment("o3", "p3", "paid", 1_600), 4),
    at(cancelled("o1"), 5),
    at(payment("o1", "p1", "refund_due", 1_700, "duplicate"), 6),
    at(defined(3, 400, 40), 7),
)


async def test_late_entry_has_no_effect_and_stays_lost(infra: Mapping[str, str]) -> None:
    async with open_desk(infra) as desk:
        await desk.deliver(at(reserved("o1"), 1))
        await desk.close(2)
        parked = await desk.deliver(*LATE, at(reserved("o2"), 2), at(reserved("o4"), 1_000_001, 2), reserved("o5"))
        assert parked == list(range(len(LATE)))
        assert await desk.ledger.states() == dict.fromkeys(("o1", "o2", "o4", "o5"), "reserved")
        assert (await desk.refunds(), await desk.ledger.count("sales")) == ([], 0)
        # They stay lost: no order has come of them.
        assert await desk.ledger.received() == [(0, 1, 1, 1), (0, 1, 2, 2), (0, 2, 1_000_001, 1_000_001)]
        before = await desk.ledger.rows()
        assert await desk.deliver(*LATE) == parked
        assert await desk.ledger.rows() == before


async def test_late_entry_with_a_line_that_cannot_be_decoded_has_no_effect(infra: Mapping[str, str]) -> None:
    async with open_desk(infra) as desk:
        await desk.close(2)
        good, broken = msgspec.json.encode(at(reserved("o3"), 3)), b'{"v":1,"type":"order.reserved","orders":7,"seq":[0,1,3]}'
        parked = await desk.deliver_bodies(good + b"\n" + broken, msgspec.json.encode(reserved("o4")))
        assert (list(parked), await desk.ledger.states()) == ([0], {"o4": "reserved"})


async def test_redelivered_entry_of_a_closed_incarnation_is_known(infra: Mapping[str, str]) -> None:
    async with open_desk(infra) as desk:
        entries = at(reserved("o3"), 3), at(payment("o3", "p3", "paid", 1_600), 4)
        await desk.deliver(*entries)
        before = await desk.ledger.rows()
        await desk.close(2)
        assert await desk.deliver(*entries) == []
        assert await desk.ledger.rows() == before


async def test_late_payment_that_the_ledger_has_as_paid_is_not_refunded(infra: Mapping[str, str]) -> None:
    async with open_desk(infra) as desk:
        await desk.deliver(at(reserved("o1"), 1), at(payment("o1", "p1", "paid", 1_600), 2))
        await desk.close(2)
        await desk.deliver(at(payment("o1", "p1", "paid", 1_600), 3))
        assert (await desk.ledger.states(), await desk.refunds()) == ({"o1": "paid"}, [])


async def test_batch_waits_for_the_keeper_that_closes_its_incarnation(infra: Mapping[str, str]) -> None:
    async with open_desk(infra) as desk:
        keeper = await asyncpg.connect(infra["DATABASE_URL"])
        async with keeper.transaction():
            await keeper.execute("select pg_advisory_xact_lock($1)", RECEIVING)
            writing = asyncio.create_task(desk.deliver(at(reserved("o3"), 3)))
            waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
            async with asyncio.timeout(20):
                while not await desk.ledger.connection.fetchval(waiting):  # noqa: ASYNC110 - another process' state
                    await asyncio.sleep(0.01)
            await keeper.execute(f"{CLOSED} (0, 1, 1, 'fenced', 2)")
        await writing
        await keeper.close()
        assert (await desk.ledger.states(), await desk.ledger.received()) == ({}, [])


async def test_log_names_the_order_of_a_late_return(infra: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    async with open_desk(infra) as desk:
        await desk.close(2)
        assert await desk.deliver(at(returned("o9", "p9"), 3)) == [0]
    assert [vars(record)["order_ids"] for record in caplog.records if record.message == "ledger.late"] == [["o9"]]

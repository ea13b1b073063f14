"""Messages of the order-worker: acknowledged after the commit, parked when they are poison, never lost or doubled."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from flashsale_consumer import Delivery, Poison
from flashsale_core import topology
from flashsale_core.errors import Retryable
from flashsale_core.messages import LedgerMarker, Position, encode, join
from tests.integration.broker import consuming, counted, headers, open_broker, until
from tests.integration.order_events import IDENTIFIED, QUEUE, STORY, at_work, consumer, reserved, written


async def test_poison_is_parked_with_its_reason_and_the_rest_is_committed(infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        good = [encode(reserved(f"o{number}")) for number in range(20)]
        poison = [b"not json", encode(reserved("big", quantity=2**63)), encode(reserved("none", quantity=0)), encode(reserved("n\0l")),
                  encode(reserved("far", at=2**60)), encode(reserved("o1")).replace(b'"v":1', b'"v":2'),
                  encode(reserved("".join(map(str, range(9000)))))]  # fmt: skip
        await broker.publish(QUEUE, *good[:10], *poison, *good[10:])
        async with consuming(consumer(infra, handle)):
            await until(lambda: counted(ledger.count(), 20))
        parked = await broker.take_all(topology.PARKED_ORDERS_QUEUE)
        assert headers(parked) == [
            ("11-0", "undecodable"),
            ("12-0", "rejected"),
            ("13-0", "rejected"),
            ("14-0", "rejected"),
            ("15-0", "rejected"),
            ("16-0", "undecodable"),
            ("17-0", "rejected"),
        ]
        assert {message.body for message in parked} == set(poison)
        assert all(message.headers["x-error"] and message.headers["x-queue"] == QUEUE for message in parked)
        assert await broker.take_all(QUEUE) == []


async def test_parked_entry_is_a_hole_until_it_is_replayed(infra: Mapping[str, str]) -> None:
    async with at_work(infra) as (broker, ledger, handle):
        lines = [encode(msgspec.structs.replace(reserved(f"o{seq}"), seq=Position(3, 1, seq))) for seq in (1, 2, 3)]
        marker = LedgerMarker(v=1, marker="0b5f1f0a-1f3f-4c1c-9d52-0b0f6a6f7a11", at=1_000)
        await broker.publish(QUEUE, join([lines[0], lines[1].replace(b'"v":1', b'"v":2'), lines[2]]), encode(marker))
        async with consuming(consumer(infra, handle)):
            await until(lambda: counted(ledger.count("markers"), 1))
        assert (await ledger.count(), await ledger.received()) == (2, [(3, 1, 1, 1), (3, 1, 3, 3)])
        assert headers(await broker.take_all(topology.PARKED_ORDERS_QUEUE)) == [("1-0", "undecodable")]
        # As `flashsale parked replay` does once a release reads the message.
        await broker.publish(QUEUE, join(lines))
        async with consuming(consumer(infra, handle)):
            await until(lambda: counted(ledger.count(), 3))
        assert await ledger.received() == [(3, 1, 1, 1), (3, 1, 1, 3), (3, 1, 3, 3)]


async def test_crash_between_commit_and_ack_loses_and_doubles_nothing(infra: Mapping[str, str]) -> None:
    in_order = await written(infra["DATABASE_URL"], [IDENTIFIED])
    async with at_work(infra) as (broker, ledger, handle):
        first: list[str] = []
        finished: set[str] = set()

        async def crash_once(batch: Sequence[Delivery]) -> Sequence[Poison]:
            poisons = await handle(batch)
            if not first:
                first.extend(delivery.message_id for delivery in batch)
                raise RuntimeError("committed, but not acknowledged")
            finished.update(delivery.message_id for delivery in batch)
            return poisons

        await broker.publish(QUEUE, *[encode(message) for message in STORY], first_id=0)
        async with consuming(consumer(infra, crash_once)):
            await until(lambda: len(finished) == len(STORY))
        assert finished >= set(first)
        assert await broker.take_all(QUEUE) == []
        assert (await ledger.rows(), len(finished)) == (in_order, len(STORY))


async def test_nothing_is_acknowledged_before_it_is_committed(infra: Mapping[str, str]) -> None:
    async with open_broker(infra["AMQP_URL"]) as broker:
        asked = asyncio.Event()

        async def away(batch: Sequence[Delivery]) -> Sequence[Poison]:
            asked.set()
            raise Retryable("away", 0.02)

        bodies = [encode(reserved(f"o{number}")) for number in range(5)]
        await broker.publish(QUEUE, *bodies)
        waiting = consumer(infra, away)
        async with consuming(waiting):
            await asked.wait()
            await until(lambda: waiting.fault == "away")
        left = await broker.take_all(QUEUE)
        assert await broker.take_all(topology.PARKED_ORDERS_QUEUE) == []
        assert sorted(str(message.message_id) for message in left) == ["1-0", "2-0", "3-0", "4-0", "5-0"]

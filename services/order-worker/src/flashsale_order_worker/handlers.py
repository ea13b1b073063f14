"""Writes a batch of messages to the ledger: decode, plan, write. Messages that can never be written are returned as poison."""

import time
from collections import Counter
from collections.abc import Sequence

import msgspec

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core.errors import Rejected
from flashsale_core.messages import Message, read
from flashsale_core.tracing import Tracing
from flashsale_order_worker import metrics
from flashsale_order_worker.plan import Rows, plan
from flashsale_order_worker.repository import Repository, tables
from flashsale_order_worker.spans import LedgerSpans


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A message, with its delivery and the delivery's place in the batch."""

    index: int
    delivery: Delivery
    message: Message


class OrderEvents:
    """The handler of the `orders` queue."""

    def __init__(self, repository: Repository, tracing: Tracing, amqp_url: str = "", database_url: str = "") -> None:
        """The URLs give spans the addresses of broker and ledger."""
        self._repository = repository
        self._spans = LedgerSpans(tracing, amqp_url, database_url)

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Postgres is away; parts of the batch may be written by then, and a repeat is harmless."""
        started_ns = time.time_ns()
        decoded, poisons = decode_all(batch)
        poisons += await self._write(decoded, started_ns)
        return once_each(poisons)

    async def _write(self, decoded: Sequence[Decoded], started_ns: int) -> list[Poison]:
        """Write in one transaction. A rejected batch is split in halves until the message that cannot be written is alone."""
        if not decoded:
            return []
        rows = plan((item.delivery.message_id, item.message) for item in decoded)
        delivered, writing_ns = [(item.delivery, item.message) for item in decoded], time.time_ns()
        try:
            with metrics.COMMIT_SECONDS.time():
                await self._repository.write(rows)
        except Rejected as error:
            if len(decoded) == 1:
                self._spans.rejected(delivered, started_ns)
                return [Poison(decoded[0].index, "rejected", error.reason)]
            middle = len(decoded) // 2
            return [*await self._write(decoded[:middle], started_ns), *await self._write(decoded[middle:], started_ns)]
        self._spans.written(delivered, tables(rows), started_ns, writing_ns)
        _count(decoded, rows)
        return []


def decode_all(batch: Sequence[Delivery]) -> tuple[list[Decoded], list[Poison]]:
    """Decode every line of every body. A body with a line that cannot be decoded is poison, but its other lines are still written."""
    decoded: list[Decoded] = []
    poisons: list[Poison] = []
    for index, delivery in enumerate(batch):
        messages, errors = read(delivery.body)
        decoded += [Decoded(index, delivery, message) for message in messages]
        if errors:
            poisons.append(Poison(index, "undecodable", errors[0]))
    return decoded, poisons


def _count(decoded: Sequence[Decoded], rows: Rows) -> None:
    for name, count in Counter(_type(item.message) for item in decoded).items():
        metrics.MESSAGES.labels(name).inc(count)
    for state, count in Counter(state for _, state in rows.events).items():
        metrics.ORDERS_WRITTEN.labels(state.value).inc(count)
    newest_ms = max(item.message.at for item in decoded)
    metrics.LEDGER_LAG_SECONDS.set(max(0.0, time.time() - newest_ms / 1000))


def _type(message: Message) -> str:
    return str(message.__struct_config__.tag)

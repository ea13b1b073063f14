"""A batch of messages into the ledger: decode, plan, write; what can never be written is named as poison."""

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
    index: int
    delivery: Delivery
    message: Message


class OrderEvents:
    """The handler of the `orders` queue."""

    def __init__(self, repository: Repository, tracing: Tracing, amqp_url: str = "", database_url: str = "") -> None:
        """The URLs are for spans: they tell where broker and ledger are."""
        self._repository = repository
        self._spans = LedgerSpans(tracing, amqp_url, database_url)

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Postgres is away: then nothing of the batch is written."""
        started_ns = time.time_ns()
        decoded, poisons = decode_all(batch)
        poisons += await self._write(decoded, started_ns)
        return once_each(poisons)

    async def _write(self, decoded: Sequence[Decoded], started_ns: int) -> list[Poison]:
        """Write in one transaction; halve a batch that is rejected, until the message that cannot be written stands alone."""
        if not decoded:
            return []
        rows = plan((one.delivery.message_id, one.message) for one in decoded)
        told, writing_ns = [(one.delivery, one.message) for one in decoded], time.time_ns()
        try:
            with metrics.COMMIT_SECONDS.time():
                await self._repository.write(rows)
        except Rejected as error:
            if len(decoded) == 1:
                self._spans.rejected(told, started_ns)
                return [Poison(decoded[0].index, "rejected", error.reason)]
            middle = len(decoded) // 2
            return [*await self._write(decoded[:middle], started_ns), *await self._write(decoded[middle:], started_ns)]
        self._spans.written(told, tables(rows), started_ns, writing_ns)
        _measure(decoded, rows)
        return []


def decode_all(batch: Sequence[Delivery]) -> tuple[list[Decoded], list[Poison]]:
    """Every message of every body; a body that has a line which is none is poison, and its other lines are taken all the same."""
    decoded: list[Decoded] = []
    poisons: list[Poison] = []
    for index, delivery in enumerate(batch):
        messages, errors = read(delivery.body)
        decoded += [Decoded(index, delivery, message) for message in messages]
        if errors:
            poisons.append(Poison(index, "undecodable", errors[0]))
    return decoded, poisons


def _measure(decoded: Sequence[Decoded], rows: Rows) -> None:
    for name, count in Counter(_type(one.message) for one in decoded).items():
        metrics.MESSAGES.labels(name).inc(count)
    for state, count in Counter(state for _, state in rows.events).items():
        metrics.ORDERS_WRITTEN.labels(state.value).inc(count)
    newest_ms = max(one.message.at for one in decoded)
    metrics.LEDGER_LAG_SECONDS.set(max(0.0, time.time() - newest_ms / 1000))


def _type(message: Message) -> str:
    return str(message.__struct_config__.tag)

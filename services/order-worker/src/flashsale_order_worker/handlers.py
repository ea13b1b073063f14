"""A batch of messages into the ledger: decode, plan, write; what can never be written is named as poison."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core import topology
from flashsale_core.errors import Rejected
from flashsale_core.messages import Message, OrdersCancelled, OrdersExpired, OrdersReserved, PaymentsRecorded, read
from flashsale_core.tracing import Tracing
from flashsale_order_worker import metrics
from flashsale_order_worker.plan import Rows, plan
from flashsale_order_worker.repository import Repository


@dataclass(frozen=True, slots=True)
class Decoded:
    index: int
    message_id: str
    message: Message


class OrderEvents:
    """The handler of the `orders` queue."""

    def __init__(self, repository: Repository, tracing: Tracing) -> None:
        self._repository = repository
        self._tracing = tracing

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Postgres is away: then nothing of the batch is written."""
        started_ns = time.time_ns()
        decoded, poisons = decode_all(batch)
        poisons += await self._write(decoded)
        if self._tracing.enabled:
            self._trace(decoded, started_ns)
        return once_each(poisons)

    async def _write(self, decoded: Sequence[Decoded]) -> list[Poison]:
        """Write in one transaction; halve a batch that is rejected, until the message that cannot be written stands alone."""
        if not decoded:
            return []
        rows = plan((one.message_id, one.message) for one in decoded)
        try:
            with metrics.COMMIT_SECONDS.time():
                await self._repository.write(rows)
        except Rejected as error:
            if len(decoded) == 1:
                return [Poison(decoded[0].index, "rejected", error.reason)]
            middle = len(decoded) // 2
            return [*await self._write(decoded[:middle]), *await self._write(decoded[middle:])]
        _measure(decoded, rows)
        return []

    def _trace(self, decoded: Sequence[Decoded], started_ns: int) -> None:
        """One CONSUMER span per sampled order, from the batch's start to now: after the commit."""
        attributes = {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.destination.name": topology.ORDERS_QUEUE,
            "db.system.name": "postgresql",
        }
        for one in decoded:
            for order_id, traceparent in _traced(one.message):
                own = {**attributes, "messaging.message.id": one.message_id, "flashsale.order_id": order_id}
                self._tracing.start(f"process {topology.ORDERS_QUEUE}", SpanKind.CONSUMER, traceparent, own, started_ns).end()


def decode_all(batch: Sequence[Delivery]) -> tuple[list[Decoded], list[Poison]]:
    """Every message of every body; a body that has a line which is none is poison, and its other lines are taken all the same."""
    decoded: list[Decoded] = []
    poisons: list[Poison] = []
    for index, delivery in enumerate(batch):
        messages, errors = read(delivery.body)
        decoded += [Decoded(index, delivery.message_id, message) for message in messages]
        if errors:
            poisons.append(Poison(index, "undecodable", errors[0]))
    return decoded, poisons


def _traced(message: Message) -> list[tuple[str, str]]:
    match message:
        case OrdersReserved() | OrdersExpired() | OrdersCancelled():
            return [(line.order_id, line.traceparent) for line in message.orders if line.traceparent]
        case PaymentsRecorded():
            return [(line.order_id, line.traceparent) for line in message.payments if line.traceparent]
        case _:
            return []


def _measure(decoded: Sequence[Decoded], rows: Rows) -> None:
    for name, count in Counter(_type(one.message) for one in decoded).items():
        metrics.MESSAGES.labels(name).inc(count)
    for state, count in Counter(state for _, state in rows.events).items():
        metrics.ORDERS_WRITTEN.labels(state.value).inc(count)
    newest_ms = max(one.message.at for one in decoded)
    metrics.LEDGER_LAG_SECONDS.set(max(0.0, time.time() - newest_ms / 1000))


def _type(message: Message) -> str:
    return str(message.__struct_config__.tag)

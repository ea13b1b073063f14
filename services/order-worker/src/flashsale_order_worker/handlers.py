"""Writes a batch of messages to the ledger: decode, plan, write. Messages that can never be written are returned as poison."""

import logging
import time
from collections import Counter
from collections.abc import Sequence, Set
from dataclasses import replace

import msgspec

from flashsale_consumer import Delivery, Poison, once_each
from flashsale_core.entry_ranges import position_of
from flashsale_core.errors import Rejected
from flashsale_core.messages import (
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentLine,
    PaymentsRecorded,
    Position,
    ReservedLine,
    ReturnedLine,
    read,
)
from flashsale_core.tracing import Tracing
from flashsale_ledger.late_entries import LateEntriesError
from flashsale_order_worker import metrics
from flashsale_order_worker.incomplete import incomplete_positions
from flashsale_order_worker.plan import Rows, arrivals, plan
from flashsale_order_worker.repository import Repository, tables
from flashsale_order_worker.spans import LedgerSpans

LATE_ORDERS_LOGGED_MAX = 100
log = logging.getLogger(__name__)


class Decoded(msgspec.Struct, frozen=True, gc=False):
    """A message, with its delivery and the delivery's place in the batch."""

    index: int
    delivery: Delivery
    message: Message


Rejection = tuple[Decoded, str]
"""A message that the ledger will never accept, and why."""


class OrderEvents:
    """The handler of the `orders` queue."""

    def __init__(self, repository: Repository, tracing: Tracing, amqp_url: str = "", database_url: str = "") -> None:
        """The URLs give spans the addresses of broker and ledger."""
        self._repository = repository
        self._spans = LedgerSpans(tracing, amqp_url, database_url)

    async def __call__(self, batch: Sequence[Delivery]) -> Sequence[Poison]:
        """Raises Retryable when Postgres is away; parts of the batch may be written by then, and a repeat is harmless."""
        started_ns = time.time_ns()
        decoded, poisons, incomplete = decode_all(batch)
        try:
            rejected = await self._write(decoded, incomplete, started_ns)
        except LateEntriesError as error:
            # Parked, although they have no effect: nothing that the broker confirmed may disappear.
            poisons += _park_late(decoded, error.positions)
            rejected = await self._write(decoded, incomplete, started_ns, error.positions)
        return once_each([*poisons, *(Poison(item.index, "rejected", reason) for item, reason in rejected)])

    async def _write(
        self, decoded: Sequence[Decoded], incomplete: set[Position], started_ns: int, late: frozenset[Position] = frozenset()
    ) -> list[Rejection]:
        """Write in one transaction. If the batch is rejected, write its messages in parts and then their positions."""
        if not decoded or await self._write_rows(decoded, _rows(decoded, incomplete, late), started_ns) is None:
            return []
        rejections = await self._write_parts(decoded, started_ns, late)
        # Last: a received position means that the ledger has all lines of its entry, and those may be in several parts.
        rejected = {position for item, _ in rejections if (position := position_of(item.message)) is not None}
        await self._repository.write(arrivals(_rows(decoded, incomplete | rejected, late)))
        return rejections

    async def _write_parts(self, decoded: Sequence[Decoded], started_ns: int, late: frozenset[Position]) -> list[Rejection]:
        """Write without positions and markers. A rejected part is split in halves until the message that cannot be written is alone."""
        reason = await self._write_rows(decoded, _rows(decoded, late=late), started_ns, with_arrivals=False)
        if reason is None:
            return []
        if len(decoded) == 1:
            self._spans.rejected([(decoded[0].delivery, decoded[0].message)], started_ns)
            return [(decoded[0], reason)]
        middle = len(decoded) // 2
        first, second = decoded[:middle], decoded[middle:]
        return [*await self._write_parts(first, started_ns, late), *await self._write_parts(second, started_ns, late)]

    async def _write_rows(self, decoded: Sequence[Decoded], rows: Rows, started_ns: int, *, with_arrivals: bool = True) -> str | None:
        """Returns the reason if the ledger rejects the rows."""
        writing_ns = time.time_ns()
        try:
            started = time.perf_counter()
            await self._repository.write(rows, with_arrivals=with_arrivals)
        except Rejected as error:
            return error.reason
        metrics.COMMIT_SECONDS.observe(time.perf_counter() - started)
        self._spans.written([(item.delivery, item.message) for item in decoded], tables(rows), started_ns, writing_ns)
        _count(decoded, rows)
        return None


def decode_all(batch: Sequence[Delivery]) -> tuple[list[Decoded], list[Poison], set[Position]]:
    """Decode every line of every body. A body with a line that cannot be decoded is poison, but its other lines are still written.

    Also returns the positions of the entries to which such lines belong.
    """
    decoded: list[Decoded] = []
    poisons: list[Poison] = []
    incomplete: set[Position] = set()
    for index, delivery in enumerate(batch):
        messages, errors = read(delivery.body)
        decoded += [Decoded(index, delivery, message) for message in messages]
        if errors:
            poisons.append(Poison(index, "undecodable", errors[0]))
            incomplete.update(incomplete_positions(delivery.body))
    return decoded, poisons, incomplete


def _rows(decoded: Sequence[Decoded], incomplete: Set[Position] = frozenset(), late: Set[Position] = frozenset()) -> Rows:
    rows = plan(((item.delivery.message_id, item.message) for item in decoded), incomplete, late)
    return replace(rows, consumer=decoded[0].delivery.consumer)


def _park_late(decoded: Sequence[Decoded], late: Set[Position]) -> list[Poison]:
    metrics.LATE_ENTRIES.inc(len(late))
    items = [item for item in decoded if position_of(item.message) in late]
    orders = [line.order_id for item in items for line in _lines(item.message)]
    log.error("ledger.late", extra={"entries": len(late), "order_ids": orders[:LATE_ORDERS_LOGGED_MAX]})
    return [Poison(item.index, "late", "recovery had closed the incarnation of its entry") for item in items]


def _lines(message: Message) -> Sequence[OrderLine | ReservedLine | PaymentLine | ReturnedLine]:
    match message:
        case OrdersReserved() | OrdersExpired() | OrdersCancelled() | OrdersReturned():
            return message.orders
        case PaymentsRecorded():
            return message.payments
        case _:
            return ()


def _count(decoded: Sequence[Decoded], rows: Rows) -> None:
    for name, count in Counter(_type(item.message) for item in decoded).items():
        metrics.MESSAGES.labels(name).inc(count)
    for state, count in Counter(state for _, state in rows.events).items():
        metrics.ORDERS_WRITTEN.labels(state.value).inc(count)
    newest_ms = max(item.message.at for item in decoded)
    metrics.LEDGER_LAG_SECONDS.set(max(0.0, time.time() - newest_ms / 1000))


def _type(message: Message) -> str:
    return str(message.__struct_config__.tag)

"""What an order-worker gets to do in tests: messages of one sale, and the worker's parts on real RabbitMQ and Postgres."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from flashsale_consumer import Consumer, ConsumerSettings, Handle
from flashsale_core import topology
from flashsale_core.messages import (
    Message,
    OrderLine,
    OrdersCancelled,
    OrdersExpired,
    OrdersReserved,
    OrdersReturned,
    PaymentLine,
    PaymentResult,
    PaymentsRecorded,
    ReservedLine,
    ReturnedLine,
    SaleDefined,
    SaleRetired,
)
from flashsale_core.tracing import Tracing
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository
from tests.integration.broker import Broker, open_broker
from tests.integration.ledger import Ledger, Rows, open_ledger

QUEUE = topology.ORDERS_QUEUE


def reserved(*order_ids: str, at: int = 1_000, quantity: int = 1) -> OrdersReserved:
    lines = [ReservedLine(order_id, "ann", quantity) for order_id in order_ids]
    return OrdersReserved(v=1, sale="shoe", epoch=7, at=at, deadline=5_000, orders=lines)


def expired(*order_ids: str) -> OrdersExpired:
    return OrdersExpired(v=1, sale="shoe", epoch=7, at=5_001, orders=[OrderLine(order_id, "ann", 1, 5_000) for order_id in order_ids])


def cancelled(*order_ids: str) -> OrdersCancelled:
    return OrdersCancelled(v=1, sale="shoe", epoch=7, at=2_000, orders=[OrderLine(order_id, "ann", 1, 5_000) for order_id in order_ids])


def payment(order_id: str, payment_id: str, result: PaymentResult, at: int, reason: str = "") -> PaymentsRecorded:
    line = PaymentLine(order_id, payment_id, result, reason, 999, "EUR", "ann", 1, 5_000)
    return PaymentsRecorded(v=1, sale="shoe", epoch=7, at=at, payments=[line])


def returned(order_id: str, payment_id: str, restocked: bool = True, by: str = "") -> OrdersReturned:
    line = ReturnedLine(order_id, "ann", 1, 5_000, payment_id, restocked, by=by)
    return OrdersReturned(v=1, sale="shoe", epoch=7, at=6_500, orders=[line])


def defined(generation: int, at: int, total: int) -> SaleDefined:
    return SaleDefined(
        v=1, sale="shoe", epoch=7, at=at, owner="admin", generation=generation, total=total, available=total, reserved=0, sold=0,
        starts_ms=0, ends_ms=90_000, max_per_user=2, hold_seconds=5, rate_requests=0, rate_seconds=1,
        late_payment="reacquire", state="open",
    )  # fmt: skip


# Everything that can happen to an order, a payment and a sale.
STORY: Sequence[Message] = (
    defined(1, 100, 10),
    defined(2, 200, 20),
    defined(2, 300, 30),
    reserved("held", "left", "late"),
    reserved("gone", "paid", "again", at=1_001),
    cancelled("left"),
    payment("paid", "p1", "failed", 1_500),
    payment("paid", "p1", "paid", 1_600),
    payment("paid", "p2", "refund_due", 1_700, "duplicate"),
    expired("gone", "late", "again"),
    payment("again", "p3", "paid", 6_000),
    payment("late", "p4", "refund_due", 6_001, "sold_out"),
    returned("again", "p3", by="console/bob"),
    payment("never-seen", "p5", "refund_due", 6_002, "unknown_order"),
    SaleRetired(v=1, sale="shoe", epoch=7, at=7_000, state="closed", total=30, available=26, reserved=2, sold=2),
    SaleRetired(v=1, sale="shoe", epoch=7, at=8_000, state="removed", total=30, available=28, reserved=0, sold=2),
)


IDENTIFIED = [(f"{number}-0", message) for number, message in enumerate(STORY)]


@asynccontextmanager
async def open_repository(database_url: str) -> AsyncIterator[Repository]:
    repository = Repository(database_url, statement_timeout_seconds=5, retry_seconds=0.1)
    try:
        yield repository
    finally:
        await repository.close()


async def written(database_url: str, batches: Sequence[Sequence[tuple[str, Message]]]) -> Rows:
    async with open_repository(database_url) as repository, open_ledger(database_url) as ledger:
        for batch in batches:
            await repository.write(plan(batch))
        return await ledger.rows()


@asynccontextmanager
async def at_work(infra: Mapping[str, str]) -> AsyncIterator[tuple[Broker, Ledger, OrderEvents]]:
    url = infra["DATABASE_URL"]
    async with open_broker(infra["AMQP_URL"]) as broker, open_ledger(url) as ledger, open_repository(url) as repository:
        yield broker, ledger, OrderEvents(repository, Tracing(None))


def consumer(infra: Mapping[str, str], handle: Handle, queue: str = QUEUE, batch_messages: int = 16) -> Consumer:
    return Consumer(ConsumerSettings(infra["AMQP_URL"], queue, batch_messages, 1_000_000, 10, 10), handle)

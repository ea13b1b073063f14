"""An order's trace goes on in the order-worker: one span per sampled order, under the span that announced it."""

import asyncio

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery
from flashsale_core.messages import OrdersReserved, ReservedLine, encode
from flashsale_core.tracing import Tracing
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.plan import Rows
from flashsale_order_worker.repository import Repository

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


class Taken(Repository):
    """A ledger that takes everything."""

    def __init__(self) -> None:
        pass

    async def write(self, rows: Rows) -> None:
        pass


def test_a_sampled_order_has_a_span_and_another_has_none() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    lines = [ReservedLine("o1", "ann", 1, f"00-{TRACE}-{PARENT}-01"), ReservedLine("o2", "bob", 1)]
    body = encode(OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=lines))

    async def handle() -> None:
        await OrderEvents(Taken(), Tracing(provider.get_tracer("test")))([Delivery(body, "1-0", redelivered=False)])

    asyncio.run(handle())
    (span,) = exporter.get_finished_spans()
    assert span.context is not None
    assert span.parent is not None
    assert (span.name, span.kind, f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}", dict(span.attributes or {})) == (
        "process orders",
        SpanKind.CONSUMER,
        TRACE,
        PARENT,
        {
            "messaging.system": "rabbitmq",
            "messaging.operation.type": "process",
            "messaging.destination.name": "orders",
            "messaging.message.id": "1-0",
            "db.system.name": "postgresql",
            "flashsale.order_id": "o1",
        },
    )

"""The order-worker continues the trace of each sampled order, under the span that sent its message."""

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery
from flashsale_core.errors import Rejected
from flashsale_core.messages import OrdersReserved, ReservedLine, encode
from flashsale_core.tracing import SENT_HEADER, Tracing
from flashsale_order_worker.handlers import OrderEvents
from flashsale_order_worker.plan import Rows
from flashsale_order_worker.repository import Repository

TRACE, PARENT, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
CONTEXT = f"00-{TRACE}-{PARENT}-01"


class AcceptingLedger(Repository):
    """A ledger that accepts everything."""

    def __init__(self) -> None:
        pass

    async def write(self, rows: Rows, *, with_arrivals: bool = True) -> None:
        pass


class RejectingLedger(AcceptingLedger):
    """A ledger that rejects orders of the sale `bad`."""

    async def write(self, rows: Rows, *, with_arrivals: bool = True) -> None:
        if any(key.sale_id == "bad" for key in rows.orders):
            raise Rejected("no")


def reserved(sale: str, *lines: ReservedLine) -> bytes:
    return encode(OrdersReserved(v=1, sale=sale, epoch=7, at=1, deadline=9, orders=list(lines)))


async def spans_of(ledger: Repository, *batch: Delivery) -> list[ReadableSpan]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    events = OrderEvents(ledger, Tracing(provider.get_tracer("test")), "amqp://guest:guest@broker:5672/", "postgresql://p@store/ledger")
    await events(batch)
    return list(exporter.get_finished_spans())


def delivery(body: bytes, headers: dict[str, object] | None = None) -> Delivery:
    return Delivery(body, "1-0", False, "flashsale.events", "order.reserved.60", 3, headers or {})


async def test_only_a_sampled_order_has_spans_of_its_message_and_transaction() -> None:
    lines = [ReservedLine("o1", "ann", 1, CONTEXT), ReservedLine("o2", "bob", 1)]
    write, process = await spans_of(AcceptingLedger(), delivery(reserved("shoe", *lines), {SENT_HEADER: {PARENT: SENDER}}))
    assert place(process) == ("process flashsale.events:order.reserved.60:orders", SpanKind.CONSUMER, TRACE, SENDER)
    assert dict(process.attributes or {}) == {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "flashsale.events:order.reserved.60:orders",
        "messaging.rabbitmq.destination.routing_key": "order.reserved.60",
        "messaging.rabbitmq.message.delivery_tag": 3,
        "messaging.message.id": "1-0",
        "server.address": "broker",
        "server.port": 5672,
        "flashsale.order_id": "shoe.o1",
    }
    assert process.context is not None
    assert place(write) == ("INSERT orders INSERT order_events", SpanKind.CLIENT, TRACE, f"{process.context.span_id:016x}")
    assert dict(write.attributes or {}) == {
        "db.system.name": "postgresql",
        "db.query.summary": "INSERT orders INSERT order_events",
        "db.namespace": "ledger",
        "server.address": "store",
    }


async def test_order_itself_is_the_parent_without_the_headers_of_the_sender() -> None:
    _, process = await spans_of(AcceptingLedger(), delivery(reserved("shoe", ReservedLine("o1", "ann", 1, CONTEXT))))
    assert place(process)[3] == PARENT


async def test_rejected_order_fails_only_in_its_own_trace() -> None:
    good, bad = (delivery(reserved(sale, ReservedLine("o1", "ann", 1, CONTEXT))) for sale in ("shoe", "bad"))
    spans = await spans_of(RejectingLedger(), good, bad)
    assert [((span.attributes or {}).get("flashsale.order_id"), (span.attributes or {}).get("error.type")) for span in spans] == [
        (None, None),
        ("shoe.o1", None),
        ("bad.o1", "rejected"),
    ]


def place(span: ReadableSpan) -> tuple[str, SpanKind, str, str]:
    """(name, kind, trace, parent)"""
    assert span.context is not None
    assert span.parent is not None
    return span.name, span.kind, f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}"

"""An order's trace contains its wait and what ended it: the queue or the sweeper."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from flashsale_consumer import Delivery
from flashsale_core.errors import Retryable
from flashsale_core.messages import OrdersReserved, ReservedLine, encode, join
from flashsale_core.settings import Environment
from flashsale_core.tracing import SENT_AT_HEADER, SENT_HEADER, Tracing
from flashsale_timeout_worker.expiry import Expired, Expiry, Fault, Outcome, Overdue, Page
from flashsale_timeout_worker.handlers import PaymentTimeouts
from flashsale_timeout_worker.settings import read_settings
from flashsale_timeout_worker.sweeper import Sweeper
from flashsale_timeout_worker.wait_probes import WaitProbes

TRACE, PARENT, SENDER = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "00f067aa0ba902b7"
CONTEXT = f"00-{TRACE}-{PARENT}-01"
ROOT = Path(__file__).parents[3]
SENT_MS = 1_700_000_000_000


class Due(Expiry):
    """o1 and o2 are overdue holds of the sale `shoe`; only o1 is traced."""

    def __init__(self) -> None:
        self.slot_groups = [[0]]

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        due = [Expired(order_id, 2, 30, CONTEXT if order_id == "o1" else "") for order_id in orders["shoe"] if order_id in ("o1", "o2")]
        fault = {"away": Retryable("away")}
        return {sale_id: Outcome(due if sale_id == "shoe" else [], fault.get(sale_id)) for sale_id in orders}

    async def overdue(self, shards: Sequence[int], grace_ms: int) -> Overdue:
        return Overdue([0], 0)

    async def pages(self, offsets: Mapping[int, int], latest_ms: int, limit: int) -> dict[int, Page | Fault]:
        return {0: {"shoe": ["o1", "o2"]}}


class NoProbes(WaitProbes):
    def __init__(self) -> None:
        pass


class Recorder:
    def __init__(self) -> None:
        self._exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider.get_tracer("test"))

    def spans(self) -> dict[str, ReadableSpan]:
        spans = self._exporter.get_finished_spans()
        assert len({span.name for span in spans}) == len(spans)
        return {span.name: span for span in spans}


async def waited(*lines: ReservedLine, more: Sequence[OrdersReserved] = ()) -> dict[str, ReadableSpan]:
    """The spans of one delivery; `more` are further lines of its body."""
    body = join(encode(message) for message in (reserved("shoe", *lines), *more))
    headers = {SENT_HEADER: {PARENT: SENDER}, SENT_AT_HEADER: SENT_MS}
    delivery = Delivery(body, "1-0", False, "flashsale.timeouts", "order.reserved.60", 3, headers)
    recorder = Recorder()
    with suppress(Retryable):
        await PaymentTimeouts(Due(), NoProbes(), recorder.tracing, amqp_url="amqp://broker", redis_url="redis://store/0")([delivery])
    return recorder.spans()


def reserved(sale: str, *lines: ReservedLine) -> OrdersReserved:
    return OrdersReserved(v=1, sale=sale, epoch=7, at=SENT_MS - 5, deadline=9, orders=list(lines))


def parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


async def test_expired_order_has_spans_of_its_wait_message_and_script_call() -> None:
    spans = await waited(ReservedLine("o1", "ann", 2, CONTEXT), ReservedLine("o2", "bob", 2))
    wait, process, call = (
        spans[name] for name in ("wait payment.wait.60", "process flashsale.timeouts:order.reserved.60:payment.timeout", "EVALSHA expire")
    )
    assert process.context is not None
    assert (wait.kind, process.kind, call.kind) == (SpanKind.INTERNAL, SpanKind.CONSUMER, SpanKind.CLIENT)
    assert (parent(wait), parent(process)) == (f"{TRACE}-{SENDER}", f"{TRACE}-{SENDER}")
    assert parent(call) == f"{TRACE}-{process.context.span_id:016x}"
    assert (wait.start_time, wait.end_time) == (SENT_MS * 1_000_000, process.start_time)
    attributes = dict(process.attributes or {})
    assert process.start_time is not None
    assert attributes["flashsale.wait_ms"] == process.start_time // 1_000_000 - SENT_MS
    assert (attributes["flashsale.order_id"], attributes["flashsale.expired"], attributes["flashsale.units_returned"]) == (
        "shoe.o1",
        True,
        2,
    )
    assert attributes["messaging.destination.name"] == "flashsale.timeouts:order.reserved.60:payment.timeout"
    assert dict(call.attributes or {})["db.stored_procedure.name"] == "expire"


async def test_paid_order_releases_no_units() -> None:
    spans = await waited(ReservedLine("paid", "ann", 2, CONTEXT))
    attributes = dict(spans["process flashsale.timeouts:order.reserved.60:payment.timeout"].attributes or {})
    assert (attributes["flashsale.expired"], attributes["flashsale.units_returned"]) == (False, 0)


async def test_retried_batch_has_spans_only_for_new_expiries() -> None:
    away = reserved("away", ReservedLine("o9", "bob", 1, CONTEXT.replace(PARENT, SENDER)))
    spans = await waited(ReservedLine("o1", "ann", 2, CONTEXT), more=[away, reserved("shoe", ReservedLine("paid", "cem", 2, CONTEXT))])
    assert {dict(span.attributes or {}).get("flashsale.order_id", "shoe.o1") for span in spans.values()} == {"shoe.o1"}
    assert len(spans) == 3


async def test_swept_order_is_in_the_trace_that_its_record_names() -> None:
    recorder = Recorder()
    variables = {"REDIS_URL": "redis://store/0", "AMQP_URL": "amqp://broker", "FLASHSALE_LUA_DIR": str(ROOT / "lua")}
    settings = replace(read_settings(Environment(variables)), shards=1)
    assert await Sweeper(Due(), settings, recorder.tracing).sweep() == 2
    swept, call = recorder.spans()["sweep"], recorder.spans()["EVALSHA expire"]
    assert swept.context is not None
    assert (parent(swept), parent(call)) == (f"{TRACE}-{PARENT}", f"{TRACE}-{swept.context.span_id:016x}")
    assert dict(swept.attributes or {}) == {
        "flashsale.order_id": "shoe.o1",
        "flashsale.late_ms": 30,
        "flashsale.expired": True,
        "flashsale.units_returned": 2,
    }

"""The spans of a sampled order, and that an order that is not sampled causes none."""

import asyncio
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NoOpTracer, Span, SpanKind, StatusCode
from pamqp.encode import field_table as encode_table

from flashsale_core.messages import OrderLine, OrdersExpired, OrdersReserved, ReservedLine, encode
from flashsale_core.scripts import Order
from flashsale_core.semconv import script_call
from flashsale_core.settings import Environment
from flashsale_core.tracing import SENT_AT_HEADER, SENT_HEADER, Tracing
from flashsale_gateway.batching import Admission, Answers, Batch, Batcher, Call
from flashsale_gateway.errors import OutcomeUnknown, StoreUnavailable
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.orders import Orders
from flashsale_gateway.outbox.monitor import Lag
from flashsale_gateway.outbox.spans import NAMED_MAX, PublishSpans
from flashsale_gateway.settings import read_settings
from flashsale_gateway.spans import with_spans
from flashsale_gateway.store import Result

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CONTEXT = f"00-{TRACE}-{PARENT}-01"
ACCEPTED: Result = ["accepted", "R", 1_800_000_000_000]


class Recorder:
    def __init__(self) -> None:
        self._exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracing = Tracing(provider.get_tracer("test"))

    @property
    def spans(self) -> list[ReadableSpan]:
        return list(self._exporter.get_finished_spans())


class Untouched(NoOpTracer):
    """A tracer that must not be asked for a span."""

    def start_span(self, *_: Any, **__: Any) -> Span:
        raise AssertionError("a span for what is not sampled")


class Script:
    """Accepts every order, or does not answer."""

    def __init__(self, error: Exception | None = None) -> None:
        self.orders: list[Order] = []
        self._error = error

    async def __call__(self, sales: Batch[Order]) -> Answers[Result]:
        self.orders += [order for _, orders in sales for order in orders]
        if self._error is not None:
            raise self._error
        return [StoreUnavailable() if sale_id == "broken" else ACCEPTED for sale_id, orders in sales for _ in orders]


async def order(tmp_path: Path, tracing: Tracing, script: Script, headers: Mapping[bytes, bytes] | None = None) -> int:
    """Sends one order; the answer's status."""
    variables = {
        "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(tmp_path), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
        "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body", "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
    }  # fmt: skip
    settings = read_settings(Environment(variables))
    body = json.dumps({"userId": "ann", "productId": "shoe", "quantity": 1, "requestId": "r1"}).encode()

    async def send() -> int:
        batcher = Batcher(with_spans(tracing, script_call("reserve", "redis://r"), script), 256, Admission(10), lambda _: 0)
        orders = Orders(batcher, Lag(1000), settings, tracing, Identities(settings.identity))
        decided: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        pending = orders.accept([(b"content-type", b"application/json"), *(headers or {}).items()], body, decided)
        try:
            return orders.answer(pending, await decided).status
        except Exception as error:
            return orders.fail(error, pending).status

    return await send()


def parent(span: ReadableSpan) -> str:
    assert span.parent is not None
    return f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}"


def own(span: ReadableSpan) -> str:
    assert span.context is not None
    return f"{span.context.trace_id:032x}-{span.context.span_id:016x}"


async def test_request_and_script_call_are_spans_of_the_callers_trace(tmp_path: Path) -> None:
    recorder, script = Recorder(), Script()
    assert await order(tmp_path, recorder.tracing, script, {b"traceparent": CONTEXT.encode()}) == 200
    call, request = recorder.spans
    assert (request.name, request.kind, parent(request)) == ("POST /order", SpanKind.SERVER, f"{TRACE}-{PARENT}")
    assert (call.name, call.kind, parent(call)) == ("EVALSHA reserve", SpanKind.CLIENT, own(request))
    assert script.orders[0].traceparent == f"00-{own(request)}-01"
    attributes = dict(request.attributes or {})
    assert str(attributes.pop("flashsale.order_id")).startswith("shoe.")
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/order",
        "url.path": "/order",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "flashsale.sale_id": "shoe",
        "flashsale.outcome": "accepted",
    }
    assert dict(call.attributes or {}) == {
        "db.system.name": "redis",
        "db.operation.name": "EVALSHA",
        "db.stored_procedure.name": "reserve",
        "db.namespace": "0",
        "server.address": "r",
        "flashsale.sale_id": "shoe",
        "flashsale.batch_items": 1,
        "flashsale.batch_sales": 1,
    }


async def test_lost_answer_fails_both_spans(tmp_path: Path) -> None:
    recorder, lost = Recorder(), OutcomeUnknown()
    lost.__cause__ = TimeoutError()
    assert await order(tmp_path, recorder.tracing, Script(lost)) == 503
    assert [(span.name, span.status.status_code, dict(span.attributes or {})["error.type"]) for span in recorder.spans] == [
        ("EVALSHA reserve", StatusCode.ERROR, "TimeoutError"),
        ("POST /order", StatusCode.ERROR, "outcome_unknown"),
    ]


@pytest.mark.parametrize(("ratio", "headers"), [(0.0, {}), (1.0, {b"traceparent": f"{CONTEXT[:-2]}00".encode()})])
async def test_unsampled_order_uses_no_tracer_and_carries_no_context(tmp_path: Path, ratio: float, headers: dict[bytes, bytes]) -> None:
    script = Script()
    assert await order(tmp_path, Tracing(Untouched(), ratio=ratio), script, headers) == 200
    assert script.orders[0].traceparent == ""


async def test_only_the_broken_sale_of_a_call_has_failed_spans() -> None:
    recorder = Recorder()
    called = with_spans(recorder.tracing, script_call("reserve", "redis://r"), Script())
    sales = [(sale_id, [Order("o1", "ann", 1, CONTEXT), Order("o2", "bob", 1)]) for sale_id in ("shoe", "broken")]
    *shoe, broken, again = await called(sales)
    assert (shoe, type(broken), type(again)) == ([ACCEPTED] * 2, StoreUnavailable, StoreUnavailable)
    statuses = {dict(span.attributes or {})["flashsale.sale_id"]: span.status.status_code for span in recorder.spans}
    assert statuses == {"shoe": StatusCode.UNSET, "broken": StatusCode.ERROR}


def test_call_is_unchanged_without_tracing() -> None:
    script: Call[Order, Result] = Script()
    assert with_spans(Tracing(None), script_call("reserve", ""), script) is script


async def test_fault_is_logged_with_the_order_and_its_trace(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        assert await order(tmp_path, Recorder().tracing, Script(ValueError("bug")), {b"traceparent": CONTEXT.encode()}) == 500
    (record,) = caplog.records
    assert (record.getMessage(), vars(record)["trace_id"]) == ("order.failed", TRACE)
    assert vars(record)["order_id"].startswith("shoe.")


def context(number: int) -> str:
    return f"00-{TRACE}-{number:016x}-01"


def test_message_names_the_span_of_each_traced_order_in_its_headers() -> None:
    recorder = Recorder()
    reserved = OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=[ReservedLine("o1", "ann", 1, context(1))])
    expired = OrdersExpired(v=1, sale="hat", epoch=7, at=1, orders=[OrderLine("o2", "bob", 1, 9), OrderLine("o3", "cy", 1, 9, context(3))])
    with PublishSpans(recorder.tracing, "amqp://b").for_message("order.reserved.60", "1-0", [encode(reserved), encode(expired)]) as headers:
        assert recorder.spans == []
    first, second = recorder.spans
    assert [(span.name, span.kind, parent(span)) for span in (first, second)] == [
        ("send flashsale.events:order.reserved.60", SpanKind.PRODUCER, f"{TRACE}-{1:016x}"),
        ("send flashsale.events:order.reserved.60", SpanKind.PRODUCER, f"{TRACE}-{3:016x}"),
    ]
    assert [dict(span.attributes or {})["flashsale.order_id"] for span in (first, second)] == ["shoe.o1", "hat.o3"]
    assert headers is not None
    assert isinstance(headers.pop(SENT_AT_HEADER), int)
    assert headers == {
        "traceparent": f"00-{own(first)}-01",
        SENT_HEADER: {f"{1:016x}": own(first)[33:], f"{3:016x}": own(second)[33:]},
    }


def test_failed_publish_is_a_failed_span() -> None:
    recorder = Recorder()
    body = encode(OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=[ReservedLine("o1", "ann", 1, context(1))]))
    with pytest.raises(TimeoutError), PublishSpans(recorder.tracing, "").for_message("order.reserved.60", "1-0", [body]):
        raise TimeoutError
    assert [(span.attributes or {}).get("error.type") for span in recorder.spans] == ["TimeoutError"]


@pytest.mark.parametrize("tracing", [Tracing(None), Tracing(Untouched())], ids=["off", "unsampled"])
def test_message_without_traced_orders_has_no_headers(tracing: Tracing) -> None:
    body = encode(OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=[ReservedLine("o1", "ann", 1)]))
    with PublishSpans(tracing, "").for_message("order.reserved.60", "1-0", [body, b"\xff no message"]) as headers:
        assert headers is None


def test_headers_stay_small_however_many_orders_are_traced() -> None:
    lines = [ReservedLine(f"o{number}", "ann", 1, context(number)) for number in range(1, 300)]
    body = encode(OrdersReserved(v=1, sale="shoe", epoch=7, at=1, deadline=9, orders=lines))
    recorder = Recorder()
    with PublishSpans(recorder.tracing, "").for_message("order.reserved.60", "1-0", [body]) as headers:
        assert headers is not None
        assert len(headers[SENT_HEADER]) == NAMED_MAX
        # The rest of a frame: its own 8 bytes and the fixed properties, of which message id and content type are the longest.
        assert len(encode_table(headers)) < 4096 - 8 - 100
    assert len(recorder.spans) == 299

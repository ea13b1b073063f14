import json
import logging

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind

from flashsale_core.logs import configure_logging
from flashsale_core.tracing import Tracing, configure_tracing, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_tracing_is_off_without_an_endpoint() -> None:
    tracing = configure_tracing("x", {})
    with tracing.span("x", SpanKind.SERVER) as span:
        assert (tracing.enabled, span) == (False, None)
    tracing.shutdown()


def test_context_continues_its_parent() -> None:
    provider = TracerProvider()
    tracing = Tracing(provider.get_tracer("t"), provider)
    with tracing.span("x", SpanKind.SERVER, PARENT, {"a": 1}) as span:
        assert span is not None
        text = traceparent(span)
    assert (text[:36], text[-3:], text == PARENT) == (PARENT[:36], "-01", False)
    tracing.shutdown()


def test_unsampled_span_costs_nobody_downstream_anything() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    assert traceparent(Tracing(provider.get_tracer("t")).start("x", SpanKind.SERVER)) == ""


def test_log_line_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("t").exception("order.failed", extra={"order_id": "o1", "at_all": object})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["order_id"]) == ("order.failed", "error", "o1")
    assert "ValueError: bad" in line["error"]
    logging.getLogger().handlers.clear()

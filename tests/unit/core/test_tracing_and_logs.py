import io
import json
import logging
import re
import sys
import time
from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from flashsale_core.errors import SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.tracing import SENT_HEADER, Tracing, configure_tracing, ended, log_fields, sent_context, traceparent

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


UNSAMPLED = f"{PARENT[:-2]}00"


def test_tracing_is_off_without_an_endpoint() -> None:
    for variables in ({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}):
        tracing = configure_tracing("x", variables)
        assert (tracing.enabled, tracing.samples(PARENT)) == (False, False)
        tracing.shutdown()


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"OTEL_TRACES_SAMPLER_ARG": "some"}, "OTEL_TRACES_SAMPLER_ARG is some: it must be a number from 0 to 1"),
        ({"OTEL_TRACES_SAMPLER_ARG": "1.5"}, "OTEL_TRACES_SAMPLER_ARG is 1.5: it must be a number from 0 to 1"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL is grpc: spans are sent by http/protobuf only, usually to port 4318",
        ),
    ],
)
def test_wrong_variable_is_named(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(words)):
        configure_tracing("x", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"} | variables)


def test_context_continues_its_parent() -> None:
    provider = TracerProvider()
    tracing = Tracing(provider.get_tracer("t"), provider)
    text = traceparent(tracing.start("x", SpanKind.SERVER, PARENT, {"a": 1}))
    assert (text[:36], text[-3:], text == PARENT) == (PARENT[:36], "-01", False)
    tracing.shutdown()


@pytest.mark.parametrize(
    ("parent", "at_none", "on_all_masters"),
    [
        (PARENT, True, True),
        (UNSAMPLED, False, False),
        (None, False, True),
        # No traceparent: a trace begins here (W3C Trace Context, 3.2.3).
        ("rubbish", False, True),
        # A later version may have more fields.
        (f"01{PARENT[2:]}-more", True, True),
    ],
)
def test_caller_decides_sampling_and_otherwise_the_ratio(parent: str | None, at_none: bool, on_all_masters: bool) -> None:
    tracer = TracerProvider().get_tracer("t")
    assert (Tracing(tracer, ratio=0).samples(parent), Tracing(tracer, ratio=1).samples(parent)) == (at_none, on_all_masters)


def test_sampled_share_is_the_ratio() -> None:
    tracing = Tracing(TracerProvider().get_tracer("t"), ratio=0.1)
    assert 800 < sum(tracing.samples(None) for _ in range(10_000)) < 1200


def test_spans_of_a_block_end_with_it_and_have_its_error() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing = Tracing(provider.get_tracer("t"), provider)
    with pytest.raises(RuntimeError), ended([tracing.start("x", SpanKind.CLIENT)]):
        raise RuntimeError("no answer") from TimeoutError()
    (span,) = exporter.get_finished_spans()
    assert (dict(span.attributes or {}), span.status.status_code) == ({"error.type": "TimeoutError"}, StatusCode.ERROR)


@pytest.mark.parametrize(
    ("headers", "parent"),
    [
        ({SENT_HEADER: {"b7ad6b7169203331": "00f067aa0ba902b7"}}, "00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01"),
        ({SENT_HEADER: {"1111111111111111": "00f067aa0ba902b7"}}, PARENT),
        ({SENT_HEADER: "rubbish"}, PARENT),
        ({}, PARENT),
    ],
)
def test_parent_of_a_receive_span_is_the_send_span(headers: dict[str, object], parent: str) -> None:
    assert sent_context(PARENT, headers) == parent


def test_log_fields_are_those_of_a_traceparent() -> None:
    assert log_fields(PARENT) == {"trace_id": "0af7651916cd43dd8448eb211c80319c", "span_id": "b7ad6b7169203331"}
    assert [log_fields(other) for other in (None, "", "rubbish", 7)] == [{}, {}, {}, {}]


def test_unsampled_span_has_no_traceparent() -> None:
    provider = TracerProvider(sampler=ALWAYS_OFF)
    assert traceparent(Tracing(provider.get_tracer("t")).start("x", SpanKind.SERVER)) == ""


@pytest.fixture
def logging_to_stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The logging configuration, restored afterwards."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    yield
    logging.captureWarnings(capture=False)
    logging.getLogger().handlers.clear()


@pytest.mark.usefixtures("logging_to_stderr")
def test_log_line_is_one_json_object_with_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        raise ValueError("bad")
    except ValueError:
        logging.getLogger("t").exception("order.failed", extra={"order_id": "o1", "on_all_masters": object})
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["level"], line["order_id"]) == ("order.failed", "error", "o1")
    assert "ValueError: bad" in line["error"]


@pytest.mark.usefixtures("logging_to_stderr")
def test_time_of_a_log_line_is_rfc_3339_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    record = logging.makeLogRecord({"created": 1_800_000_000.25, "msg": "sale.opened", "levelno": logging.INFO})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        configure_logging("info")
        logging.getLogger("t").handle(record)
    time.tzset()
    assert json.loads(capsys.readouterr().err)["at"] == "2027-01-15T08:00:00.250Z"


@pytest.mark.usefixtures("logging_to_stderr")
def test_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    configure_logging("info")
    logging.getLogger("t").info("message.parked", extra={"message_id": "1-0", "color_message": "again"})
    assert re.fullmatch(r"\d\d:\d\d:\d\d INFO    message\.parked message_id=1-0\n", terminal.getvalue())


@pytest.mark.usefixtures("logging_to_stderr")
def test_crash_and_warning_are_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    sys.excepthook(ValueError, ValueError("bad"), None)
    logging.getLogger("py.warnings").warning("x.py:1: RuntimeWarning: never awaited\n  x()\n")
    crash, warning = map(json.loads, capsys.readouterr().err.splitlines())
    assert (crash["event"], crash["level"], crash["error"]) == ("process.failed", "critical", "ValueError: bad")
    assert warning["logger"] == "py.warnings"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

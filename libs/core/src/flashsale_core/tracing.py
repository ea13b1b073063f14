"""Tracing: off unless an OTLP endpoint is set, and then sampled by OTEL_TRACES_SAMPLER_ARG (0..1, default 1).

Context travels as a W3C traceparent string (https://www.w3.org/TR/trace-context/) through the packed order, the outbox and the message.
Only a sampled order has one. Any other order costs a check where it begins, and a check of an empty field in each later step.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import random
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from flashsale_core.errors import SettingsError

ENDPOINT_VARIABLES = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
PROTOCOL_VARIABLES = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"
RATIO_VARIABLE = "OTEL_TRACES_SAMPLER_ARG"
SENT_HEADER = "x-flashsale-sent"
"""Header of a message: maps the span id in an order's traceparent to the id of the span that sent the order (16 hex digits each)."""
SENT_AT_HEADER = "x-flashsale-sent-ms"
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-([0-9a-f]{2})(-.*)?")
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """A service's tracer. Hot paths check `enabled` before they do any work."""

    def __init__(self, tracer: Tracer | None, provider: Any = None, ratio: float = 1.0) -> None:
        self._tracer = tracer
        self._provider = provider
        self._ratio = ratio
        self.enabled = tracer is not None

    def samples(self, parent: str | None) -> bool:
        """Whether a request is traced: as its traceparent says, or at random if it has none."""
        if not self.enabled:
            return False
        context = _TRACEPARENT.fullmatch(parent) if parent else None
        return random() < self._ratio if context is None else bool(int(context[1], 16) & 1)  # noqa: S311 - sampling keeps no secret

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """Start a span, a child of the traceparent `parent`. Call it only when `enabled`, and for a request that is traced."""
        assert self._tracer is not None  # noqa: S101 - callers ask `enabled` first
        context = _propagator.extract({"traceparent": parent}) if parent else None
        return self._tracer.start_span(name, context, kind, attributes, start_time=start_ns)

    def shutdown(self) -> None:
        """Send what is still buffered (bounded by the exporter's own timeout)."""
        if self._provider is not None:
            self._provider.shutdown()


@contextmanager
def ended(spans: Sequence[Span]) -> Iterator[None]:
    """End the spans with the block. If it raises, they fail with the type of the error, or of its cause."""
    try:
        yield
    except BaseException as error:
        for span in spans:
            fail(span, type(error.__cause__ or error).__name__)
        raise
    finally:
        for span in spans:
            span.end()


def fail(span: Span, error_type: str) -> None:
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def traceparent(span: Span) -> str:
    """The span's context for the next hop; empty when it is not sampled, so nobody downstream does any work for it."""
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def trace_id(context: str) -> str:
    """The trace's id in a traceparent; empty for none."""
    return context[3:35]


def span_id(context: str) -> str:
    return context[36:52]


def sent_context(context: str, headers: Mapping[str, Any]) -> str:
    """The traceparent of the span that sent an order's message, from the message's headers; without them, the order's own."""
    sent = headers.get(SENT_HEADER)
    sender = sent.get(span_id(context)) if isinstance(sent, Mapping) else None
    return f"{context[:36]}{sender}{context[52:]}" if isinstance(sender, str) else context


def log_fields(context: Any) -> dict[str, str]:
    """A traceparent as fields of a log line, named as OpenTelemetry names them; empty if it is not a traceparent.

    https://opentelemetry.io/docs/specs/otel/compatibility/logging_trace_context/
    """
    if not isinstance(context, str) or not _TRACEPARENT.fullmatch(context):
        return {}
    return {"trace_id": trace_id(context), "span_id": span_id(context)}


def configure_tracing(service_name: str, variables: Mapping[str, str] | None = None) -> Tracing:
    """The service's tracing as the environment asks for it; OTLP over HTTP with the exporter's standard variables.

    Raises SettingsError naming the variable that is wrong.
    """
    variables = os.environ if variables is None else variables
    if not any(variables.get(name) for name in ENDPOINT_VARIABLES) or variables.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return Tracing(None)
    _require_protocol(variables)
    ratio = _ratio(variables.get(RATIO_VARIABLE) or "1")
    # Imported here: a service without tracing does not pay for the SDK's import or memory.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased

    # `samples` applies the ratio before a span is made; the SDK's sampler would apply it after most of the work.
    provider = TracerProvider(sampler=ParentBased(ALWAYS_ON), resource=Resource.create({"service.name": service_name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(trace.get_tracer("flashsale", tracer_provider=provider), provider, ratio)


def _require_protocol(variables: Mapping[str, str]) -> None:
    for name in PROTOCOL_VARIABLES:
        if variables.get(name, PROTOCOL) != PROTOCOL:
            raise SettingsError(f"{name} is {variables[name]}: spans are sent by {PROTOCOL} only, usually to port 4318")


def _ratio(text: str) -> float:
    try:
        ratio = float(text)
    except ValueError:
        ratio = -1
    if not 0 <= ratio <= 1:
        raise SettingsError(f"{RATIO_VARIABLE} is {text}: it must be a number from 0 to 1")
    return ratio

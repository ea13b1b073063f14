"""Tracing: off unless OTEL_EXPORTER_OTLP_ENDPOINT is set, and then sampled by OTEL_TRACES_SAMPLER_ARG (0..1, default 1).

Context travels as a W3C traceparent string (https://www.w3.org/TR/trace-context/) through the packed order, the outbox and the message:
only a sampled order carries one, so an unsampled order costs one `None` check.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINT_VARIABLE = "OTEL_EXPORTER_OTLP_ENDPOINT"
_propagator = TraceContextTextMapPropagator()


class Tracing:
    """A service's tracer, or nothing: `enabled` is what hot paths ask before doing any work."""

    def __init__(self, tracer: Tracer | None, provider: Any = None) -> None:
        self._tracer = tracer
        self._provider = provider
        self.enabled = tracer is not None

    def start(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        start_ns: int | None = None,
    ) -> Span:
        """A started span, child of the traceparent `parent`. Only when `enabled`."""
        assert self._tracer is not None  # noqa: S101 - callers ask `enabled` first
        context = _propagator.extract({"traceparent": parent}) if parent else None
        return self._tracer.start_span(name, context, kind, attributes, start_time=start_ns)

    @contextmanager
    def span(
        self,
        name: str,
        kind: SpanKind,
        parent: str | None = None,
        attributes: Mapping[str, Any] | None = None,
    ) -> Iterator[Span | None]:
        if not self.enabled:
            yield None
            return
        span = self.start(name, kind, parent, attributes)
        try:
            yield span
        finally:
            span.end()

    def shutdown(self) -> None:
        """Send what is still buffered (bounded by the exporter's own timeout)."""
        if self._provider is not None:
            self._provider.shutdown()


def traceparent(span: Span) -> str:
    """The span's context for the next hop; empty when it is not sampled, so nobody downstream does any work for it."""
    context = span.get_span_context()
    if not context.trace_flags.sampled:
        return ""
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-01"


def trace_id(context: str) -> str:
    """The trace's id in a traceparent; empty for none."""
    return context[3:35]


def configure_tracing(service_name: str, variables: Mapping[str, str] | None = None) -> Tracing:
    """The service's tracing as the environment asks for it; OTLP over HTTP with the exporter's standard variables."""
    variables = os.environ if variables is None else variables
    if not variables.get(ENDPOINT_VARIABLE):
        return Tracing(None)
    # Imported here: a service without tracing does not pay for the SDK's import or memory.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

    ratio = float(variables.get("OTEL_TRACES_SAMPLER_ARG", "") or 1.0)
    provider = TracerProvider(
        sampler=ParentBased(TraceIdRatioBased(ratio)),
        resource=Resource.create({"service.name": service_name}),
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Tracing(trace.get_tracer("flashsale", tracer_provider=provider), provider)

"""An OTLP/HTTP receiver that keeps the spans it receives and returns them by trace."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

Value = str | int | bool | float


@dataclass(frozen=True)
class Span:
    service: str
    name: str
    kind: str
    """SERVER, CLIENT, PRODUCER, CONSUMER or INTERNAL."""
    trace_id: str
    span_id: str
    parent_id: str
    start_ns: int
    end_ns: int
    attributes: Mapping[str, Value]

    @property
    def milliseconds(self) -> float:
        return (self.end_ns - self.start_ns) / 1_000_000


class Collector:
    def __init__(self) -> None:
        self.spans: list[Span] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                collector.keep(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def keep(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            service = next(a.value.string_value for a in resource.resource.attributes if a.key == "service.name")
            self.spans += [_span(service, span) for scope in resource.scope_spans for span in scope.spans]

    def of_trace(self, trace_id: str) -> "list[Span]":
        return [span for span in self.spans if span.trace_id == trace_id]

    def edges(self, trace_id: str, client_span_id: str) -> list[tuple[str, str]]:
        """(parent's name, name) of each span; the caller's span is "client". A missing parent is "?": the trace has a gap."""
        spans = self.of_trace(trace_id)
        names = {span.span_id: span.name for span in spans} | {client_span_id: "client"}
        return sorted((names.get(span.parent_id, "?"), span.name) for span in spans)


@contextmanager
def collecting() -> Iterator[Collector]:
    collector = Collector()
    Thread(target=collector.server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        collector.server.shutdown()
        collector.server.server_close()


def _span(service: str, span: trace_pb2.Span) -> Span:
    kind = trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
    attributes = {attribute.key: _value(attribute.value) for attribute in span.attributes}
    ids = (span.trace_id.hex(), span.span_id.hex(), span.parent_span_id.hex())
    return Span(service, span.name, kind, *ids, span.start_time_unix_nano, span.end_time_unix_nano, attributes)


def _value(value: AnyValue) -> Value:
    which = value.WhichOneof("value")
    assert which in {"string_value", "int_value", "bool_value", "double_value"}, which
    content: Value = getattr(value, which)
    return content

"""Spans of requests, and of the script calls that they wait for."""

from collections.abc import Mapping
from typing import TypeVar

from opentelemetry.trace import Span, SpanKind

from flashsale_core import semconv
from flashsale_core.scripts import Order, Payment
from flashsale_core.tracing import Tracing, ended, fail, traceparent
from flashsale_gateway.batching import Answers, Batch, Call
from flashsale_gateway.provisional import Provisional
from flashsale_gateway.store import Result

Item = TypeVar("Item", Order, Payment)


def begin(tracing: Tracing, template: semconv.SpanTemplate, parent: str | None, attributes: Mapping[str, str]) -> tuple[Span, str]:
    """Start the span of a sampled request; returns it with its traceparent. `attributes` are those of this request."""
    span = tracing.start(template.name, SpanKind.SERVER, parent, {**template.attributes, **attributes})
    return span, traceparent(span)


def end(span: Span | None, outcome: str, status: int) -> None:
    """End a request's span; nothing for None. It fails with a 5xx, not with a refusal (semantic conventions for HTTP)."""
    if span is None:
        return
    span.set_attribute("flashsale.outcome", outcome)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, outcome)
    span.end()


def with_spans(tracing: Tracing, template: semconv.SpanTemplate, call: Call[Item, Result]) -> Call[Item, Result]:
    """`call`, with a span in the trace of each traced item. The items share the call, so their spans start and end together."""
    if not tracing.enabled:
        return call

    async def traced(sales: Batch[Item]) -> Answers[Result | Provisional[Result]]:
        if not any(item.traceparent for _, items in sales for item in items):
            return await call(sales)
        parents = [(sale_id, item.traceparent) for sale_id, items in sales for item in items]
        shared = {**template.attributes, "flashsale.batch_items": len(parents), "flashsale.batch_sales": len(sales)}
        spans = {
            place: tracing.start(template.name, SpanKind.CLIENT, parent, {**shared, "flashsale.sale_id": sale_id})
            for place, (sale_id, parent) in enumerate(parents)
            if parent
        }
        with ended(list(spans.values())):
            answers = await call(sales)
            for place, span in spans.items():
                answer = answers[place]
                if isinstance(answer, Exception):
                    fail(span, type(answer).__name__)
            return answers

    return traced

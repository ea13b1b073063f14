"""Spans of requests and of the script calls they wait for."""

from collections.abc import Mapping
from typing import TypeVar

from opentelemetry.trace import Span, SpanKind

from flashsale_core import semconv
from flashsale_core.scripts import Order, Payment
from flashsale_core.tracing import Tracing, ended, fail, traceparent
from flashsale_gateway.batching import Answers, Batch, Call
from flashsale_gateway.store import Result

Item = TypeVar("Item", Order, Payment)


def begin(tracing: Tracing, asked: semconv.SpanTemplate, parent: str | None, more: Mapping[str, str]) -> tuple[Span, str]:
    """The span of a request that is sampled, and its traceparent."""
    span = tracing.start(asked.name, SpanKind.SERVER, parent, {**asked.attributes, **more})
    return span, traceparent(span)


def end(span: Span | None, outcome: str, status: int) -> None:
    """As the semantic conventions for HTTP have it: a server's span fails with a 5xx, not with a refusal."""
    if span is None:
        return
    span.set_attribute("flashsale.outcome", outcome)
    span.set_attribute("http.response.status_code", status)
    if status >= 500:
        fail(span, outcome)
    span.end()


def around(tracing: Tracing, called: semconv.SpanTemplate, call: Call[Item, Result]) -> Call[Item, Result]:
    """`call`, with a span in the trace of each of its items that has one: they share the call, so their spans begin and end together."""
    if not tracing.enabled:
        return call

    async def traced(sales: Batch[Item]) -> Answers[Result]:
        if not any(item.traceparent for _, items in sales for item in items):
            return await call(sales)
        parents = [(sale_id, item.traceparent) for sale_id, items in sales for item in items]
        shared = {**called.attributes, "flashsale.batch_items": len(parents), "flashsale.batch_sales": len(sales)}
        spans = {
            place: tracing.start(called.name, SpanKind.CLIENT, parent, {**shared, "flashsale.sale_id": sale_id})
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

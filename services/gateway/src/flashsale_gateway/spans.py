"""Spans of requests and of the script calls they wait for."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from opentelemetry.trace import Span, SpanKind

from flashsale_core import semantics
from flashsale_core.tracing import Tracing, ended, fail, traceparent
from flashsale_gateway.store import Order, Payment, Result

Item = TypeVar("Item", Order, Payment)
"""Its last field is its traceparent; empty for one that is not traced."""


def begin(tracing: Tracing, asked: semantics.Named, parent: str | None, more: Mapping[str, str]) -> tuple[Span, str]:
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


def around(
    tracing: Tracing, called: semantics.Named, call: Callable[[str, Sequence[Item]], Awaitable[list[Result]]]
) -> Callable[[str, Sequence[Item]], Awaitable[list[Result]]]:
    """`call`, with a span in the trace of each of its items that has one: they share the call, so their spans begin and end together."""
    if not tracing.enabled:
        return call

    async def traced(sale_id: str, items: Sequence[Item]) -> list[Result]:
        parents = [item[-1] for item in items if item[-1]]
        if not parents:
            return await call(sale_id, items)
        attributes = {**called.attributes, "flashsale.sale_id": sale_id, "flashsale.batch_items": len(items)}
        with ended([tracing.start(called.name, SpanKind.CLIENT, parent, attributes) for parent in parents]):
            return await call(sale_id, items)

    return traced

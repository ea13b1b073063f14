"""POST /order, the hot path: a plain ASGI endpoint beside the router. Read, decide in Redis with everyone else who is waiting, answer."""

import logging
from collections.abc import Sequence
from time import perf_counter

from opentelemetry.trace import SpanKind
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from flashsale_core import tracing
from flashsale_core.ids import OrderRef, SaleId, order_id
from flashsale_gateway import bodies, metrics
from flashsale_gateway.batching import Batcher
from flashsale_gateway.demand import Demand
from flashsale_gateway.moments import rfc3339
from flashsale_gateway.problems import Problem
from flashsale_gateway.relay import Lag
from flashsale_gateway.requests import OrderRequest, read_order
from flashsale_gateway.settings import Settings
from flashsale_gateway.store import Order, Result, Store

_REFUSALS = {
    "conflict": "request_conflict",
    "gone": "order_gone",
    "unknown_sale": "unknown_sale",
    "not_started": "not_started",
    "ended": "ended",
    "paused": "paused",
    "closed": "closed",
    "user_limit": "user_limit",
    "out_of_stock": "out_of_stock",
    "rate_limited": "rate_limited",
}
_JSON = (b"content-type", b"application/json")
_REPLAYED = (b"idempotent-replayed", b"true")
_STATES = {"R": "reserved", "P": "paid"}
log = logging.getLogger(__name__)
# The refusals of a stampede are always the same bytes; they are answers here, never raised.
_READY_MADE = {code: Problem(code) for code in ("out_of_stock", "user_limit", "ended", "paused", "closed", "overloaded")}


class Orders:
    """The endpoint. Orders of one sale that wait together share one call."""

    def __init__(self, batcher: Batcher[Order, Result], lag: Lag, settings: Settings, trace: tracing.Tracing) -> None:
        self._batcher = batcher
        self._lag = lag
        self._settings = settings
        self._tracing = trace
        self._counters = {code: metrics.ORDERS.labels(code) for code in (*_REFUSALS.values(), "accepted", "replayed")}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] != "POST":
                raise Problem("method_not_allowed", "POST an order")
            media_type, key = bodies.two_headers(scope, b"content-type", b"idempotency-key")
            bodies.require_json(media_type)
            body = await bodies.read(receive, self._settings)
            started = perf_counter()
            request = read_order(body)
            request_id = _request_id(key, request)
            if request.quantity > self._settings.quantity_max:
                raise Problem("bad_request", f"At most {self._settings.quantity_max} units in one order", field="quantity")
            self._lag.check()
            trace_id = await self._decide(scope, send, request, request_id)
            metrics.ORDER_SECONDS.observe(perf_counter() - started, {"trace_id": trace_id} if trace_id else None)
        except Problem as problem:
            await self._refuse(send, problem)
        except ClientDisconnect:
            # Nobody is left to answer, and nothing was decided.
            return
        except Exception:
            log.exception("order.failed")
            await self._refuse(send, Problem("internal"))

    async def _decide(self, scope: Scope, send: Send, request: OrderRequest, request_id: str) -> str:
        """Decide and answer; returns the trace's id when it is sampled."""
        sale_id, context = request.productId, ""
        order = order_id(self._settings.order_id_key, sale_id, request.userId, request_id)
        if not self._tracing.enabled:
            result = await self._batcher.submit(sale_id, (order, request.userId, request.quantity, ""))
        else:
            result, context = await self._traced(scope, sale_id, (order, request.userId, request.quantity))
        status = result[0]
        if status not in {"accepted", "replayed"}:
            await self._refuse(send, _refusal(status, result))
            return tracing.trace_id(context)
        self._counters[status].inc()
        body = _success(OrderRef(SaleId(sale_id), order), request, result)
        headers = [_JSON, (b"content-length", str(len(body)).encode())]
        if status == "replayed":
            headers.append(_REPLAYED)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})
        return tracing.trace_id(context)

    async def _traced(self, scope: Scope, sale_id: str, order: tuple[str, str, int]) -> tuple[Result, str]:
        attributes = {
            "http.request.method": "POST",
            "url.path": "/order",
            "http.route": "/order",
            "flashsale.sale_id": sale_id,
            "flashsale.order_id": order[0],
        }
        parent = bodies.header(scope, b"traceparent")
        span = self._tracing.start("POST /order", SpanKind.SERVER, parent.decode("latin-1") if parent else None, attributes)
        try:
            context = tracing.traceparent(span)
            result = await self._batcher.submit(sale_id, (*order, context))
            span.set_attribute("flashsale.outcome", result[0])
            return result, context
        finally:
            span.end()

    async def _refuse(self, send: Send, problem: Problem) -> None:
        counter = self._counters.get(problem.code)
        if counter is None:
            counter = self._counters[problem.code] = metrics.ORDERS.labels(problem.code)
        counter.inc()
        start, body = problem.messages
        await send(start)
        await send(body)


async def reserve_batch(store: Store, demand: Demand, sale_id: str, orders: Sequence[Order]) -> list[Result]:
    metrics.BATCH_ORDERS.observe(len(orders))
    results = await store.reserve(sale_id, orders)
    demand.count(sale_id, results, perf_counter())
    return results


def _request_id(raw: bytes | None, request: OrderRequest) -> str:
    if raw is None:
        if request.requestId is None:
            raise Problem("bad_request", "Send requestId, or the same as an Idempotency-Key header", field="requestId")
        return request.requestId
    # A Structured Fields string in quotes, as the Idempotency-Key draft has it, or bare, as most clients send it.
    key = raw.decode("latin-1").strip().strip('"')
    if not bodies.is_request_id(key):
        raise Problem("bad_request", "Idempotency-Key must be 1..128 letters, digits, '.', '_', ':' or '-'", field="Idempotency-Key")
    if request.requestId is not None and request.requestId != key:
        raise Problem("bad_request", "requestId and Idempotency-Key differ; send one, or the same", field="requestId")
    return key


def _refusal(status: str, result: Result) -> Problem:
    code = _REFUSALS[status]
    ready = _READY_MADE.get(code)
    if ready is not None:
        return ready
    if status in {"rate_limited", "not_started"}:
        return Problem(code, retry_after_seconds=max(1, -(-int(result[3]) // 1000)))
    return Problem(code)


def _success(order: OrderRef, request: OrderRequest, result: Result) -> bytes:
    # Every part is of an alphabet that needs no escaping: the request was validated, the rest is ours.
    return (
        f'{{"status":"success","orderId":"{order.sale_id}.{order.order_id}","state":"{_STATES[result[1]]}",'
        f'"productId":"{order.sale_id}","quantity":{request.quantity},"expiresAt":"{rfc3339(int(result[2]))}"}}'
    ).encode()

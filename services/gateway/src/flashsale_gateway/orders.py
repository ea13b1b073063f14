"""POST /order, the hot path: read and check an order, have it decided in Redis together with all waiting orders, answer."""

import asyncio
from collections.abc import Sequence
from time import perf_counter

import msgspec
from opentelemetry.trace import Span

from flashsale_core import semconv, tracing
from flashsale_core.ids import ID_RULES, REQUEST_ID_PATTERN, OrderId, OrderRef, SaleId, order_id
from flashsale_core.orders import LETTERS
from flashsale_core.scripts import DEADLINE_MS, ORDER_ID, RETRY_AFTER_MS, STATE, STATUS, Order
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_gateway import metrics, spans
from flashsale_gateway.batching import Batcher, fail_waiters
from flashsale_gateway.http import bodies
from flashsale_gateway.http.answers import UNCACHED, Answer
from flashsale_gateway.http.body_schemas import OrderRequest, read_order
from flashsale_gateway.http.callers import buyer_of
from flashsale_gateway.http.endpoints import Endpoint, Headers
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.identity.identities import Identities
from flashsale_gateway.lanes import Waiter
from flashsale_gateway.order_tally import OrderTally
from flashsale_gateway.outbox.monitor import Lag
from flashsale_gateway.settings import Settings
from flashsale_gateway.store import Result

PATH = "/order"
_REQUEST_SPAN = semconv.request("POST", PATH)
_REFUSALS = {
    "conflict": "request_conflict",
    "gone": "order_gone",
    "unknown_sale": "unknown_sale",
    "sale_removed": "sale_removed",
    "not_started": "not_started",
    "ended": "ended",
    "paused": "paused",
    "closed": "closed",
    "user_limit": "user_limit",
    "order_limit": "order_limit",
    "out_of_stock": "out_of_stock",
    "rate_limited": "rate_limited",
    "broker_away": "broker_away",
}
_FAULTS = ("internal", "not_ready", "outcome_unknown", "overloaded", "outbox_lag", "recovering")
"""Further codes of refusals that the alert FlashsaleErrorBudgetBurn counts."""
_JSON = (b"content-type", b"application/json")
_HEADERS = {"accepted": (_JSON, UNCACHED), "replayed": (_JSON, UNCACHED, (b"idempotent-replayed", b"true"))}
_STATES = {letter: state.value for letter, state in LETTERS.items()}
# The refusals of a stampede are always the same bytes. They are answered here, and never raised.
_READY_MADE = {code: Problem(code) for code in ("out_of_stock", "user_limit", "order_limit", "ended", "paused", "closed", "broker_away")}


class PendingOrder(msgspec.Struct):
    """An order that waits for its decision."""

    request: OrderRequest
    request_id: str
    started: float
    """By perf_counter."""
    parent: bytes | None
    """The request's traceparent."""
    order_id: OrderId = OrderId("")
    """Empty until the buyer is proven."""
    span: Span | None = None
    trace_id: str = ""
    """Empty when the order is not sampled."""

    def log_fields(self) -> dict[str, str]:
        fields = {"order_id": str(OrderRef(SaleId(self.request.productId), self.order_id))}
        return fields | ({"trace_id": self.trace_id} if self.trace_id else {})


Proof = tuple[bytes | None, Sequence[bytes], str]
"""What says who the buyer is: the Authorization header, the values of the proxy's header, and the address of the connection."""


class Orders(Endpoint[PendingOrder, Order]):
    """The orders that one turn of the event loop reads are proven and named together, after it.

    Two MACs for each order, one after the other, find the processor's caches warm. Between two reads of sockets they took twice as long.
    """

    def __init__(
        self, batcher: Batcher[Order, Result], lag: Lag, settings: Settings, trace: tracing.Tracing, identities: Identities
    ) -> None:
        super().__init__(batcher, settings, trace, "order")
        self._lag = lag
        self._identities = identities
        self._key, self._other_key = settings.order_id_keys[0], settings.order_id_keys[1] if len(settings.order_id_keys) > 1 else None
        self._proxy_header = identities.header_name
        self._read: list[tuple[Proof, PendingOrder, Waiter[Result]]] = []
        """The orders of this turn of the event loop: at most one of each connection."""
        self._tally = OrderTally(metrics.ORDERS, metrics.ORDER_SECONDS)
        for outcome in (*_REFUSALS.values(), *_FAULTS, *_HEADERS):
            # Shown as 0 before the first: Prometheus counts no increase for what a series begins with, such as the refusals of one outage.
            metrics.ORDERS.labels(outcome)

    def accept(self, headers: Headers, body: bytes, waiter: Waiter[Result], peer: str = "") -> PendingOrder:
        media_type = key = parent = authorization = None
        named: tuple[bytes, ...] = ()
        for name, value in headers:
            if name == b"content-type":
                media_type = value
            elif name == b"idempotency-key":
                key = value
            elif name == b"traceparent":
                parent = value
            elif name == b"authorization":
                authorization = value
            elif name == self._proxy_header:
                named = (*named, value)
        bodies.require_json(media_type)
        bodies.require_size(body, self._settings.body_bytes_max)
        started, proof = perf_counter(), (authorization, named, peer)
        request = None
        try:
            request = read_order(body)
            pending = PendingOrder(request, _request_id(key, request), started, parent)
            if request.quantity > self._settings.quantity_max:
                raise Problem("bad_request", f"At most {self._settings.quantity_max} units in one order", field="quantity")
            if self._lag.is_past_limit:
                raise Problem("outbox_lag")
        except Problem:
            # Whose order it is comes first: only its buyer learns what is wrong with it.
            proven = self._identities.prove_buyer(*proof)
            if request is not None:
                buyer_of(proven, request.userId)
            raise
        if not self._read:
            asyncio.get_running_loop().call_soon(self._prove_all)
        self._read.append((proof, pending, waiter))
        return pending

    def _prove_all(self) -> None:
        """Find the buyer of each order that was read, and enqueue it."""
        read, self._read = self._read, []
        proven = []
        for proof, pending, waiter in read:
            try:
                proven.append((buyer_of(self._identities.prove_buyer(*proof), pending.request.userId), pending, waiter))
            except Exception as error:
                # Broad on purpose: the other orders are not its own.
                fail_waiters([waiter], error)
        for user, pending, waiter in proven:
            try:
                self._enqueue_named(user, pending, waiter)
            except Exception as error:
                fail_waiters([waiter], error)

    def _enqueue_named(self, user: str, pending: PendingOrder, waiter: Waiter[Result]) -> None:
        """Raises Overloaded when too many requests are waiting."""
        request = pending.request
        order = pending.order_id = order_id(self._key, request.productId, user, pending.request_id)
        other = order_id(self._other_key, request.productId, user, pending.request_id) if self._other_key else ""
        span, context = self._traced(pending.parent, request, order) if self._tracing.enabled else (None, "")
        self._enqueue(request.productId, Order(order, user, request.quantity, context, other), waiter, span)
        pending.span, pending.trace_id = span, tracing.trace_id(context)

    def answer(self, pending: PendingOrder, result: Result) -> Answer:
        status = result[STATUS]
        if status in _HEADERS:
            named = pending.order_id if len(result) <= ORDER_ID else result[ORDER_ID]
            outcome, answer = status, Answer(200, _HEADERS[status], _success(named, pending.request, result))
        else:
            problem = _refusal(status, result)
            outcome, answer = problem.code, problem.answer
        self._count(outcome, perf_counter() - pending.started, pending.trace_id)
        spans.end(pending.span, status, answer.status)
        return answer

    def refuse(self, problem: Problem) -> Answer:
        metrics.ORDERS.labels(problem.code).inc()
        return problem.answer

    def _count(self, outcome: str, seconds: float, trace_id: str) -> None:
        if trace_id:
            metrics.ORDERS.labels(outcome).inc()
            metrics.ORDER_SECONDS.observe(seconds, {"trace_id": trace_id})
        else:
            self._tally.add(outcome, seconds)

    def _traced(self, parent: bytes | None, request: OrderRequest, order: OrderId) -> tuple[Span | None, str]:
        context = parent.decode("latin-1") if parent else None
        if not self._tracing.samples(context):
            return None, ""
        more = {"flashsale.sale_id": request.productId, "flashsale.order_id": f"{request.productId}.{order}"}
        return spans.begin(self._tracing, _REQUEST_SPAN, context, more)


def _request_id(raw: bytes | None, request: OrderRequest) -> str:
    if raw is None:
        if request.requestId is None:
            raise Problem("bad_request", "Send requestId in the body, or an Idempotency-Key header", field="requestId")
        return request.requestId
    key = bodies.read_request_key(raw.decode("latin-1"))
    if key is None:
        raise Problem("bad_request", f"Idempotency-Key must be {ID_RULES[REQUEST_ID_PATTERN]}", field="Idempotency-Key")
    if request.requestId is not None and request.requestId != key:
        raise Problem("bad_request", "requestId and Idempotency-Key differ; send one of them, or the same value in both", field="requestId")
    return key


def _refusal(status: str, result: Result) -> Problem:
    code = _REFUSALS[status]
    ready = _READY_MADE.get(code)
    if ready is not None:
        return ready
    if status in {"rate_limited", "not_started"}:
        return Problem(code, retry_after_seconds=max(1, -(-int(result[RETRY_AFTER_MS]) // 1000)))
    return Problem(code)


def _success(order: OrderId, request: OrderRequest, result: Result) -> bytes:
    # Nothing needs escaping: the request's parts were validated, and the rest is made here.
    return (
        f'{{"status":"success","orderId":"{request.productId}.{order}","state":"{_STATES[result[STATE]]}",'
        f'"productId":"{request.productId}","quantity":{request.quantity},"expiresAt":"{rfc3339_of_ms(int(result[DEADLINE_MS]))}"}}'
    ).encode()

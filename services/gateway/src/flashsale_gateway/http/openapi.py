"""The OpenAPI 3.1 document, built from the same structs that read the requests and the same table that renders the problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from types import UnionType
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from flashsale_core import ids
from flashsale_gateway.http.answers import CACHE_CONTROL, NO_STORE, SHARED, STATIC
from flashsale_gateway.http.body_schemas import OrderRequest, OtherEvent, PaymentWebhook, RateLimit, StockRequest
from flashsale_gateway.http.problems import KINDS, MEDIA_TYPE
from flashsale_gateway.http.sale_documents import default_hold_seconds

VERSION = "1.0.0"
Text = Annotated[str, Meta(min_length=1)]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
StateName = Literal["reserved", "paid", "expired", "cancelled"]


class _Answer(msgspec.Struct, kw_only=True):
    pass


class OrderAccepted(_Answer):
    status: Literal["success"]
    orderId: Text
    state: Literal["reserved", "paid"]
    productId: Text
    quantity: int
    expiresAt: Time


class Order(_Answer):
    orderId: Text
    state: StateName
    productId: Text
    quantity: int
    expiresAt: Time


class Sale(_Answer):
    productId: Text
    stock: int
    available: int
    reserved: int
    sold: int
    state: Literal["open", "paused", "closed"]
    startsAt: Time | None
    endsAt: Time | None
    maxPerUser: int | None
    maxReleasedPerUser: int | None
    paymentWindowSeconds: int
    rateLimit: RateLimit | None
    latePayment: Literal["refund", "reacquire"]
    owner: Text
    generation: int


class Sales(_Answer):
    sales: list[Sale]


class SaleEnded(_Answer):
    productId: Text
    state: Literal["closed", "removed"]
    reserved: int


class PaymentOutcome(_Answer):
    result: Literal["paid", "replayed", "refund_due", "noted"]
    reason: str


class ProblemDocument(_Answer):
    type: str
    title: Text
    status: int
    code: Text
    detail: str | msgspec.UnsetType = msgspec.UNSET
    field: str | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True, slots=True)
class Operation:
    method: str
    path: str
    summary: str
    answers: Mapping[int, type | str]
    problems: Sequence[str] = ()
    body: type | UnionType | None = None
    parameters: Sequence[Mapping[str, Any]] = field(default_factory=tuple)
    security: str | None = None
    cached: str = NO_STORE
    """The Cache-Control of a successful answer."""


_BODY_PROBLEMS = ("bad_request", "request_timeout", "body_too_large", "unsupported_media_type")
_WRITE_PROBLEMS = ("overloaded", "outcome_unknown", "not_ready")
_READ_PROBLEMS = ("overloaded", "not_ready")
_ORDER_ID = {"name": "orderId", "in": "path", "required": True, "schema": {"type": "string"}}
_SALE_ID = {"name": "productId", "in": "path", "required": True, "schema": {"type": "string"}}
_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": ids.REQUEST_ID_PATTERN},
    "description": "Replaces requestId. If both are sent, they must be equal.",
}
_AFTER = {"name": "after", "in": "query", "required": False, "schema": {"type": "string"}}
_LIMIT = {"name": "limit", "in": "query", "required": False, "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}}

_MODE = {"name": "mode", "in": "query", "required": False, "schema": {"type": "string", "enum": ["close", "remove"], "default": "remove"}}

OPERATIONS = (
    Operation(
        "post",
        "/order",
        "Reserve units. A repeated request returns the same order",
        {200: OrderAccepted},
        (
            *_BODY_PROBLEMS,
            "unknown_sale",
            "sale_removed",
            "out_of_stock",
            "not_started",
            "ended",
            "paused",
            "closed",
            "user_limit",
            "order_limit",
            "order_gone",
            "request_conflict",
            "rate_limited",
            "outbox_lag",
            *_WRITE_PROBLEMS,
        ),
        OrderRequest,
        (_KEY,),
    ),
    Operation(
        "get",
        "/orders/{orderId}",
        "An order's state and deadline",
        {200: Order},
        ("unknown_order", "sale_removed", *_READ_PROBLEMS),
        None,
        (_ORDER_ID,),
    ),
    Operation(
        "delete",
        "/orders/{orderId}",
        "Cancel an order that is not paid, and release its units",
        {200: Order},
        ("unknown_order", "sale_removed", "already_paid", "order_gone", *_WRITE_PROBLEMS),
        None,
        (_ORDER_ID,),
    ),
    Operation(
        "post",
        "/payments/webhook",
        "Receive a payment's outcome from the payment provider, signed as Standard Webhooks specifies. Other event types have no effect",
        {200: PaymentOutcome},
        (*_BODY_PROBLEMS, "stale_webhook", "bad_signature", *_WRITE_PROBLEMS),
        PaymentWebhook | OtherEvent,
        (),
        "webhook",
    ),
    Operation(
        "get",
        "/sales",
        "List sales by product id, one page at a time",
        {200: Sales},
        ("bad_request", *_READ_PROBLEMS),
        None,
        (_AFTER, _LIMIT),
        cached=SHARED,
    ),
    Operation(
        "get",
        "/sales/{productId}",
        "A sale's definition, stock and units reserved and sold",
        {200: Sale},
        ("unknown_sale", "sale_removed", *_READ_PROBLEMS),
        None,
        (_SALE_ID,),
        cached=SHARED,
    ),
    Operation(
        "post",
        "/admin/stock",
        "Create or change a sale. Live holds stay as they are",
        {200: Sale, 201: Sale},
        (*_BODY_PROBLEMS, "unauthorized", "not_owner", "below_committed", "closed", *_WRITE_PROBLEMS),
        StockRequest,
        (),
        "admin",
    ),
    Operation(
        "delete",
        "/admin/sales/{productId}",
        "Close a sale and, unless mode is close, remove it. 202: closed, but holds are live; repeat when none is",
        {200: SaleEnded, 202: SaleEnded},
        ("bad_request", "unauthorized", "unknown_sale", "not_owner", *_WRITE_PROBLEMS),
        None,
        (_SALE_ID, _MODE),
        "admin",
    ),
    Operation("get", "/healthz", "The event loop runs, and waiting requests make progress", {200: "text/plain"}),
    Operation("get", "/readyz", "Redis answers, has the scripts loaded and is durable", {200: "text/plain"}, _READ_PROBLEMS),
    Operation("get", "/metrics", "Prometheus metrics", {200: "text/plain"}, ("overloaded",)),
    Operation("get", "/openapi.json", "This document", {200: "application/json"}, ("overloaded",), cached=STATIC),
    Operation("get", "/docs", "This document as a web page", {200: "text/html"}, ("overloaded",), cached=STATIC),
)
_STRUCTS = (
    OrderRequest,
    StockRequest,
    RateLimit,
    PaymentWebhook,
    OtherEvent,
    OrderAccepted,
    Order,
    Sale,
    Sales,
    SaleEnded,
    PaymentOutcome,
    ProblemDocument,
)


def document(quantity_max: int, windows: Sequence[int]) -> dict[str, Any]:
    """The document of an installation: most units in one order, and its payment windows in seconds."""
    _, components = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    components["OrderRequest"]["properties"]["quantity"]["maximum"] = quantity_max
    components["StockRequest"]["properties"]["paymentWindowSeconds"] = {
        "type": "integer",
        "enum": list(windows),
        "description": f"Default for a new sale: {default_hold_seconds(windows)}",
    }
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "flashsale", "version": VERSION, "description": "Sells exactly N units, never N+1."},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "admin": {"type": "http", "scheme": "bearer"},
                "webhook": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "webhook-signature",
                    "description": "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature",
                },
            },
        },
    }


def page() -> str:
    """The document as one HTML page that loads nothing else."""
    rows = "".join(
        f"<tr><td><code>{o.method.upper()}</code></td><td><code>{escape(o.path)}</code></td><td>{escape(o.summary)}</td>"
        f"<td>{', '.join(map(str, o.answers))}</td><td>{', '.join(f'<code>{KINDS[p].status} {p}</code>' for p in o.problems)}</td></tr>"
        for o in OPERATIONS
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>flashsale API</title>"
        "<style>body{font:16px/1.5 system-ui;margin:2rem}td,th{padding:.4rem .8rem;text-align:left;vertical-align:top;"
        "border-bottom:1px solid #ddd}code{font-size:.9em;white-space:nowrap}</style>"
        "<h1>flashsale API</h1><p>Machine-readable: <a href=openapi.json>openapi.json</a>. "
        "Errors are problem+json (RFC 9457) with a stable <code>code</code>.</p>"
        f"<table><tr><th>Method<th>Path<th>Purpose<th>Success<th>Problems</tr>{rows}</table></html>"
    )


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"summary": operation.summary, "responses": _responses(operation)}
    if operation.parameters:
        described["parameters"] = [dict(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema_of(operation.body)}}}
    if operation.security:
        described["security"] = [{operation.security: []}]
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    responses: dict[str, Any] = {str(status): _success(answer, operation.cached) for status, answer in operation.answers.items()}
    for code in operation.problems:
        status = str(KINDS[code].status)
        response = responses.setdefault(status, {"description": "", "content": {MEDIA_TYPE: {"schema": _ref(ProblemDocument)}}})
        response["description"] = ", ".join(filter(None, (response["description"], code)))
        if KINDS[code].retry_after_seconds is not None:
            response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return responses


def _success(answer: type | str, cached: str) -> dict[str, Any]:
    content = {answer: {}} if isinstance(answer, str) else {"application/json": {"schema": _ref(answer)}}
    return {"description": "OK", "content": content, "headers": {CACHE_CONTROL.title(): {"schema": {"type": "string", "const": cached}}}}


def _schema_of(kinds: type | UnionType) -> dict[str, Any]:
    return {"anyOf": [_ref(kind) for kind in kinds.__args__]} if isinstance(kinds, UnionType) else _ref(kinds)


def _ref(kind: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{kind.__name__}"}

"""The operations of the API: for each path and method its bodies, answers and problems. Data for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import UnionType
from typing import Any

from flashsale_core import ids
from flashsale_gateway.http.answer_schemas import Order, OrderAccepted, PaymentOutcome, Sale, SaleEnded, Sales
from flashsale_gateway.http.answers import NO_STORE, SHARED, STATIC
from flashsale_gateway.http.body_schemas import OrderRequest, OtherEvent, PaymentWebhook, StockRequest


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
_WRITE_PROBLEMS = ("overloaded", "outcome_unknown", "not_ready", "recovering")
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

_MODE = {
    "name": "mode",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["close", "remove", "release"], "default": "remove"},
}

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
            "broker_away",
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
        (*_BODY_PROBLEMS, "stale_webhook", "bad_signature", "unconfirmed", *_WRITE_PROBLEMS),
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
        "Close a sale and, unless mode is close, remove it. 202: closed, but holds are live; repeat when none is. "
        "With mode release, give it up instead: whoever defines it next owns it",
        {200: SaleEnded, 202: SaleEnded},
        ("bad_request", "unauthorized", "unknown_sale", "not_owner", *_WRITE_PROBLEMS),
        None,
        (_SALE_ID, _MODE),
        "admin",
    ),
    Operation("get", "/healthz", "The event loop runs, and waiting requests make progress", {200: "text/plain"}),
    Operation(
        "get",
        "/readyz",
        "Redis answers, has the scripts loaded, is durable, and recovery has opened it",
        {200: "text/plain"},
        _READ_PROBLEMS,
    ),
    Operation("get", "/metrics", "Prometheus metrics", {200: "text/plain"}, ("overloaded",)),
    Operation("get", "/openapi.json", "This document", {200: "application/json"}, ("overloaded",), cached=STATIC),
    Operation("get", "/docs", "This document as a web page", {200: "text/html"}, ("overloaded",), cached=STATIC),
)

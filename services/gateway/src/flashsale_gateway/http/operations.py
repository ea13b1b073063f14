"""The operations of the API: for each path and method its bodies, answers and problems. Data for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import UnionType
from typing import Any

from flashsale_core import ids, on_behalf
from flashsale_gateway.http.answer_schemas import Order, OrderAccepted, OrderReturned, PaymentOutcome, Sale, SaleEnded, Sales, Session
from flashsale_gateway.http.answers import NO_STORE, SHARED, STATIC
from flashsale_gateway.http.body_schemas import (
    OrderRequest,
    OtherEvent,
    PaymentWebhook,
    RefundWebhook,
    ReturnRequest,
    SessionRequest,
    StockRequest,
)


class Audience(StrEnum):
    """Who calls an operation. Each audience has a document of its own."""

    SHOPS = "shops"
    """Buyers' browsers, the shop's servers and its payment provider."""
    ADMINISTRATION = "administration"
    """People and programs with an admin key, and the monitoring; with an admin port, only that port serves them."""


@dataclass(frozen=True, slots=True)
class Operation:
    operation_id: str
    """The name of the function that a generated client has for it. It never changes."""
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
    audiences: Sequence[Audience] = (Audience.SHOPS,)


GENERAL_PROBLEMS = ("head_too_large", "internal")
"""Every operation may answer these, besides its own."""
_BODY_PROBLEMS = ("bad_request", "request_timeout", "body_too_large", "unsupported_media_type")
_PROOF_PROBLEMS = ("unauthenticated", "too_many_forgeries")
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
_STOCK_KEY = _KEY | {"description": "Recognises a repeat of this change. If requestId is sent as well, they must be equal."}
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The generation that was read, as the ETag of GET /sales/{productId} has it: the change is made only if it still is.",
}
_AFTER = {
    "name": "after",
    "in": "query",
    "required": False,
    "schema": {"type": "string"},
    "description": "The product id after which the page begins: the last one of the page before",
}
_LIMIT = {
    "name": "limit",
    "in": "query",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100},
    "description": "Most sales in the page. A page with fewer is the last one",
}

_ON_BEHALF = {
    "name": on_behalf.HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": f"The person for whom a program asks, {on_behalf.RULE}; log and ledger name it after the key.",
}
_MODE = {
    "name": "mode",
    "in": "query",
    "required": False,
    "schema": {"type": "string", "enum": ["close", "remove", "release"], "default": "remove"},
    "description": "close: no more orders, for good; what was ordered stays in Redis for the installation's retention. "
    "remove, also if mode is left out: close, and delete the sale from Redis, which cannot be undone: its orders are then only in the "
    "ledger (410 sale_removed), the units of a later return stay sold, and a later payment is refunded. "
    "release: the sale goes on without an owner.",
}

_ADMINISTRATION = (Audience.ADMINISTRATION,)
_EVERYBODY = (Audience.SHOPS, Audience.ADMINISTRATION)
_DOCUMENTS = (
    ("OpenApi", "/openapi.json", "This document", "application/json"),
    ("Docs", "/docs", "This document as a web page", "text/html"),
)

OPERATIONS = (
    Operation(
        "createOrder",
        "post",
        "/order",
        "Reserve units. A repeated request returns the same order",
        {200: OrderAccepted},
        (
            *_BODY_PROBLEMS,
            *_PROOF_PROBLEMS,
            "identity_mismatch",
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
        "buyer",
    ),
    Operation(
        "getOrder",
        "get",
        "/orders/{orderId}",
        "An order's state and deadline",
        {200: Order},
        (*_PROOF_PROBLEMS, "unknown_order", "sale_removed", "recovering", *_READ_PROBLEMS),
        None,
        (_ORDER_ID,),
        "buyer",
    ),
    Operation(
        "cancelOrder",
        "delete",
        "/orders/{orderId}",
        "Cancel an order that is not paid, and release its units",
        {200: Order},
        (*_PROOF_PROBLEMS, "unknown_order", "sale_removed", "already_paid", "order_gone", *_WRITE_PROBLEMS),
        None,
        (_ORDER_ID,),
        "buyer",
    ),
    Operation(
        "createSession",
        "post",
        "/session",
        "Exchange a JWT, or a service key with a userId, for a buyer token, which costs less to check with each order",
        {200: Session},
        (*_BODY_PROBLEMS, *_PROOF_PROBLEMS, "identity_mismatch", "not_found", *_READ_PROBLEMS),
        SessionRequest,
        (),
        "buyer",
    ),
    Operation(
        "receivePayment",
        "post",
        "/payments/webhook",
        "Receive a payment's outcome, or that it was paid back, from the payment provider, signed as Standard Webhooks specifies. "
        "Other event types have no effect. `undecided`: the order is unknown here, and its sale may have been removed; the ledger knows",
        {200: PaymentOutcome},
        (*_BODY_PROBLEMS, "stale_webhook", "bad_signature", "unconfirmed", *_WRITE_PROBLEMS),
        PaymentWebhook | RefundWebhook | OtherEvent,
        (),
        "webhook",
    ),
    Operation(
        "listSales",
        "get",
        "/sales",
        "List sales by product id, one page at a time",
        {200: Sales},
        ("bad_request", "recovering", *_READ_PROBLEMS),
        None,
        (_AFTER, _LIMIT),
        cached=SHARED,
    ),
    Operation(
        "getSale",
        "get",
        "/sales/{productId}",
        "A sale's definition, stock and units reserved and sold",
        {200: Sale},
        ("unknown_sale", "sale_removed", "recovering", *_READ_PROBLEMS),
        None,
        (_SALE_ID,),
        cached=SHARED,
    ),
    Operation(
        "setStock",
        "post",
        "/admin/stock",
        "Create or change a sale. Live holds stay as they are",
        {200: Sale, 201: Sale},
        (*_BODY_PROBLEMS, "unauthorized", "unknown_sale", "not_owner", "below_committed", "closed", "generation_moved", *_WRITE_PROBLEMS),
        StockRequest,
        (_STOCK_KEY, _IF_MATCH, _ON_BEHALF),
        "admin",
        audiences=_ADMINISTRATION,
    ),
    Operation(
        "returnOrder",
        "post",
        "/admin/orders/{orderId}/return",
        "Take a paid order back: its refund is due, its units are for sale again or stay sold, and the buyer may buy again. "
        "A repeated request returns the first answer",
        {200: OrderReturned},
        (*_BODY_PROBLEMS, "unauthorized", "unknown_order", "sale_removed", "not_paid", "unconfirmed", *_WRITE_PROBLEMS),
        ReturnRequest,
        (_ORDER_ID, _ON_BEHALF),
        "admin",
        audiences=_ADMINISTRATION,
    ),
    Operation(
        "endSale",
        "delete",
        "/admin/sales/{productId}",
        "Close a sale and, unless mode is close, remove it. 202: closed, but holds are live; repeat when none is. "
        "With mode release, give it up instead: whoever defines it next owns it",
        {200: SaleEnded, 202: SaleEnded},
        ("bad_request", "unauthorized", "unknown_sale", "not_owner", *_WRITE_PROBLEMS),
        None,
        (_SALE_ID, _MODE, _ON_BEHALF),
        "admin",
        audiences=_ADMINISTRATION,
    ),
    Operation(
        "checkLiveness",
        "get",
        "/healthz",
        "The event loop runs, and waiting requests make progress",
        {200: "text/plain"},
        audiences=_EVERYBODY,
    ),
    Operation(
        "checkReadiness",
        "get",
        "/readyz",
        "Redis answers, has the scripts loaded, is durable, and recovery has opened it",
        {200: "text/plain"},
        _READ_PROBLEMS,
        audiences=_EVERYBODY,
    ),
    Operation("getMetrics", "get", "/metrics", "Prometheus metrics", {200: "text/plain"}, ("overloaded",), audiences=_ADMINISTRATION),
    *(
        Operation(
            f"get{kind}{name}", "get", f"{prefix}{path}", summary, {200: media_type}, ("overloaded",), cached=STATIC, audiences=audiences
        )
        for kind, prefix, audiences in (("", "", (Audience.SHOPS,)), ("Admin", "/admin", _ADMINISTRATION))
        for name, path, summary, media_type in _DOCUMENTS
    ),
)

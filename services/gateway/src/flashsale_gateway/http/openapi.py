"""The OpenAPI 3.1 document, built from the structs that decode requests and the table that renders problems."""

from collections.abc import Sequence
from html import escape
from types import UnionType
from typing import Any

import msgspec

from flashsale_core.topology import default_window
from flashsale_gateway.http.answer_schemas import Order, OrderAccepted, PaymentOutcome, ProblemDocument, Sale, SaleEnded, Sales
from flashsale_gateway.http.answers import CACHE_CONTROL
from flashsale_gateway.http.body_schemas import OrderRequest, OtherEvent, PaymentWebhook, Price, RateLimit, StockRequest
from flashsale_gateway.http.operations import OPERATIONS, Operation
from flashsale_gateway.http.problems import KINDS, MEDIA_TYPE

VERSION = "1.0.0"
_STRUCTS = (
    OrderRequest,
    StockRequest,
    RateLimit,
    Price,
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
        "description": f"Default for a new sale: {default_window(windows)}",
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

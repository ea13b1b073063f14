"""The OpenAPI 3.1 document, built from the structs that decode requests and the table that renders problems. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flashsale_core import on_behalf
from flashsale_core.openapi import problem_responses, reference, schemas
from flashsale_core.shop_events import EventType
from flashsale_ledger_api.answer_schemas import Events, LeftOrder, Payment, ProblemDocument, Refunds, RefundWithHistory, ReportedRefunds
from flashsale_ledger_api.late_returns import ReturnRequest
from flashsale_ledger_api.problems import KINDS
from flashsale_ledger_api.refund_changes import RefundRequest
from flashsale_ledger_api.refund_documents import STATES
from flashsale_ledger_api.reported_refunds import LeaveRequest
from flashsale_ledger_api.requests import PAGE_DEFAULT, PAGE_MAX

DESCRIPTION = (
    "Refunds, payments and the feed of events, over the ledger. Private: every request bears a named admin key. Errors are problem+json "
    "(RFC 9457) with a stable `code`. Later versions only add: ignore fields, values and codes that you do not know."
)
GENERAL_PROBLEMS = ("bad_request", "unauthorized", "internal", "overloaded", "not_ready")
"""Every operation may answer these, besides its own."""
_BODY_PROBLEMS = ("request_timeout", "body_too_large", "unsupported_media_type")
Parameter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    operation_id: str
    """The name of the function that a generated client has for it. It never changes."""
    method: str
    path: str
    summary: str
    answer: type
    problems: Sequence[str] = ()
    body: type | None = None
    parameters: Sequence[Parameter] = ()


def _query(name: str, description: str, **schema: Any) -> Parameter:
    return {"name": name, "in": "query", "required": False, "schema": {"type": "string", **schema}, "description": description}


def _in_path(name: str) -> Parameter:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


_AFTER = _query("after", "The `next` of the previous page")
_LIMIT = _query("limit", "Most entries of a page", type="integer", minimum=1, maximum=PAGE_MAX, default=PAGE_DEFAULT)
_ON_BEHALF = {
    "name": on_behalf.HEADER, "in": "header", "required": False, "schema": {"type": "string"},
    "description": f"The person for whom a program asks, {on_behalf.RULE}; log and history name it after the key.",
}  # fmt: skip
_OF_SALE = _query("productId", "Only refunds of this sale")
_FILTERS = (
    _query("state", f"{', '.join(STATES)}, or several with commas between"),
    _query("reason", "Only refunds with this reason"),
    _OF_SALE,
)
_TYPES = _query("types", f"With commas between: {', '.join(EventType)}")

OPERATIONS = (
    Operation("listRefunds", "get", "/admin/refunds", "List refunds from the oldest on, one page at a time", Refunds, (), None,
              (*_FILTERS, _AFTER, _LIMIT)),
    Operation("getRefund", "get", "/admin/refunds/{refundId}", "A refund with its history", RefundWithHistory, ("unknown_refund",), None,
              (_in_path("refundId"),)),
    Operation("changeRefund", "post", "/admin/refunds/{refundId}", "Settle a refund, or note why that failed",
              RefundWithHistory, (*_BODY_PROBLEMS, "unknown_refund", "refund_changed"), RefundRequest, (_in_path("refundId"),)),
    Operation("returnOrderOfRemovedSale", "post", "/admin/orders/{orderId}/return",
              "Take back a paid order whose sale was removed: its refund is due, and its units stay sold. A repeat has no further effect",
              RefundWithHistory, (*_BODY_PROBLEMS, "unknown_order", "not_paid", "sale_not_removed"), ReturnRequest, (_in_path("orderId"),)),
    Operation("getPayment", "get", "/admin/orders/{orderId}/payments/{paymentId}",
              "What became of a payment that is `undecided` at the gateway. 404 unknown_payment: it has not reached the ledger; ask again",
              Payment, ("unknown_payment",), None, (_in_path("orderId"), _in_path("paymentId"))),
    Operation("listReportedRefunds", "get", "/admin/reported-refunds",
              "Paid orders that the provider reported as paid back, from the oldest report on, one page at a time: each is to be returned, "
              "or left as paid", ReportedRefunds, (), None, (_OF_SALE, _AFTER, _LIMIT)),
    Operation("leaveOrderPaid", "post", "/admin/orders/{orderId}/leave-paid",
              "Leave an order as paid, although the provider reported a refund of it. A repeat has no further effect", LeftOrder,
              (*_BODY_PROBLEMS, "unknown_order", "not_reported", "reported_more"), LeaveRequest, (_in_path("orderId"),)),
    Operation("listEvents", "get", "/admin/events", "The feed of what shops receive, one page at a time; nothing is missed", Events,
              ("unknown_cursor",), None, (_TYPES, _AFTER, _LIMIT)),
)  # fmt: skip


def document() -> dict[str, Any]:
    paths: dict[str, Any] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    structs = {struct for operation in OPERATIONS for struct in (operation.answer, operation.body) if struct} | {ProblemDocument}
    return {
        "openapi": "3.1.0",
        "info": {"title": "flashsale: ledger", "version": "1.0.0", "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": schemas(structs), "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(operation: Operation) -> dict[str, Any]:
    problems = problem_responses((*operation.problems, *GENERAL_PROBLEMS), KINDS, ProblemDocument)
    success = {"description": "OK", "content": {"application/json": {"schema": reference(operation.answer)}}}
    described: dict[str, Any] = {
        "operationId": operation.operation_id,
        "summary": operation.summary,
        "responses": {"200": success} | problems,
        "parameters": [dict(parameter) for parameter in (*operation.parameters, _ON_BEHALF)],
        "security": [{"admin": []}],
    }
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference(operation.body)}}}
    return described

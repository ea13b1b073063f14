"""The ledger-api's document: its operations are the routes, its codes those of the table, its schemas those of real documents."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flashsale_ledger_api import app, event_documents, openapi, payments, refund_documents
from flashsale_ledger_api.problems import KINDS

OPENAPI_3_1 = json.loads((Path(__file__).parents[1] / "api" / "schemas" / "openapi-3.1.json").read_text())
DOCUMENT = openapi.document()
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
REFUND = {
    "refund_id": 7, "state": "due", "reason": "late", "sale_id": "shoe", "order_id": "o1", "user_id": None, "payment_id": "p1",
    "amount_minor": 999, "refunded_minor": 0, "currency": "EUR", "created_at": NOW, "changed_at": None, "returned_by": None,
}  # fmt: skip
CHANGE = {
    "at": NOW, "source": "admin", "who": "ann", "from_state": "due", "to_state": "sent", "refunded_minor": 999, "reference": "re_1",
    "reason": "",
}  # fmt: skip
BODY = {"type": "order.paid", "timestamp": "2026-11-29T12:00:00.000Z", "data": {}}
EVENT = {"event_id": "evt_1", "created_at": NOW, "body": json.dumps(BODY)}
PAYMENT = {
    "payment_id": "p1", "sale_id": "shoe", "order_id": "o1", "result": "refund_due", "reason": "late", "amount_minor": 999,
    "currency": "EUR", "at": NOW, "refund_id": 7, "refund_reason": "late",
}  # fmt: skip
ANSWERS = {
    "Payment": payments.to_document(PAYMENT),
    "Refunds": {"refunds": [refund_documents.to_document(REFUND, NOW)], "next": None},
    "RefundWithHistory": refund_documents.with_history(REFUND, [CHANGE], NOW),
    "Events": {"events": [event_documents.to_document(EVENT)], "next": "1.2.evt_1"},
}


def strict(name: str) -> Mapping[str, Any]:
    """The schema, without room for fields that the document does not name."""
    schemas = json.loads(json.dumps(DOCUMENT["components"]["schemas"]))
    for schema in schemas.values():
        schema["additionalProperties"] = False
    return {"$ref": f"#/components/schemas/{name}", "components": {"schemas": schemas}}


def test_document_is_valid_by_the_published_schema() -> None:
    jsonschema.validate(DOCUMENT, OPENAPI_3_1)


def test_document_contains_exactly_the_routes() -> None:
    names = {"refund_id": "refundId", "order_id": "orderId", "payment_id:path": "paymentId"}
    served = {(method, re.sub(r"{(.*?)}", lambda part: f"{{{names[part[1]]}}}", path)) for method, path, _, _ in app.OPERATIONS}
    assert {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item} == served


def test_every_problem_is_documented_or_of_no_operation() -> None:
    documented = {code for operation in openapi.OPERATIONS for code in operation.problems} | set(openapi.GENERAL_PROBLEMS)
    assert documented == set(KINDS) - {"not_found", "method_not_allowed"}


@pytest.mark.parametrize("name", ANSWERS)
def test_real_answer_fits_its_schema_exactly(name: str) -> None:
    jsonschema.validate(ANSWERS[name], strict(name))

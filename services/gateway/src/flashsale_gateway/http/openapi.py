"""The OpenAPI 3.1 documents, built from the structs that decode requests and the table that renders problems."""

from collections.abc import Iterator, Sequence
from types import UnionType
from typing import Any, get_args

from flashsale_core import openapi
from flashsale_core.openapi import problem_responses, reference
from flashsale_core.topology import default_window
from flashsale_gateway.http import docs_page
from flashsale_gateway.http.answer_schemas import ProblemDocument
from flashsale_gateway.http.answers import CACHE_CONTROL
from flashsale_gateway.http.examples import EXAMPLES
from flashsale_gateway.http.operations import GENERAL_PROBLEMS, OPERATIONS, Audience, Operation
from flashsale_gateway.http.problems import KINDS

VERSION = "1.0.0"
TITLES = {Audience.SHOPS: "flashsale", Audience.ADMINISTRATION: "flashsale: administration"}
DESCRIPTION = (
    "Sells exactly N units, never N+1. Errors are problem+json (RFC 9457) with a stable `code`. "
    "Later versions only add: ignore fields, values and codes that you do not know."
)
BUYER = "buyer"
"""A proof of the buyer. Whether a request needs one depends on the installation, so the documents allow requests without."""
SECURITY_SCHEMES = {
    "admin": {"type": "http", "scheme": "bearer"},
    BUYER: {
        "type": "http",
        "scheme": "bearer",
        "description": "A buyer token (fsb1), a JWT of the shop's identity provider or a service key of its backend, as this installation "
        "allows. Not needed behind a proxy that names the buyer, nor where anybody may be any buyer (FLASHSALE_IDENTITY header and body)",
    },
    "webhook": {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature",
    },
}


def document(audience: Audience, quantity_max: int, windows: Sequence[int]) -> dict[str, Any]:
    """The document for an audience of an installation: most units in one order, and its payment windows in seconds."""
    operations = _operations_for(audience)
    paths: dict[str, Any] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    schemes = {name: scheme for name, scheme in SECURITY_SCHEMES.items() if any(name == operation.security for operation in operations)}
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLES[audience], "version": VERSION, "description": DESCRIPTION, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": _schemas(operations, quantity_max, windows), "securitySchemes": schemes},
    }


def page(audience: Audience) -> str:
    """The operations of an audience as an HTML page."""
    return docs_page.render(_operations_for(audience))


def _operations_for(audience: Audience) -> list[Operation]:
    return [operation for operation in OPERATIONS if audience in operation.audiences]


def _schemas(operations: Sequence[Operation], quantity_max: int, windows: Sequence[int]) -> dict[str, Any]:
    """What the operations refer to, directly or not, by name."""
    structs = {struct for operation in operations for struct in _structs(operation)} | {ProblemDocument}
    schemas = openapi.schemas(structs)
    for struct, example in EXAMPLES.items():
        if struct.__name__ in schemas:
            schemas[struct.__name__]["examples"] = [example]
    if "OrderRequest" in schemas:
        schemas["OrderRequest"]["properties"]["quantity"]["maximum"] = quantity_max
    if "StockRequest" in schemas:
        schemas["StockRequest"]["properties"]["paymentWindowSeconds"] = {
            "type": "integer",
            "enum": list(windows),
            "description": f"Default for a new sale: {default_window(windows)}",
        }
    return schemas


def _structs(operation: Operation) -> Iterator[type]:
    yield from (answer for answer in operation.answers.values() if not isinstance(answer, str))
    if operation.body is not None:
        yield from get_args(operation.body) or (operation.body,)


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {"operationId": operation.operation_id, "summary": operation.summary, "responses": _responses(operation)}
    if operation.parameters:
        described["parameters"] = [dict(parameter) for parameter in operation.parameters]
    if operation.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": _schema_of(operation.body)}}}
    if operation.security:
        described["security"] = [{operation.security: []}, *([{}] if operation.security == BUYER else [])]
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    successes = {str(status): _success(answer, operation.cached) for status, answer in operation.answers.items()}
    return successes | problem_responses((*operation.problems, *GENERAL_PROBLEMS), KINDS, ProblemDocument)


def _success(answer: type | str, cached: str) -> dict[str, Any]:
    content = {answer: {}} if isinstance(answer, str) else {"application/json": {"schema": reference(answer)}}
    return {"description": "OK", "content": content, "headers": {CACHE_CONTROL.title(): {"schema": {"type": "string", "const": cached}}}}


def _schema_of(kinds: type | UnionType) -> dict[str, Any]:
    return {"anyOf": [reference(kind) for kind in kinds.__args__]} if isinstance(kinds, UnionType) else reference(kinds)

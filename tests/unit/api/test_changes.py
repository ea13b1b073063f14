"""What the policy of decision 0052 refuses and what it allows, one change at a time."""

from copy import deepcopy
from typing import Any

import pytest

from tools.api.changes import breaks

BEFORE: dict[str, Any] = {
    "paths": {
        "/order": {
            "post": {
                "operationId": "createOrder",
                "parameters": [{"name": "Key", "in": "header", "schema": {"type": "string", "maxLength": 128}}],
                "requestBody": {"required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}},
                "responses": {
                    "200": {
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}},
                        "headers": {"Cache-Control": {"schema": {"const": "no-store"}}},
                    },
                    "409": {"content": {"application/problem+json": {"schema": {"properties": {"code": {"enum": ["sold_out", "ended"]}}}}}},
                },
            },
            "get": {"operationId": "getOrder", "security": [{"key": []}], "responses": {"200": {"content": {}}}},
        },
    },
    "components": {
        "schemas": {
            "Request": {
                "type": "object",
                "additionalProperties": False,
                "required": ["user"],
                "properties": {
                    "user": {"type": "string", "pattern": "^[a-z]+$"},
                    "quantity": {"type": "integer", "minimum": 1, "maximum": 100},
                    "policy": {"enum": ["refund", "reacquire"]},
                    "limit": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
                },
            },
            "Order": {
                "type": "object",
                "required": ["id", "state", "lines"],
                "properties": {
                    "id": {"type": "string"},
                    "state": {"enum": ["reserved", "paid"]},
                    "lines": {"type": "array", "items": {"$ref": "#/components/schemas/Line"}},
                    "note": {"type": "string"},
                    "ends": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                },
            },
            "Line": {"type": "object", "required": ["of"], "properties": {"of": {"$ref": "#/components/schemas/Order"}, "price": {}}},
        },
        "securitySchemes": {"key": {"type": "http", "scheme": "bearer", "description": "a key"}},
    },
}
GONE = object()
POST = ("paths", "/order", "post")
REQUEST = ("components", "schemas", "Request")
ORDER = ("components", "schemas", "Order")
CODES = (*POST, "responses", "409", "content", "application/problem+json", "schema", "properties", "code", "enum")

REFUSED = {
    "a path is removed": (("paths", "/order"), GONE, "the operation is gone"),
    "a method is removed": (("paths", "/order", "get"), GONE, "GET /order: the operation is gone"),
    "an operation is renamed": ((*POST, "operationId"), "buy", "operationId was createOrder and is buy"),
    "a parameter is removed": ((*POST, "parameters"), [], "parameter Key: it is gone"),
    "a parameter becomes required": ((*POST, "parameters", 0, "required"), True, "parameter Key: it is required now"),
    "a required parameter is added": (
        (*POST, "parameters"),
        [*BEFORE["paths"]["/order"]["post"]["parameters"], {"name": "New", "in": "query", "required": True}],
        "parameter New: it is new and required",
    ),
    "a parameter gets shorter": ((*POST, "parameters", 0, "schema", "maxLength"), 64, "maxLength was 128 and is 64"),
    "a request field is removed": ((*REQUEST, "properties", "quantity"), GONE, "body.quantity: the field is gone"),
    "a request field becomes required": ((*REQUEST, "required"), ["user", "quantity"], "body.quantity: the field is required now"),
    "a pattern is changed": ((*REQUEST, "properties", "user", "pattern"), "^[a-z]{1,9}$", "body.user: pattern was"),
    "a maximum falls": ((*REQUEST, "properties", "quantity", "maximum"), 10, "body.quantity: maximum was 100 and is 10"),
    "a minimum rises": ((*REQUEST, "properties", "quantity", "minimum"), 2, "body.quantity: minimum was 1 and is 2"),
    "a limit is added": ((*REQUEST, "properties", "user", "maxLength"), 9, "body.user: maxLength was None and is 9"),
    "a type of a request field is changed": ((*REQUEST, "properties", "quantity", "type"), "string", "the type integer is no longer"),
    "a value of a request is removed": ((*REQUEST, "properties", "policy", "enum"), ["refund"], "body.policy: the value reacquire is gone"),
    "a free field gets a list of values": ((*REQUEST, "properties", "user", "enum"), ["ann"], "body.user: only ann are accepted now"),
    "null is no longer accepted": ((*REQUEST, "properties", "limit"), {"type": "integer"}, "body.limit: null is no longer accepted"),
    "a field of an answer is removed": ((*ORDER, "properties", "note"), GONE, "200.note: the field is gone"),
    "a field of an answer may be missing": ((*ORDER, "required"), ["id", "lines"], "200.state: the field may be missing now"),
    "a field of an answer may be null": ((*ORDER, "properties", "id", "type"), ["string", "null"], "200.id: it may now have the type null"),
    "an answer has another alternative": (
        (*ORDER, "properties", "ends", "anyOf"),
        [{"type": "string"}, {"type": "null"}, {"type": "integer"}],
        "200.ends: it may now be integer",
    ),
    "a value of an answer is removed": ((*ORDER, "properties", "state", "enum"), ["paid"], "200.state: the value reserved is gone"),
    "a nested field is removed": (("components", "schemas", "Line", "properties", "price"), GONE, "200.lines[].price: the field is gone"),
    "a problem code is removed": (CODES, ["ended"], "409.code: the value sold_out is gone"),
    "a status is removed": ((*POST, "responses", "409"), GONE, "POST /order 409: the answer is gone"),
    "a media type is removed": ((*POST, "responses", "200", "content"), {}, "the media type application/json is gone"),
    "a header of an answer is removed": ((*POST, "responses", "200", "headers"), {}, "the header Cache-Control is gone"),
    "an answer may be cached": (
        (*POST, "responses", "200", "headers", "Cache-Control", "schema", "const"),
        "public",
        "header Cache-Control: the value no-store is gone",
    ),
    "credentials are demanded": ((*POST, "security"), [{"key": []}], "a call without credentials is no longer accepted"),
    "a way to prove who one is goes away": (("paths", "/order", "get", "security"), [{"other": []}], "key is no longer accepted"),
    "a security scheme is changed": (("components", "securitySchemes", "key", "scheme"), "basic", "security scheme key has changed"),
}
ALLOWED = {
    "a path is added": (("paths", "/new"), BEFORE["paths"]["/order"]),
    "an optional parameter is added": (
        (*POST, "parameters"),
        [*BEFORE["paths"]["/order"]["post"]["parameters"], {"name": "New", "in": "query"}],
    ),
    "an optional request field is added": ((*REQUEST, "properties", "coupon"), {"type": "string"}),
    "a required request field becomes optional": ((*REQUEST, "required"), []),
    "a maximum rises": ((*REQUEST, "properties", "quantity", "maximum"), 1000),
    "a pattern is dropped": ((*REQUEST, "properties", "user", "pattern"), GONE),
    "a request accepts a further value": ((*REQUEST, "properties", "policy", "enum"), ["refund", "reacquire", "ask"]),
    "a request accepts a further type": ((*REQUEST, "properties", "quantity", "type"), "number"),
    "a request field may be null": (
        (*REQUEST, "properties", "quantity"),
        {"anyOf": [BEFORE["components"]["schemas"]["Request"]["properties"]["quantity"], {"type": "null"}]},
    ),
    "an answer has a further field": ((*ORDER, "properties", "price"), {"type": "integer"}),
    "an answer has a further state": ((*ORDER, "properties", "state", "enum"), ["reserved", "paid", "returned"]),
    "a field of an answer is always there": ((*ORDER, "required"), ["id", "state", "lines", "note"]),
    "an answer is never null": ((*ORDER, "properties", "ends"), {"type": "string"}),
    "a problem code is added": (CODES, ["sold_out", "ended", "closed"]),
    "a status is added": ((*POST, "responses", "503"), {"content": {}}),
    "a text is changed": (("components", "securitySchemes", "key", "description"), "another text"),
    "credentials are optional": ((*POST, "security"), [{}, {"key": []}]),
    "a further way to prove who one is": (("paths", "/order", "get", "security"), [{"key": []}, {"token": []}]),
}


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    """BEFORE with another value at a path."""
    document = deepcopy(BEFORE)
    inner: Any = document
    for name in path[:-1]:
        inner = inner[name]
    if value is GONE:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return document


def test_unchanged_document_breaks_nothing() -> None:
    assert breaks(BEFORE, deepcopy(BEFORE)) == []


@pytest.mark.parametrize("change", REFUSED)
def test_break_is_refused(change: str) -> None:
    path, value, expected = REFUSED[change]
    assert any(expected in line for line in breaks(BEFORE, changed(path, value))), breaks(BEFORE, changed(path, value))


@pytest.mark.parametrize("change", ALLOWED)
def test_addition_is_allowed(change: str) -> None:
    assert breaks(BEFORE, changed(*ALLOWED[change])) == []


def test_body_that_is_demanded_of_an_operation_without_one_is_refused() -> None:
    body = {"required": True, "content": {}}
    assert breaks(BEFORE, changed(("paths", "/order", "get", "requestBody"), body)) == ["GET /order: it has a required body now"]


def test_body_that_accepts_a_second_kind_is_allowed_and_the_reverse_is_not() -> None:
    path = (*POST, "requestBody", "content", "application/json", "schema")
    wider = changed(path, {"anyOf": [{"$ref": "#/components/schemas/Request"}, {"$ref": "#/components/schemas/Line"}]})
    assert breaks(BEFORE, wider) == []
    assert breaks(wider, deepcopy(BEFORE)) == ["POST /order body: Line is no longer accepted"]

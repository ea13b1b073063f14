from typing import Any

import pytest

from tools.api.typescript import declarations, type_of


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "pattern": "^a$"}, "string"),
        ({"type": ["integer", "null"]}, "number | null"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"const": "success"}, '"success"'),
        ({"type": "array", "items": {"$ref": "#/components/schemas/Sale"}}, "Array<Sale>"),
        ({"anyOf": [{"$ref": "#/components/schemas/Rate"}, {"type": "null"}]}, "Rate | null"),
        ({"allOf": [{"$ref": "#/x/A"}, {"type": "object", "properties": {"b": {"type": "boolean"}}}]}, "A & { b?: boolean; }"),
        ({"type": "object"}, "Record<string, unknown>"),
        ({}, "unknown"),
    ],
)
def test_schema_has_its_type(schema: dict[str, Any], expected: str) -> None:
    assert type_of(schema) == expected


def test_document_becomes_interfaces_and_operations() -> None:
    problem = {"allOf": [{"$ref": "#/x/Problem"}, {"properties": {"code": {"enum": ["gone", "ended"]}}}]}
    schema = {
        "type": "object",
        "required": ["id"],
        "properties": {"id": {"type": "string", "description": "its id"}, "note": {"type": "string"}},
    }
    operation = {
        "operationId": "getOrder",
        "summary": "An order",
        "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
        "responses": {
            "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}},
            "410": {"content": {"application/problem+json": {"schema": problem}}},
        },
    }
    document = {"paths": {"/orders/{id}": {"get": operation}}, "components": {"schemas": {"Order": schema}}}
    assert declarations(document, "a.json").splitlines()[3:] == [
        "export interface Order {",
        "  /** its id */",
        "  id: string;",
        "  note?: string;",
        "}",
        "",
        "/** By operationId: what is sent, what is answered by status, and the codes of its problems. */",
        "export interface Operations {",
        "  /** An order. */",
        "  getOrder: {",
        '    method: "GET";',
        '    path: "/orders/{id}";',
        '    pathParameters: { "id": string; };',
        "    answers: { 200: Order; };",
        '    problems: "gone" | "ended";',
        "  };",
        "}",
    ]

"""TypeScript types of an OpenAPI document: an interface for each schema, and one that lists the operations. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tools.api.schema_changes import Document, Schema

HEAD = """// Made by `python -m tools.docs.client_types` from {source}. Do not edit.
// Later versions only add: ignore fields, values and codes that you do not know.
"""
_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def declarations(document: Document, source: str) -> str:
    """The text of a .d.ts file."""
    schemas = document["components"]["schemas"]
    interfaces = [_declaration(name, schema) for name, schema in schemas.items()]
    return "\n".join((HEAD.format(source=source), *interfaces, _operations(document)))


def type_of(schema: Schema) -> str:
    """The type of the values that fit the schema; bounds and patterns have no type."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(map(json.dumps, schema["enum"]))
    for keyword, joint in (("anyOf", " | "), ("oneOf", " | "), ("allOf", " & ")):
        if keyword in schema:
            return joint.join(map(type_of, schema[keyword]))
    stated = schema.get("type", [])
    types = [stated] if isinstance(stated, str) else stated
    return " | ".join(_simple(name, schema) for name in types) or "unknown"


def _simple(name: str, schema: Schema) -> str:
    if name == "array":
        return f"Array<{type_of(schema.get('items', {}))}>"
    if name == "object":
        return "{ " + " ".join(_fields(schema)) + " }" if schema.get("properties") else "Record<string, unknown>"
    return _SCALARS[name]


def _declaration(name: str, schema: Schema) -> str:
    fields = "".join(
        f"{_comment(inner, '  ')}  {field}\n" for field, inner in zip(_fields(schema), schema["properties"].values(), strict=True)
    )
    return f"{_comment(schema)}export interface {name} {{\n{fields}}}\n"


def _fields(schema: Schema) -> Iterator[str]:
    required = schema.get("required", ())
    for name, inner in schema["properties"].items():
        yield f"{name}{'' if name in required else '?'}: {type_of(inner)};"


def _comment(schema: Schema, indent: str = "") -> str:
    text = " ".join(str(schema.get("description", "")).split()).replace("*/", "* /")
    return f"{indent}/** {text} */\n" if text else ""


def _operations(document: Document) -> str:
    described = "".join(
        _operation(method, path, operation) for path, item in document["paths"].items() for method, operation in item.items()
    )
    comment = "/** By operationId: what is sent, what is answered by status, and the codes of its problems. */\n"
    return f"{comment}export interface Operations {{\n{described}}}\n"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> str:
    lines = [
        f'method: "{method.upper()}";',
        f'path: "{path}";',
        *_parameters(operation),
        *_body(operation),
        f"answers: {{ {' '.join(_answers(operation))} }};",
        f"problems: {' | '.join(map(json.dumps, _codes(operation))) or 'never'};",
    ]
    inner = "".join(f"    {line}\n" for line in lines)
    return f"  /** {operation['summary']}. */\n  {operation['operationId']}: {{\n{inner}  }};\n"


def _parameters(operation: Mapping[str, Any]) -> Iterator[str]:
    for place in ("path", "query", "header"):
        parameters = [parameter for parameter in operation.get("parameters", ()) if parameter["in"] == place]
        if parameters:
            fields = (f"{json.dumps(p['name'])}{'' if p.get('required') else '?'}: {type_of(p['schema'])};" for p in parameters)
            yield f"{place}Parameters: {{ {' '.join(fields)} }};"


def _body(operation: Mapping[str, Any]) -> Iterator[str]:
    if "requestBody" in operation:
        yield f"body: {type_of(operation['requestBody']['content']['application/json']['schema'])};"


def _answers(operation: Mapping[str, Any]) -> Iterator[str]:
    for status, answer in operation["responses"].items():
        if "application/json" in answer.get("content", {}):
            yield f"{status}: {type_of(answer['content']['application/json'].get('schema', {}))};"


def _codes(operation: Mapping[str, Any]) -> list[str]:
    """The codes of all answers that are problems."""
    schemas = (answer["content"].get("application/problem+json", {}).get("schema") for answer in operation["responses"].values())
    return [code for schema in schemas if schema for code in schema["allOf"][1]["properties"]["code"]["enum"]]

"""What the OpenAPI 3.1 documents of all HTTP services share: references to schemas, and the answers that are problems. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flashsale_core.problems import MEDIA_TYPE, Kind, Problem

_REFERENCE = "#/components/schemas/{name}"


def schemas(structs: Iterable[type]) -> dict[str, Any]:
    """The schemas of these structs and of those that they contain, by name."""
    _, components = msgspec.json.schema_components(sorted(structs, key=lambda struct: struct.__name__), ref_template=_REFERENCE)
    return dict(sorted(components.items()))


def reference(kind: type) -> dict[str, str]:
    """The reference to the schema of a struct, which the document has by the struct's name."""
    return {"$ref": _REFERENCE.format(name=kind.__name__)}


def problem_responses(codes: Iterable[str], kinds: Mapping[str, Kind], body: type) -> dict[str, Any]:
    """The answers with these codes, by status in ascending order. `body` is the struct of a problem document."""
    by_status: dict[str, list[str]] = {}
    for code in dict.fromkeys(codes):
        by_status.setdefault(str(kinds[code].status), []).append(code)
    return {status: _response(of_status, kinds, body) for status, of_status in sorted(by_status.items())}


def _response(codes: Sequence[str], kinds: Mapping[str, Kind], body: type) -> dict[str, Any]:
    """The answer with one of these codes, which have the same status."""
    schema = {"allOf": [reference(body), {"type": "object", "required": ["code"], "properties": {"code": {"enum": list(codes)}}}]}
    examples = {code: {"value": Problem(code, kinds[code]).document} for code in codes}
    response: dict[str, Any] = {"description": ", ".join(codes), "content": {MEDIA_TYPE: {"schema": schema, "examples": examples}}}
    if any(kinds[code].retry_after_seconds is not None for code in codes):
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": "seconds"}}
    return response

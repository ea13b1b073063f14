"""What a change of an OpenAPI document breaks for the clients of the document before: additions break nothing. Pure (decision 0052)."""

from collections.abc import Iterator, Mapping
from typing import Any

from tools.api.schema_changes import Comparison, Document, Use

METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
Operation = Mapping[str, Any]


def breaks(before: Document, after: Document) -> list[str]:
    """A sentence for each break, in the order of the earlier document. Empty: every earlier client works as before."""
    return list(_breaks(before, after))


def _breaks(before: Document, after: Document) -> Iterator[str]:
    for path, item in before["paths"].items():
        for method in (method for method in METHODS if method in item):
            where = f"{method.upper()} {path}"
            operation = after["paths"].get(path, {}).get(method)
            if operation is None:
                yield f"{where}: the operation is gone"
            else:
                yield from _Operations(before, after).breaks(where, item[method], operation)
    yield from _schemes(before, after)


def _schemes(before: Document, after: Document) -> Iterator[str]:
    now = _schemes_of(after)
    for name, scheme in _schemes_of(before).items():
        if name not in now or _without_texts(now[name]) != _without_texts(scheme):
            yield f"the security scheme {name} has changed"


class _Operations:
    """Compares an operation of two documents."""

    def __init__(self, before: Document, after: Document) -> None:
        self._sent = Comparison(before, after, Use.SENT)
        self._read = Comparison(before, after, Use.READ)

    def breaks(self, where: str, before: Operation, after: Operation) -> Iterator[str]:
        if before.get("operationId") != after.get("operationId"):
            yield f"{where}: its operationId was {before.get('operationId')} and is {after.get('operationId')}"
        yield from self._parameters(where, before, after)
        yield from self._body(where, before.get("requestBody"), after.get("requestBody"))
        yield from _security(where, before, after)
        yield from self._answers(where, before["responses"], after["responses"])

    def _parameters(self, where: str, before: Operation, after: Operation) -> Iterator[str]:
        earlier, now = _parameters(before), _parameters(after)
        for key, parameter in earlier.items():
            at = f"{where} parameter {key[1]}"
            if key not in now:
                yield f"{at}: it is gone"
                continue
            if now[key].get("required") and not parameter.get("required"):
                yield f"{at}: it is required now"
            yield from self._sent.breaks(at, parameter.get("schema", {}), now[key].get("schema", {}))
        for key in now.keys() - earlier.keys():
            if now[key].get("required"):
                yield f"{where} parameter {key[1]}: it is new and required"

    def _body(self, where: str, before: Operation | None, after: Operation | None) -> Iterator[str]:
        if before is None or after is None:
            if after is not None and after.get("required"):
                yield f"{where}: it has a required body now"
            if before is not None:
                yield f"{where}: its body is gone"
            return
        if after.get("required") and not before.get("required"):
            yield f"{where}: its body is required now"
        yield from _contents(self._sent, f"{where} body", before["content"], after["content"])

    def _answers(self, where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
        for status, answer in before.items():
            at = f"{where} {status}"
            if status not in after:
                yield f"{at}: the answer is gone"
                continue
            now = after[status]
            yield from _contents(self._read, at, answer.get("content", {}), now.get("content", {}))
            headers, headers_now = answer.get("headers", {}), now.get("headers", {})
            for name, header in headers.items():
                if name in headers_now:
                    yield from self._read.breaks(f"{at} header {name}", header.get("schema", {}), headers_now[name].get("schema", {}))
                else:
                    yield f"{at}: the header {name} is gone"


def _contents(comparison: Comparison, where: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    for media_type, content in before.items():
        if media_type in after:
            yield from comparison.breaks(where, content.get("schema", {}), after[media_type].get("schema", {}))
        else:
            yield f"{where}: the media type {media_type} is gone"


def _security(where: str, before: Operation, after: Operation) -> Iterator[str]:
    """Each way in which a client could prove who it is must remain; without a requirement, there is one way, which proves nothing."""
    now = after.get("security") or [{}]
    for way in before.get("security") or [{}]:
        if way not in now:
            yield f"{where}: {'a call without credentials' if not way else ' and '.join(way)} is no longer accepted"


def _parameters(operation: Operation) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(parameter["in"], parameter["name"]): parameter for parameter in operation.get("parameters", ())}


def _schemes_of(document: Document) -> Mapping[str, Any]:
    schemes: Mapping[str, Any] = document.get("components", {}).get("securitySchemes", {})
    return schemes


def _without_texts(scheme: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in scheme.items() if name != "description"}

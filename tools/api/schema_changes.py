"""What a change of a JSON Schema breaks, for those who send by it and for those who read by it. Pure.

A sender must be able to send what it sent before; a reader must get what it read before. New fields and new values of an enumeration
are additions for a reader, who ignores what it does not know (decision 0052). A keyword that this module does not know may not change.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from typing import Any

Schema = Mapping[str, Any]
Document = Mapping[str, Any]
TEXTS = frozenset(("title", "description", "examples", "example", "$comment"))
FLOORS = frozenset(("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties"))
CEILINGS = frozenset(("maximum", "exclusiveMaximum", "maxLength", "maxItems", "maxProperties"))
STRUCTURE = frozenset(("properties", "required", "additionalProperties", "items", "anyOf", "oneOf", "allOf", "type", "enum", "const"))


class Use(Enum):
    SENT = "sent by clients"
    READ = "read by clients"


class Comparison:
    """Compares schemas of two documents, and follows their references; each pair of named schemas once, so cycles end."""

    def __init__(self, before: Document, after: Document, use: Use, compared: Iterable[tuple[str, str]] = ()) -> None:
        self._before = before
        self._after = after
        self._use = use
        self._compared = set(compared)

    def breaks(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """A sentence for each break."""
        if "$ref" in before and "$ref" in after:
            pair = (before["$ref"], after["$ref"])
            if pair in self._compared:
                return
            self._compared.add(pair)
        if _has_alternatives(self._before, before) or _has_alternatives(self._after, after):
            yield from self._alternatives(where, before, after)
            return
        before, after = resolve(self._before, before), resolve(self._after, after)
        yield from self._types(where, before, after)
        yield from self._values(where, before, after)
        yield from self._fields(where, before, after)
        yield from self._items(where, before, after)
        yield from self._parts(where, before, after)
        yield from self._keywords(where, before, after)

    def _types(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        earlier, now = _types(before), _types(after)
        if self._use is Use.SENT and now and (lost := (earlier or {"any"}) - now):
            yield f"{where}: the type {_names(lost)} is no longer accepted"
        if self._use is Use.READ and earlier and (new := (now or {"any"}) - earlier):
            yield f"{where}: it may now have the type {_names(new)}"

    def _values(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        earlier, now = _values(before), _values(after)
        if earlier is None:
            if now is not None and self._use is Use.SENT:
                yield f"{where}: only {_names(now)} are accepted now"
        elif now is None:
            if self._use is Use.READ:
                yield f"{where}: its values are no longer listed"
        elif lost := [value for value in earlier if value not in now]:
            yield f"{where}: the value {_names(lost)} is gone"

    def _fields(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        earlier, now = before.get("properties", {}), after.get("properties", {})
        for name in earlier:
            if name in now:
                yield from self.breaks(f"{where}.{name}", earlier[name], now[name])
            elif self._use is Use.READ or after.get("additionalProperties", True) is False:
                yield f"{where}.{name}: the field is gone"
        required_before, required_now = set(before.get("required", ())), set(after.get("required", ()))
        if self._use is Use.SENT:
            yield from (f"{where}.{name}: the field is required now" for name in sorted(required_now - required_before))
            if before.get("additionalProperties", True) is not False and after.get("additionalProperties", True) is False:
                yield f"{where}: further fields are no longer accepted"
        else:
            yield from (f"{where}.{name}: the field may be missing now" for name in sorted((required_before - required_now) & set(now)))

    def _items(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        if "items" in before and "items" in after:
            yield from self.breaks(f"{where}[]", before["items"], after["items"])
        elif "items" in (before if self._use is Use.READ else after):
            yield f"{where}: the type of its items has changed"

    def _alternatives(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        """Sent: each earlier alternative still fits a present one. Read: each present one fits an earlier one."""
        earlier, now = _alternatives(self._before, before), _alternatives(self._after, after)
        if self._use is Use.SENT:
            yield from (f"{where}: {_name(old)} is no longer accepted" for old in earlier if not any(self._fits(old, new) for new in now))
        else:
            yield from (f"{where}: it may now be {_name(new)}" for new in now if not any(self._fits(old, new) for old in earlier))

    def _fits(self, before: Schema, after: Schema) -> bool:
        if "$ref" in before and "$ref" in after and before["$ref"] != after["$ref"]:
            return False
        within = Comparison(self._before, self._after, self._use, self._compared - {(before.get("$ref", ""), after.get("$ref", ""))})
        return not list(within.breaks("", before, after))

    def _parts(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        earlier, now = before.get("allOf", []), after.get("allOf", [])
        for old, new in zip(earlier, now, strict=False):
            yield from self.breaks(where, old, new)
        if len(now) < len(earlier) if self._use is Use.READ else len(now) > len(earlier):
            yield f"{where}: the number of schemas in allOf has changed"

    def _keywords(self, where: str, before: Schema, after: Schema) -> Iterator[str]:
        for keyword in sorted((before.keys() | after.keys()) - TEXTS - STRUCTURE - {"$ref"}):
            earlier, now = before.get(keyword), after.get(keyword)
            if earlier != now and (self._use is Use.READ or _is_narrower(keyword, earlier, now)):
                yield f"{where}: {keyword} was {earlier} and is {now}"


def resolve(document: Document, schema: Schema) -> Schema:
    """The schema that a local reference leads to; another schema as it is. Raises KeyError when there is none."""
    while "$ref" in schema:
        target: Any = document
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        schema = target
    return schema


def _is_narrower(keyword: str, before: Any, after: Any) -> bool:
    """Whether something that was accepted may now be refused, or has another meaning."""
    if keyword in FLOORS | CEILINGS:
        if after is None or before is None:
            return after is not None
        return bool(after > before if keyword in FLOORS else after < before)
    return after is not None or keyword == "default"


def _types(schema: Schema) -> set[str]:
    """Empty when any type is allowed."""
    stated = schema.get("type", [])
    types = {stated} if isinstance(stated, str) else set(stated)
    return types | ({"integer"} if "number" in types else set())


def _values(schema: Schema) -> list[Any] | None:
    """None when any value is allowed."""
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _alternatives(document: Document, schema: Schema) -> Sequence[Schema]:
    """The schemas of anyOf or oneOf; the schema itself without them."""
    resolved = resolve(document, schema)
    return resolved.get("anyOf") or resolved.get("oneOf") or [schema]


def _has_alternatives(document: Document, schema: Schema) -> bool:
    return not resolve(document, schema).keys().isdisjoint(("anyOf", "oneOf"))


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", schema.get("type", "of another kind"))).rpartition("/")[2]


def _names(values: Any) -> str:
    return ", ".join(sorted(map(str, values)))

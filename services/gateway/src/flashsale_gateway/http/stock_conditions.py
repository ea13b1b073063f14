"""Conditions of a change of stock: the generation that the caller has read, and the id by which a repeat is recognised."""

import re
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import msgspec

from flashsale_gateway.http import bodies
from flashsale_gateway.http.problems import Problem

_ETAG = re.compile(r'"([0-9]{1,15})"|([0-9]{1,15})')


@dataclass(frozen=True, slots=True)
class Condition:
    generation: int | None = None
    """The generation that the sale must have; None if any will do."""
    request_id: str = ""

    def fields(self, *, is_needed: bool) -> dict[str, Any]:
        """What `define` gets. A change that must not be made twice has an id even without the caller's: the gateway may repeat its call."""
        fields: dict[str, Any] = {} if self.generation is None else {"if_generation": self.generation}
        if self.request_id or is_needed or fields:
            fields["request_id"] = self.request_id or token_hex(16)
        return fields


ANY = Condition()


def read_condition(if_match: str | None, key: str | None, request_id: str | msgspec.UnsetType) -> Condition:
    """`If-Match`, `Idempotency-Key` and the body's requestId. Raises Problem that names the one that is wrong."""
    given = "" if request_id is msgspec.UNSET else request_id
    if key is not None:
        key = key.strip().strip('"')
        if not bodies.is_request_id(key) or given not in ("", key):
            raise Problem("bad_request", "Must be a request id, and the same as requestId if both are sent", field="Idempotency-Key")
    return Condition(_generation(if_match), key or given)


def etag(generation: object) -> str:
    return f'"{generation}"'


def _generation(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    match = _ETAG.fullmatch(if_match.strip())
    if match is None:
        raise Problem("bad_request", "Must be the generation of the sale, as the ETag has it", field="If-Match")
    return int(match[1] or match[2])

"""Conditions of a change of stock: the generation that the caller has read, and the id by which a repeat is recognised."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

import msgspec

from flashsale_gateway.http import bodies
from flashsale_gateway.http.problems import Problem

# A proxy that compresses answers makes their tags weak (W/).
_ETAG = re.compile(r'(?:W/)?"([0-9]{1,15})(?:-[0-9a-f]{1,64})?"|([0-9]{1,15})')


@dataclass(frozen=True, slots=True)
class Condition:
    generation: int | None = None
    """The generation that the sale must have; None if any will do."""
    request_id: str = ""
    must_exist: bool = False
    """`If-Match: *`: the sale may have any generation, but is not created."""

    def fields(self, *, is_needed: bool) -> dict[str, Any]:
        """What `define` gets. A change that must not be made twice has an id even without the caller's: the gateway may repeat its call."""
        fields: dict[str, Any] = {} if self.generation is None else {"if_generation": self.generation}
        fields |= {"if_exists": True} if self.must_exist else {}
        if self.request_id or is_needed or fields:
            fields["request_id"] = self.request_id or token_hex(16)
        return fields


ANY = Condition()


def read_condition(if_match: Sequence[str], key: str | None, request_id: str | msgspec.UnsetType) -> Condition:
    """Each `If-Match`, `Idempotency-Key` and the body's requestId. Raises Problem that names the one that is wrong."""
    given = "" if request_id is msgspec.UNSET else request_id
    if key is not None:
        key = bodies.read_request_key(key)
        if key is None or given not in ("", key):
            raise Problem("bad_request", "Must be a request id, and the same as requestId if both are sent", field="Idempotency-Key")
    match = ", ".join(if_match).strip()
    return Condition(_generation(match) if if_match else None, key or given, must_exist=match == "*")


def etag(generation: object, document: bytes = b"") -> str:
    """Names the generation, and the document if one is given: a cache that has one tag for two documents would show the older one."""
    digest = hashlib.blake2s(document, digest_size=8).hexdigest() if document else ""
    return f'"{generation}-{digest}"' if digest else f'"{generation}"'


def _generation(if_match: str) -> int | None:
    if if_match == "*":
        return None
    match = _ETAG.fullmatch(if_match)
    if match is None:
        raise Problem("bad_request", "Must be the generation of the sale, as the ETag has it", field="If-Match")
    return int(match[1] or match[2])

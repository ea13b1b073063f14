"""Every refusal of the ledger-api and its text: one table of codes, rendered as problem+json (RFC 9457)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flashsale_core import problems
from flashsale_core.problems import Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "bad_request": Kind(400, "The request is malformed"),
        "unauthorized": Kind(401, "The bearer token is missing or wrong"),
        "unknown_refund": Kind(404, "There is no such refund"),
        "unknown_payment": Kind(404, "The ledger has no such payment of this order"),
        "unknown_order": Kind(404, "There is no such order"),
        "not_found": Kind(404, "There is nothing at this path"),
        "method_not_allowed": Kind(405, "This path does not support this method"),
        "request_timeout": Kind(408, "The request did not arrive in time"),
        "unknown_cursor": Kind(409, "The event of the cursor is not in the database"),
        "not_paid": Kind(409, "The order is not paid"),
        "not_reported": Kind(409, "The provider reported no refund of this order, or the order is not paid"),
        "reported_more": Kind(409, "The provider has reported another sum since; look at it before you leave the order as paid"),
        "sale_not_removed": Kind(409, "The sale was not removed yet; the gateway returns its orders"),
        "refund_changed": Kind(409, "The refund is in another state; look at it before you change it"),
        "body_too_large": Kind(413, "The request body is too large"),
        "unsupported_media_type": Kind(415, "The request body must be application/json"),
        "internal": Kind(500, "The ledger-api failed; the request may be repeated"),
        "overloaded": Kind(503, "Too many requests are in progress", 2),
        "not_ready": Kind(503, "The ledger does not answer or refuses the statement; the request may be repeated", 2),
    }
)


class Problem(problems.Problem):
    """Raised by routes and by what they call; rendered as an answer."""

    def __init__(self, code: str, detail: str = "", *, field: str = "", allow: str = "", **more: Any) -> None:
        super().__init__(code, KINDS[code], detail, field=field, allow=allow, **more)

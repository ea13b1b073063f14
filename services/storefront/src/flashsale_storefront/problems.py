"""Every refusal of the storefront and its text: one table of codes, rendered as problem+json (RFC 9457). Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flashsale_core import problems
from flashsale_core.problems import Kind

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "bad_request": Kind(400, "The request is malformed"),
        "unknown_sale": Kind(404, "There is no such sale"),
        "not_found": Kind(404, "There is nothing at this path"),
        "method_not_allowed": Kind(405, "This path does not support this method"),
        "request_timeout": Kind(408, "The request took too long to arrive"),
        "body_too_large": Kind(413, "The request body is too large"),
        "internal": Kind(500, "The storefront failed; the request may be repeated"),
        "payment_refused": Kind(502, "The gateway did not accept the simulated payment"),
        "too_many_streams": Kind(503, "Too many event streams are open; ask for the live document instead", 30),
        "overloaded": Kind(503, "Too many requests are waiting", 2),
        "recovering": Kind(503, "What is for sale is not known now; ask again", 2),
    }
)


class Problem(problems.Problem):
    """Raised by what answers browsers; rendered as an answer."""

    def __init__(self, code: str, detail: str = "", *, field: str = "", allow: str = "", **more: Any) -> None:
        super().__init__(code, KINDS[code], detail, field=field, allow=allow, **more)

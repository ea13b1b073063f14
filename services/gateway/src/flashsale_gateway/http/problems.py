"""Every refusal and its text: one table of codes, rendered as problem+json (RFC 9457)."""

from collections.abc import Mapping
from functools import cached_property
from types import MappingProxyType
from typing import Any

from starlette.responses import Response

from flashsale_core import problems
from flashsale_core.problems import MEDIA_TYPE, Kind
from flashsale_gateway.http.answers import Answer

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "bad_request": Kind(400, "The request is malformed"),
        "stale_webhook": Kind(400, "The webhook's timestamp is outside the tolerance"),
        "request_timeout": Kind(408, "The request did not arrive in time"),
        "unauthorized": Kind(401, "The bearer token is missing or wrong"),
        "unauthenticated": Kind(401, "Who sends the request is not proven"),
        "identity_mismatch": Kind(403, "The request names another buyer than its proof"),
        "origin_not_allowed": Kind(403, "Pages of this origin may not call the API"),
        "bad_signature": Kind(401, "The webhook's signature is missing or wrong"),
        "unknown_sale": Kind(404, "There is no such sale"),
        "unknown_order": Kind(404, "There is no such order"),
        "not_found": Kind(404, "There is nothing at this path"),
        "method_not_allowed": Kind(405, "This path does not support this method"),
        "out_of_stock": Kind(409, "Not enough units are left"),
        "not_started": Kind(409, "The sale has not started"),
        "ended": Kind(409, "The sale has ended"),
        "paused": Kind(409, "The sale is paused"),
        "closed": Kind(409, "The sale is closed"),
        "user_limit": Kind(409, "The buyer has reached the limit of units per buyer"),
        "order_limit": Kind(409, "Too many orders of this buyer expired or were cancelled"),
        "already_paid": Kind(409, "The order is paid and cannot be cancelled"),
        "not_paid": Kind(409, "The order is not paid, so there is nothing to take back"),
        "not_owner": Kind(409, "The sale belongs to another owner"),
        "below_committed": Kind(409, "The stock would fall below what is reserved and sold"),
        "sale_removed": Kind(410, "The sale was removed"),
        "order_gone": Kind(410, "The order has expired, was cancelled or was returned"),
        "generation_moved": Kind(412, "The sale was changed since it was read"),
        "body_too_large": Kind(413, "The request body is too large"),
        "unsupported_media_type": Kind(415, "The request body must be application/json"),
        "request_conflict": Kind(422, "This request id was used for another order"),
        "head_too_large": Kind(431, "The request's path and headers are too large"),
        "rate_limited": Kind(429, "Too many requests from this buyer", 1),
        "too_many_forgeries": Kind(429, "Too many JWTs that are not valid arrive, so this one was not checked", 1),
        "internal": Kind(500, "The gateway failed; the request may be repeated"),
        "overloaded": Kind(503, "Too many requests are waiting", 1),
        "outcome_unknown": Kind(503, "The outcome is unknown; retry with the same request id", 1),
        "broker_away": Kind(
            503,
            "This sale accepts orders only while the message broker is reachable; nothing was reserved, retry with the same request id",
            5,
        ),
        "unconfirmed": Kind(503, "It is not yet confirmed by the message broker; send the request again", 5),
        "not_ready": Kind(503, "The sale's store does not answer or refuses writes", 2),
        "recovering": Kind(503, "The sale is being recovered and accepts no changes yet; repeat the request with the same id", 2),
        "outbox_lag": Kind(503, "Orders are not being published; no new ones are accepted", 5),
    }
)


class Problem(problems.Problem):
    """Raised in http/, orders and payments; rendered as an answer."""

    def __init__(
        self,
        code: str,
        detail: str = "",
        *,
        field: str = "",
        retry_after_seconds: int | None = None,
        allow: str = "",
        **more: Any,
    ) -> None:
        super().__init__(code, KINDS[code], detail, field=field, retry_after_seconds=retry_after_seconds, allow=allow, **more)

    @property
    def challenge(self) -> str:
        """RFC 6750, 3: a request without a proof gets no error code."""
        if self.status != 401 or self.code == "bad_signature":
            return ""
        reason = self.document.get("reason", "missing")
        return "Bearer" if reason == "missing" else f'Bearer error="invalid_token", error_description="{reason}"'

    @cached_property
    def answer(self) -> Answer:
        """The same as `response`, for endpoints outside the router."""
        headers = ((b"content-type", MEDIA_TYPE.encode()), *((name.encode(), value.encode()) for name, value in self.headers.items()))
        return Answer(self.status, headers, self.body)

    def response(self) -> Response:
        return Response(self.body, self.status, self.headers, MEDIA_TYPE)

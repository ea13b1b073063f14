"""Translates errors raised below `http/` into problems. No other module does."""

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from flashsale_gateway.errors import (
    NotReady,
    OutcomeUnknown,
    Overloaded,
    Recovering,
    StoreUnavailable,
    TooManyForgeries,
    Unauthenticated,
    Unconfirmed,
)
from flashsale_gateway.http.problems import Problem

# Ready-made, because a stampede meets them often. They are answered and never raised: each raise would lengthen their traceback.
_OVERLOADED = Problem("overloaded")
_TOO_MANY_FORGERIES = Problem("too_many_forgeries", "Send it again, or a buyer token, which is not held up")
_OUTCOME_UNKNOWN = Problem("outcome_unknown")
_UNCONFIRMED = Problem("unconfirmed")
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "missing": "Send who you are: Authorization: Bearer and a buyer token, a JWT or a service key, as this shop has it",
        "unknown": "This shop does not accept the bearer token",
        "malformed": "The buyer token is incomplete or has a wrong form",
        "forged": "The buyer token was not signed by this shop, or was changed",
        "expired": "The token has expired; get a new one",
        "bad_jwt": "The JWT is not valid here: its form, signature, issuer, audience, times or user do not fit",
        "unknown_key": "The JWT names a key or an algorithm that the identity provider of this shop does not publish",
        "two_headers": "The header that names the buyer was sent twice",
    }
)
"""Why a proof is refused, in words."""
_UNAUTHENTICATED = {reason: Problem("unauthenticated", words, reason=reason) for reason, words in REASONS.items()}
_REASONS_KEPT = 64


def problem_of(error: BaseException) -> Problem | None:
    """The problem that `error` means to a client; None when it is a fault of ours. The result is to be answered, never raised."""
    match error:
        case Problem():
            return error
        case TooManyForgeries():
            return _TOO_MANY_FORGERIES
        case Overloaded():
            return _OVERLOADED
        case OutcomeUnknown():
            return _OUTCOME_UNKNOWN
        case Unconfirmed():
            return _UNCONFIRMED
        case Unauthenticated():
            return _UNAUTHENTICATED[str(error)]
        case Recovering():
            return _recovering(str(error))
        case StoreUnavailable() | NotReady():
            return _not_ready(str(error))
        case _:
            return None


# One batch shares its reason: the document is rendered once, not once for each request.
@lru_cache(maxsize=_REASONS_KEPT)
def _not_ready(reason: str) -> Problem:
    return Problem("not_ready", reason)


@lru_cache(maxsize=_REASONS_KEPT)
def _recovering(reason: str) -> Problem:
    return Problem("recovering", reason)

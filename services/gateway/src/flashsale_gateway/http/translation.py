"""Translates errors raised below `http/` into problems. No other module does."""

from functools import lru_cache

from flashsale_gateway.errors import NotReady, OutcomeUnknown, Overloaded, Recovering, StoreUnavailable, Unconfirmed
from flashsale_gateway.http.problems import Problem

# Ready-made, because a stampede meets them often. They are answered and never raised: each raise would lengthen their traceback.
_OVERLOADED = Problem("overloaded")
_OUTCOME_UNKNOWN = Problem("outcome_unknown")
_UNCONFIRMED = Problem("unconfirmed")
_REASONS_KEPT = 64


def problem_of(error: BaseException) -> Problem | None:
    """The problem that `error` means to a client; None when it is a fault of ours. The result is to be answered, never raised."""
    match error:
        case Problem():
            return error
        case Overloaded():
            return _OVERLOADED
        case OutcomeUnknown():
            return _OUTCOME_UNKNOWN
        case Unconfirmed():
            return _UNCONFIRMED
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

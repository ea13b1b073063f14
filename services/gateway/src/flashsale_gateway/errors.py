"""The errors raised below `http/`. `http/translation.py` turns them into problems."""

from flashsale_core.errors import FlashsaleError


class GatewayError(FlashsaleError):
    """Root of what the gateway raises on purpose below `http/`. The message is a reason for people, or empty."""


class Overloaded(GatewayError):
    """Too many requests are waiting, and this one was not added to them."""


class StoreUnavailable(GatewayError):
    """Redis does not answer or refuses the call, or a sale's data is broken. Nothing has changed."""


class Recovering(StoreUnavailable):
    """Redis is not the history that the ledger agreed to, or its recovery is not finished. Nothing has changed."""


class OutcomeUnknown(GatewayError):
    """A script may have run, but its answer is lost. The same call may be repeated: each item gets its first answer again."""


class Unconfirmed(GatewayError):
    """What was decided is stored, but the broker has not confirmed it in time. The same request may be repeated."""


class NotReady(GatewayError):
    """This gateway must not take orders now."""


class TooManyForgeries(GatewayError):
    """Too many JWTs were checked in vain in this second, so this one was not checked."""


class Unauthenticated(GatewayError):
    """The proof of who sends a request is missing or wrong. The message is a key of REASONS in `http/translation.py`."""

    def __init__(self, reason: str = "missing") -> None:
        super().__init__(reason)

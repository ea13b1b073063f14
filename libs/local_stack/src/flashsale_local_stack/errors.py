"""The error of this package."""

from flashsale_core.errors import FlashsaleError


class StackError(FlashsaleError):
    """A request to the stack failed; the message gives the reason and what to do."""

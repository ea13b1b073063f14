"""What the stack raises."""

from flashsale_core.errors import FlashsaleError


class StackError(FlashsaleError):
    """The stack cannot do what was asked; the message says why and what to do."""

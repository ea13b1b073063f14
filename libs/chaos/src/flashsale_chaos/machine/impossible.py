"""Why a fault cannot be injected."""

from flashsale_core.errors import FlashsaleError


class ImpossibleError(FlashsaleError):
    """This machine, or the present state of a server, does not allow the fault; the message gives the reason."""

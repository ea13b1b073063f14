"""The error tree. The type says what to do about it."""


class FlashsaleError(Exception):
    """Root of all errors this workspace raises on purpose."""


class SettingsError(FlashsaleError):
    """A setting is missing or wrong; the message names the variable and the fix."""


class Retryable(FlashsaleError):
    """The same call may succeed later.

    `delay_seconds` is how long to wait before the next try.
    """

    def __init__(self, reason: str, delay_seconds: float = 1.0) -> None:
        super().__init__(reason)
        self.delay_seconds = delay_seconds


class Rejected(FlashsaleError):
    """The same call will never succeed; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

"""JWTs that were refused before, and how many more may be checked in vain: checking one costs more than an order."""

from flashsale_gateway.errors import TooManyForgeries, Unauthenticated

ENTRIES_MAX = 10_000
"""Some 150 bytes each."""


class RefusedTokens:
    """Remembers tokens that can never become valid while the keys stay, and limits how many others fail in a second."""

    def __init__(self, failures_per_second: float, entries_max: int = ENTRIES_MAX) -> None:
        self._rate = failures_per_second
        self._entries_max = entries_max
        self._reasons: dict[bytes, str] = {}
        """By the hash of a token. The one added first comes first."""
        self._left = failures_per_second
        """How many tokens may fail now: a bucket that holds one second's worth."""
        self._filled_at = 0.0

    def __len__(self) -> int:
        return len(self._reasons)

    def check(self, digest: bytes, now: float) -> None:
        """Raises Unauthenticated if the token was refused before, and TooManyForgeries at the limit; `now` is in seconds."""
        if (reason := self._reasons.get(digest)) is not None:
            raise Unauthenticated(reason)
        if now > self._filled_at:
            self._left = min(self._rate, self._left + (now - self._filled_at) * self._rate)
        self._filled_at = now
        if self._left < 1:
            raise TooManyForgeries

    def add(self, digest: bytes, reason: str, *, lasting: bool) -> None:
        """Count a token that failed; it is remembered if its refusal is `lasting`."""
        self._left -= 1
        if not lasting:
            return
        while len(self._reasons) >= self._entries_max:
            del self._reasons[next(iter(self._reasons))]
        self._reasons[digest] = reason

    def clear(self) -> None:
        self._reasons.clear()

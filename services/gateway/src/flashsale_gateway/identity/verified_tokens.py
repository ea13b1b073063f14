"""JWTs that were verified before, by the hash of their bytes: verifying one takes longer than an order."""

from typing import NamedTuple

from flashsale_core.ids import UserId

ENTRIES_MAX = 20_000
"""Some 200 bytes each."""


class Verified(NamedTuple):
    user: UserId
    expires: float
    """In seconds since the Unix epoch."""


class VerifiedTokens:
    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._entries: dict[bytes, Verified] = {}
        """By the hash of a token. The one added first comes first."""

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, digest: bytes, now: float) -> Verified | None:
        """None if it was not verified, or has expired at `now`, in seconds since the Unix epoch."""
        verified = self._entries.get(digest)
        if verified is not None and now >= verified.expires:
            del self._entries[digest]
            return None
        return verified

    def add(self, digest: bytes, verified: Verified) -> None:
        while len(self._entries) >= self._entries_max:
            del self._entries[next(iter(self._entries))]
        self._entries[digest] = verified

    def clear(self) -> None:
        self._entries.clear()

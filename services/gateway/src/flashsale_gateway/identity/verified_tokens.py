"""JWTs that were verified before, by the hash of their bytes: verifying one takes longer than an order."""

from hashlib import sha256

from flashsale_core.ids import UserId

ENTRIES_MAX = 20_000
"""Some 200 bytes each."""


class VerifiedTokens:
    def __init__(self, entries_max: int = ENTRIES_MAX) -> None:
        self._entries_max = entries_max
        self._entries: dict[bytes, tuple[float, UserId]] = {}
        """When the token expires, and whose it is. The one added first comes first."""

    def __len__(self) -> int:
        return len(self._entries)

    def user_of(self, token: bytes, now: float) -> UserId | None:
        """None if it was not verified, or has expired; times are in seconds since the Unix epoch."""
        digest = sha256(token).digest()
        expires, user = self._entries.get(digest, (0.0, None))
        if now < expires:
            return user
        self._entries.pop(digest, None)
        return None

    def add(self, token: bytes, user: UserId, expires: float) -> None:
        while len(self._entries) >= self._entries_max:
            del self._entries[next(iter(self._entries))]
        self._entries[sha256(token).digest()] = expires, user

    def clear(self) -> None:
        self._entries.clear()

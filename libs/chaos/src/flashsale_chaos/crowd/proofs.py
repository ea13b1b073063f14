"""How buyers prove who they are, and how impostors try to. Pure: whoever calls gives the time."""

from collections.abc import Mapping
from random import Random

from flashsale_core.buyer_token import BuyerTokens

TOKEN_SECONDS = 86_400
"""Longer than a run."""
EXPIRED_SECONDS = 60
Headers = Mapping[str, str]


class Proofs:
    def __init__(self, key: bytes, now: float) -> None:
        """`key` signs buyer tokens; `now` is in seconds since the Unix epoch."""
        self._tokens, self._stranger = BuyerTokens([key]), BuyerTokens([key[::-1] + b"stranger"])
        self._expires, self._expired = int(now) + TOKEN_SECONDS, int(now) - EXPIRED_SECONDS

    def of(self, number: int) -> Headers:
        """The headers of a buyer. Every other one bears a token; the rest are named by the body alone, which the stack trusts."""
        return _bearer(self._own(user_name(number))) if number % 2 else {}

    def imposture(self, user: str, rng: Random) -> Headers:
        """The headers of somebody who poses as a buyer: they must be refused for every order of this buyer."""
        return _bearer(rng.choice((self._forged, self._expired_one, self._foreign, self._of_another))(user))

    def _own(self, user: str) -> str:
        return self._tokens.sign(user, self._expires)

    def _forged(self, user: str) -> str:
        """The buyer's name on a token that was signed for somebody else."""
        return f"{self._own(user).rpartition('.')[0]}.{self._of_another(user).rpartition('.')[2]}"

    def _expired_one(self, user: str) -> str:
        return self._tokens.sign(user, self._expired)

    def _foreign(self, user: str) -> str:
        """As another installation signs it."""
        return self._stranger.sign(user, self._expires)

    def _of_another(self, user: str) -> str:
        """A genuine token, but of another buyer."""
        return self._own(f"{user}-other")


def user_name(number: int) -> str:
    return f"u{number}"


def _bearer(token: str) -> Headers:
    return {"authorization": f"Bearer {token}"}

"""How the buyers of a crowd prove who they are, and how impostors try to. Pure: whoever calls gives the time."""

from collections.abc import Callable, Sequence
from enum import StrEnum

from flashsale_core.buyer_token import BuyerTokens

TOKEN_SECONDS = 86_400
EXPIRED_SECONDS = 60
Proof = Callable[[str], str]
"""Returns the Authorization header of a buyer's requests; empty if there is none."""


class Identity(StrEnum):
    """What the crowd bears: the modes of FLASHSALE_IDENTITY that a load generator can satisfy."""

    BODY = "body"
    TOKEN = "token"  # noqa: S105 - a mode
    SERVICE = "service"


def nothing(_: str) -> str:
    return ""


def service_key(key: str) -> Proof:
    return lambda _: f"Bearer {key}"


def buyer_token(tokens: BuyerTokens, now: float) -> Proof:
    """`now` is in seconds since the Unix epoch."""
    expires = int(now) + TOKEN_SECONDS
    return lambda user: f"Bearer {tokens.sign(user, expires)}"


def impostures(tokens: BuyerTokens, stranger: BuyerTokens, now: float) -> Sequence[Proof]:
    """Proofs that must be refused for every buyer; `stranger` signs for another installation."""
    own, foreign = buyer_token(tokens, now), buyer_token(stranger, now)

    def forged(user: str) -> str:
        """The user's name on a token that was signed for somebody else."""
        head, _, _ = own(user).rpartition(".")
        return f"{head}.{own(_other(user)).rpartition('.')[2]}"

    def expired(user: str) -> str:
        return f"Bearer {tokens.sign(user, int(now) - EXPIRED_SECONDS)}"

    def another_buyer(user: str) -> str:
        """A genuine token of somebody else than the buyer whom the body names."""
        return own(_other(user))

    return forged, expired, foreign, another_buyer


def _other(user: str) -> str:
    return f"{user}-other"

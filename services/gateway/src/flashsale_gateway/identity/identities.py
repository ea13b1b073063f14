"""Who sends a request, by the proof that it bears. docs/decisions/0046 gives the reasons."""

from collections.abc import Callable, Sequence
from math import inf
from time import time

import msgspec

from flashsale_core.api_keys import ApiKeys
from flashsale_core.buyer_token import BEARER, PREFIX, BuyerTokens
from flashsale_core.errors import Rejected
from flashsale_core.ids import UserId
from flashsale_gateway import metrics
from flashsale_gateway.errors import TooManyForgeries, Unauthenticated
from flashsale_gateway.identity.jwts import Jwts
from flashsale_gateway.identity.proxies import Proxies
from flashsale_gateway.identity_settings import IdentitySettings, Mode

_TOKEN_BEGINS = f"{PREFIX}.".encode()
_JWT_DOTS = 2
"""In its compact form (RFC 7515, 7.1)."""


class Caller(msgspec.Struct, frozen=True, gc=False):
    user: UserId | None
    """The buyer who was proven; None if the caller may name any buyer."""
    mode: Mode
    """Who proved it."""
    service: str = ""
    """The name of a service's key."""
    proven_until: float = inf
    """When the proof expires, if a token made from it must not outlive it; in seconds since the Unix epoch."""

    def may_see(self, owner: str) -> bool:
        """Whether the caller may see and cancel an order of `owner`."""
        return self.user is None or self.user == owner


ANYBODY = Caller(None, Mode.BODY)


class Identities:
    def __init__(self, settings: IdentitySettings, jwts: Jwts | None = None, clock: Callable[[], float] = time) -> None:
        """`jwts` is None unless the mode `jwt` is among the modes; `clock` returns seconds since the Unix epoch."""
        modes = settings.modes
        self._trusts_all = modes == {Mode.BODY}
        self._trusts_bodies = Mode.BODY in modes
        self._keys = ApiKeys(settings.service_keys if Mode.SERVICE in modes else ())
        self._tokens = BuyerTokens(settings.buyer_token_keys) if Mode.TOKEN in modes else None
        self._proxies = Proxies(settings.header_name, settings.header_networks) if Mode.HEADER in modes else None
        self._jwts = jwts
        self._seconds = settings.buyer_token_seconds
        self._clock = clock
        self.header_name = self._proxies.header_name if self._proxies is not None else b""
        """The header in which a proxy names the buyer, in lower case; empty if none does."""

    def identify(self, authorization: bytes | None, named: Sequence[bytes], peer: str) -> Caller:
        """Who sends a request with this Authorization header and these values of `header_name`, from the address `peer`.

        Raises Unauthenticated, NotReady while the keys of the identity provider are missing, and TooManyForgeries in a flood of JWTs.
        """
        if self._trusts_all:
            return ANYBODY
        try:
            return self._identify(authorization, named, peer)
        except (Rejected, Unauthenticated, TooManyForgeries) as error:
            raise _counted(error) from None

    def prove_buyer(self, authorization: bytes | None, named: Sequence[bytes], peer: str) -> UserId | None:
        """The user of `identify`'s caller, with the same errors. Each order asks, so the usual case takes fewer steps and no Caller."""
        if self._trusts_all:
            return None
        # Only a value of the proxy's header comes before a token.
        if self._tokens is None or named or authorization is None or (match := BEARER.fullmatch(authorization)) is None:
            return self.identify(authorization, named, peer).user
        try:
            return self._tokens.check(match, self._clock())
        except Rejected as error:
            raise _counted(error) from None

    def issue(self, user: str, proven_until: float = inf) -> tuple[str, int] | None:
        """A buyer token and when it expires, in seconds since the Unix epoch; None without the mode `token`.

        It never outlives the proof that it was made from. Raises Unauthenticated when that proof, within its leeway, has expired.
        """
        if self._tokens is None:
            return None
        now = int(self._clock())
        expires = int(min(now + self._seconds, proven_until))
        if expires <= now:
            raise Unauthenticated("expired")
        return self._tokens.sign(user, expires), expires

    def _identify(self, authorization: bytes | None, named: Sequence[bytes], peer: str) -> Caller:
        if self._proxies is not None and (user := self._proxies.user_of(named, peer)) is not None:
            return Caller(user, Mode.HEADER)
        if authorization is not None and authorization[:7].lower() == b"bearer ":
            bearer = authorization[7:].strip()
            if self._tokens is not None and bearer.startswith(_TOKEN_BEGINS):
                return Caller(self._tokens.verify(bearer, self._clock()), Mode.TOKEN)
            return self._other(bearer.decode("latin-1"))
        if self._trusts_bodies:
            return ANYBODY
        raise Unauthenticated("missing")

    def _other(self, token: str) -> Caller:
        """Who bears a token that is no buyer token."""
        if self._jwts is not None and token.count(".") == _JWT_DOTS:
            verified = self._jwts.verify(token)
            return Caller(verified.user, Mode.JWT, proven_until=verified.expires)
        if (name := self._keys.name_of(token)) is not None:
            return Caller(None, Mode.SERVICE, name)
        raise Unauthenticated("unknown")


def _counted(error: Rejected | Unauthenticated | TooManyForgeries) -> Unauthenticated | TooManyForgeries:
    """What to raise for `error`, which is counted by its reason."""
    if isinstance(error, TooManyForgeries):
        metrics.IDENTITY_REFUSED.labels("too_many_forgeries").inc()
        return error
    refused = Unauthenticated(error.reason) if isinstance(error, Rejected) else error
    metrics.IDENTITY_REFUSED.labels(str(refused)).inc()
    return refused

"""Verifies JWTs of an identity provider (RFC 7519, RFC 8725). The key decides the algorithm; what a token asks for only has to match it."""

from collections.abc import Callable
from hashlib import sha256
from time import time
from typing import Any

import jwt

from flashsale_core.ids import UserId
from flashsale_gateway.errors import GatewayError, NotReady, Unauthenticated
from flashsale_gateway.identity.key_set import VerificationKey
from flashsale_gateway.identity.provider_keys import ProviderKeys
from flashsale_gateway.identity.refused_tokens import RefusedTokens
from flashsale_gateway.identity.user_ids import to_user_id
from flashsale_gateway.identity.verified_tokens import Verified, VerifiedTokens
from flashsale_gateway.identity_settings import JwtSettings

BYTES_MAX = 8192
"""A longer token is refused without a look at it."""
SHARED_SECRET = "HS256"  # noqa: S105 - an algorithm


class Jwts:
    def __init__(
        self,
        settings: JwtSettings,
        keys: ProviderKeys | None,
        cache: VerifiedTokens,
        clock: Callable[[], float] = time,
    ) -> None:
        """`keys` is None if only a shared secret verifies; `clock` returns seconds since the Unix epoch."""
        self._settings = settings
        self._keys = keys
        self._cache = cache
        self._refused = RefusedTokens(settings.failures_per_second)
        self._clock = clock
        if keys is not None:
            keys.on_change = self._forget

    def verify(self, token: str) -> Verified:
        """The buyer whom a JWT names, and its `exp`. Raises Unauthenticated, and TooManyForgeries when too many others are."""
        encoded = token.encode()
        if len(encoded) > BYTES_MAX:
            raise Unauthenticated("bad_jwt")
        digest, now = sha256(encoded).digest(), self._clock()
        verified = self._cache.find(digest, now)
        if verified is None:
            self._refused.check(digest, now)
            verified = self._verify(token, digest)
        return verified

    def _verify(self, token: str, digest: bytes) -> Verified:
        try:
            claims = self._claims(token)
            verified = Verified(self._user(claims), float(claims["exp"]))
        except GatewayError:
            raise
        except jwt.ExpiredSignatureError:
            raise self._refuse(digest, "expired") from None
        except (jwt.ImmatureSignatureError, jwt.InvalidIssuedAtError):
            raise self._refuse(digest, "bad_jwt", lasting=False) from None
        except Exception:
            # Broad on purpose: whatever a hostile token does to a parser, it is refused, and it is no fault of ours.
            raise self._refuse(digest, "bad_jwt") from None
        self._cache.add(digest, verified)
        return verified

    def _refuse(self, digest: bytes, reason: str, *, lasting: bool = True) -> Unauthenticated:
        self._refused.add(digest, reason, lasting=lasting)
        return Unauthenticated(reason)

    def _forget(self) -> None:
        """The keys have changed: what was verified may be refused now, and the other way round."""
        self._cache.clear()
        self._refused.clear()

    def _claims(self, token: str) -> dict[str, Any]:
        """Raises what PyJWT raises, and Unauthenticated."""
        header = jwt.get_unverified_header(token)
        if "crit" in header:
            # RFC 7515, 4.1.11: an extension that is not understood must be refused, and none is.
            raise Unauthenticated("bad_jwt")
        algorithm, kid = header.get("alg"), header.get("kid", "")
        if algorithm == SHARED_SECRET and self._settings.secrets:
            return self._decode_with_secrets(token)
        if self._keys is not None and isinstance(algorithm, str) and isinstance(kid, str):
            return self._decode_with_published(token, self._keys, kid, algorithm)
        raise Unauthenticated("unknown_key")

    def _decode_with_published(self, token: str, keys: ProviderKeys, kid: str, algorithm: str) -> dict[str, Any]:
        if keys.keys is None:
            raise NotReady("The keys of the identity provider have not been read yet")
        key = keys.find(kid, algorithm)
        if key is None:
            raise Unauthenticated("unknown_key")
        try:
            return self._decode(token, key)
        except jwt.InvalidSignatureError:
            # A provider may publish a new key under the id of an old one.
            keys.want()
            raise

    def _decode_with_secrets(self, token: str) -> dict[str, Any]:
        *earlier, last = self._settings.secrets
        for secret in earlier:
            try:
                return self._decode(token, VerificationKey("", SHARED_SECRET, secret))
            except jwt.InvalidSignatureError:
                continue
        return self._decode(token, VerificationKey("", SHARED_SECRET, last))

    def _decode(self, token: str, key: VerificationKey) -> dict[str, Any]:
        settings = self._settings
        return jwt.decode(
            token,
            key.key,
            algorithms=[key.algorithm],
            audience=settings.audience,
            issuer=settings.issuer,
            leeway=settings.leeway_seconds,
            options={"require": ["iss", "aud", "exp", settings.user_claim]},
        )

    def _user(self, claims: dict[str, Any]) -> UserId:
        subject = claims[self._settings.user_claim]
        if not isinstance(subject, str) or not subject:
            raise Unauthenticated("bad_jwt")
        return to_user_id(self._settings.issuer, subject)

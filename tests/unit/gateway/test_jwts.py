"""JWTs: which are accepted, whom they name, and what is kept of them."""

import base64
import hmac
import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flashsale_core.ids import UserId
from flashsale_gateway.errors import NotReady, TooManyForgeries, Unauthenticated
from flashsale_gateway.identity import key_set
from flashsale_gateway.identity.jwts import Jwts
from flashsale_gateway.identity.provider_keys import ProviderKeys
from flashsale_gateway.identity.refused_tokens import RefusedTokens
from flashsale_gateway.identity.verified_tokens import Verified, VerifiedTokens
from tests.unit.gateway.identity_provider import AUDIENCE, ISSUER, SECRET, SETTINGS, IdentityProvider

ALGORITHMS = ("HS256", "RS256", "ES256", "EdDSA")


@pytest.fixture(scope="module")
def provider() -> IdentityProvider:
    return IdentityProvider()


def verifier(provider: IdentityProvider, cache: VerifiedTokens | None = None, **changed: Any) -> Jwts:
    keys = ProviderKeys(provider.document, 300, 30)
    keys.keys = key_set.parse(provider.document())
    return Jwts(replace(SETTINGS, **changed), keys, cache if cache is not None else VerifiedTokens())


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_token_of_each_algorithm_names_its_buyer(provider: IdentityProvider, algorithm: str) -> None:
    assert verifier(provider).verify(provider.token(algorithm, "auth0|65a1")).user == "auth0|65a1"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://other.example.com/"}, {"iss": None}, {"aud": "admin"}, {"aud": None}, {"exp": None}, {"exp": 1}, {"exp": "soon"},
        {"exp": 1e400}, {"sub": None}, {"sub": ""}, {"sub": 7}, {"sub": ["ann"]}, {"nbf": 2**33},
    ],
    ids=str,
)  # fmt: skip
def test_wrong_claim_is_refused(provider: IdentityProvider, algorithm: str, claims: dict[str, Any]) -> None:
    token = signed(provider, algorithm, claims)
    with pytest.raises(Unauthenticated, match="expired" if claims.get("exp") == 1 else "bad_jwt"):
        verifier(provider).verify(token)


def signed(provider: IdentityProvider, algorithm: str, claims: dict[str, Any]) -> str:
    """A genuine signature over claims, also over those that PyJWT would not sign."""
    all_claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": int(time.time()) + 60, **claims}
    present = {name: value for name, value in all_claims.items() if value is not None}
    key = SECRET if algorithm == "HS256" else provider.private[algorithm]
    return jwt.PyJWS().encode(json.dumps(present).encode(), key, algorithm, {"kid": algorithm})


def test_audience_may_stand_among_others_and_the_claim_may_be_another(provider: IdentityProvider) -> None:
    token = provider.token("RS256", aud=["other", AUDIENCE], email="ann@example.com")
    assert verifier(provider, user_claim="email").verify(token).user == "ann@example.com"


def test_leeway_covers_the_clock_of_the_provider(provider: IdentityProvider) -> None:
    token = provider.token("ES256", exp=int(time.time()) - 20)
    assert verifier(provider, leeway_seconds=30).verify(token).user == "ann"
    with pytest.raises(Unauthenticated, match="expired"):
        verifier(provider, leeway_seconds=10).verify(token)


def test_key_verifies_its_own_algorithm_only(provider: IdentityProvider) -> None:
    """The public key as the secret of HS256 is the oldest attack on JWTs."""
    pem = provider.private["RS256"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, claims = encoded({"alg": "HS256", "kid": "RS256"}), encoded({"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": 2**33})
    forged = signed_by_hmac(pem, f"{header}.{claims}")
    none = f"{encoded({'alg': 'none', 'kid': 'RS256'})}.{claims}."
    for token in (forged, none, provider.token("ES256", kid="RS256"), provider.token("RS256", kid="ES256")):
        with pytest.raises(Unauthenticated, match=r"bad_jwt|unknown_key"):
            verifier(provider, secrets=()).verify(token)
        with pytest.raises(Unauthenticated, match=r"bad_jwt|unknown_key"):
            verifier(provider).verify(token)


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def signed_by_hmac(key: bytes, text: str) -> str:
    mac = hmac.digest(key, text.encode(), "sha256")
    return f"{text}.{base64.urlsafe_b64encode(mac).decode().rstrip('=')}"


def test_extension_that_must_be_understood_is_refused(provider: IdentityProvider) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "exp": 2**33}
    token = jwt.encode(claims, provider.private["EdDSA"], "EdDSA", {"kid": "EdDSA", "crit": ["b64"], "b64": True})
    with pytest.raises(Unauthenticated, match="bad_jwt"):
        verifier(provider).verify(token)


@pytest.mark.parametrize("token", ["..", "a.b.c", "e30.e30.e30", "eyJhbGciOiJIUzI1NiJ9..", "x" * 9000 + "..", "\u00e4.\u00e4.\u00e4"])
def test_garbage_is_refused(provider: IdentityProvider, token: str) -> None:
    with pytest.raises(Unauthenticated):
        verifier(provider).verify(token)


def test_both_secrets_are_accepted_while_they_rotate(provider: IdentityProvider) -> None:
    jwts = verifier(provider, secrets=("n" * 32, SETTINGS.secrets[0]))
    assert jwts.verify(provider.token("HS256")).user == jwts.verify(provider.token("HS256", key="n" * 32)).user == "ann"
    with pytest.raises(Unauthenticated, match="bad_jwt"):
        jwts.verify(provider.token("HS256", key="o" * 32))


def test_token_of_an_unknown_key_is_refused_and_the_keys_are_wanted(provider: IdentityProvider) -> None:
    with pytest.raises(Unauthenticated, match="unknown_key"):
        verifier(provider).verify(provider.token("RS256", kid="next"))


def test_without_keys_nothing_is_decided(provider: IdentityProvider) -> None:
    jwts = Jwts(SETTINGS, ProviderKeys(provider.document, 300, 30), VerifiedTokens())
    with pytest.raises(NotReady):
        jwts.verify(provider.token("RS256"))
    # A shared secret needs no document.
    assert jwts.verify(provider.token("HS256")).user == "ann"


def test_verified_token_is_kept_until_it_expires_or_the_keys_change(provider: IdentityProvider) -> None:
    keys, cache, now = ProviderKeys(provider.document, 300, 30), VerifiedTokens(), [time.time()]
    keys.keys = key_set.parse(provider.document())
    jwts = Jwts(SETTINGS, keys, cache, lambda: now[0])
    token = provider.token("RS256", exp=int(time.time()) + 60)
    assert jwts.verify(token).user == "ann"
    keys.keys = key_set.KeySet(())
    assert jwts.verify(token).user == "ann"
    keys.on_change()
    with pytest.raises(Unauthenticated, match="unknown_key"):
        jwts.verify(token)
    keys.keys = key_set.parse(provider.document())
    jwts.verify(token)
    keys.keys, now[0] = key_set.KeySet(()), now[0] + 60
    with pytest.raises(Unauthenticated, match="unknown_key"):
        jwts.verify(token)


def forged(provider: IdentityProvider, number: int) -> str:
    return provider.token("HS256", f"u{number}", key="y" * 32)


def test_flood_of_forged_tokens_is_not_verified_beyond_its_limit(provider: IdentityProvider) -> None:
    """Each costs a verification, and a gateway has other work; kept tokens are not held up by others."""
    keys, now = ProviderKeys(provider.document, 300, 30), [time.time()]
    keys.keys = key_set.parse(provider.document())
    jwts = Jwts(replace(SETTINGS, failures_per_second=10), keys, VerifiedTokens(), lambda: now[0])
    kept, fresh = provider.token("RS256", "kept"), provider.token("RS256", "fresh")
    jwts.verify(kept)

    def refusals(first: int) -> Counter[str]:
        return Counter(refusal(jwts, forged(provider, first + number)) for number in range(30))

    assert refusals(0) == {"bad_jwt": 10, "TooManyForgeries": 20}
    assert jwts.verify(kept).user == "kept"
    assert refusal(jwts, fresh) == "TooManyForgeries"
    # It was not counted, and the same forgery again costs nothing.
    assert refusal(jwts, forged(provider, 0)) == "bad_jwt"
    now[0] += 0.5
    assert jwts.verify(fresh).user == "fresh"
    assert refusals(100) == {"bad_jwt": 5, "TooManyForgeries": 25}
    now[0] += 3600
    assert refusals(200)["bad_jwt"] == 10


def refusal(jwts: Jwts, token: str) -> str:
    try:
        jwts.verify(token)
    except Unauthenticated as error:
        return str(error)
    except TooManyForgeries as error:
        return type(error).__name__
    return "accepted"


def test_unknown_keys_and_genuine_tokens_use_up_no_limit(provider: IdentityProvider) -> None:
    """After a rotation, all new tokens have an unknown key for some seconds; those of the old key must stay good."""
    jwts = verifier(provider, failures_per_second=1)
    assert Counter(refusal(jwts, provider.token("RS256", f"u{number}", kid="next")) for number in range(20)) == {"unknown_key": 20}
    assert Counter(refusal(jwts, provider.token("ES256", f"u{number}")) for number in range(20)) == {"accepted": 20}


def test_refusal_is_forgotten_when_keys_change_or_time_may_cure_it(provider: IdentityProvider) -> None:
    keys, now = ProviderKeys(provider.document, 300, 30), [time.time()]
    keys.keys = key_set.parse(IdentityProvider().document())
    jwts = Jwts(SETTINGS, keys, VerifiedTokens(), lambda: now[0])
    token, early = provider.token("RS256"), provider.token("HS256", nbf=int(time.time()) + 1)
    assert (refusal(jwts, token), refusal(jwts, early)) == ("bad_jwt", "bad_jwt")
    assert len(jwts._refused) == 1
    keys.keys = key_set.parse(provider.document())
    assert refusal(jwts, token) == "bad_jwt"
    keys.on_change()
    assert refusal(jwts, token) == "accepted"
    refused = RefusedTokens(10, entries_max=2)
    for name in (b"a", b"b", b"c"):
        refused.add(name, "bad_jwt", lasting=name != b"b")
    assert len(refused) == 2
    refused.add(b"d", "bad_jwt", lasting=True)
    refused.check(b"a", 1)
    with pytest.raises(Unauthenticated, match="bad_jwt"):
        refused.check(b"d", 1)


def test_kept_tokens_are_bounded() -> None:
    cache = VerifiedTokens(entries_max=2)
    for name in ("a", "b", "c"):
        cache.add(name.encode(), Verified(UserId(name), 10))
    assert (len(cache), cache.find(b"a", 1), cache.find(b"c", 1), cache.find(b"c", 10)) == (2, None, ("c", 10), None)

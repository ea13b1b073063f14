"""Who sends a request: what each mode accepts, and that nothing forged is accepted."""

import asyncio
import base64
import hmac
import ipaddress
import json
import random
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import prometheus_client
import pytest
from starlette.types import Message

from flashsale_core.api_keys import ApiKey
from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.ids import UserId
from flashsale_core.scripts import Order
from flashsale_core.settings import Environment
from flashsale_core.tracing import Tracing, configure_tracing
from flashsale_gateway import metrics
from flashsale_gateway.batching import Admission, Answers, Batch, Batcher
from flashsale_gateway.errors import Unauthenticated
from flashsale_gateway.http.sessions import open_session
from flashsale_gateway.http.translation import REASONS, problem_of
from flashsale_gateway.identity import key_set
from flashsale_gateway.identity.identities import ANYBODY, Caller, Identities
from flashsale_gateway.identity.jwts import Jwts
from flashsale_gateway.identity.provider_keys import ProviderKeys
from flashsale_gateway.identity.user_ids import to_user_id
from flashsale_gateway.identity.verified_tokens import VerifiedTokens
from flashsale_gateway.identity_settings import IdentitySettings, Mode
from flashsale_gateway.orders import Orders
from flashsale_gateway.outbox.monitor import Lag
from flashsale_gateway.settings import read_settings
from flashsale_gateway.store import Result
from tests.unit.gateway.identity_provider import SETTINGS, IdentityProvider

KEY, SHOP = b"k" * 32, "s" * 32
NOW = time.time()
TOKENS = BuyerTokens([KEY])
FORGERIES = 10_000


@pytest.fixture(scope="module")
def provider() -> IdentityProvider:
    return IdentityProvider()


@pytest.fixture(scope="module")
def jwts(provider: IdentityProvider) -> Jwts:
    keys = ProviderKeys(provider.document, 300, 30)
    keys.keys = key_set.parse(provider.document())
    return Jwts(SETTINGS, keys, VerifiedTokens())


def settings(*modes: Mode) -> IdentitySettings:
    proxies = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))
    jwt = SETTINGS if Mode.JWT in modes else None
    return IdentitySettings(frozenset(modes), (ApiKey("shop", SHOP),), (KEY,), 3600, jwt, "X-Auth-Request-User", proxies)


def bearer(token: str) -> bytes:
    return f"Bearer {token}".encode()


def test_each_proof_names_its_caller(provider: IdentityProvider, jwts: Jwts) -> None:
    identities = Identities(settings(Mode.SERVICE, Mode.TOKEN, Mode.JWT, Mode.HEADER), jwts)
    assert identities.identify(bearer(SHOP), (), "") == Caller(None, Mode.SERVICE, "shop")
    assert identities.identify(bearer(TOKENS.sign("ann", int(NOW) + 3600)), (), "") == Caller(UserId("ann"), Mode.TOKEN)
    jwt = provider.token("ES256", "auth0|1", exp=int(NOW) + 3600)
    assert identities.identify(bearer(jwt), (), "") == Caller(UserId("auth0|1"), Mode.JWT, proven_until=int(NOW) + 3600)
    assert identities.identify(None, (b"bob",), "10.1.2.3") == Caller(UserId("bob"), Mode.HEADER)
    assert identities.identify(b"BEARER  " + SHOP.encode() + b" ", (), "").service == "shop"


@pytest.mark.parametrize("mode", [Mode.SERVICE, Mode.TOKEN, Mode.HEADER])
def test_proof_of_another_mode_is_refused(mode: Mode) -> None:
    proofs = {
        Mode.SERVICE: (bearer(SHOP), ()),
        Mode.TOKEN: (bearer(TOKENS.sign("ann", int(NOW) + 3600)), ()),
        Mode.HEADER: (None, (b"bob",)),
    }
    identities = Identities(settings(mode))
    for other, (authorization, named) in proofs.items():
        if other is mode:
            identities.identify(authorization, named, "10.0.0.1")
        else:
            with pytest.raises(Unauthenticated):
                identities.identify(authorization, named, "10.0.0.1")


def test_mode_body_trusts_whoever_sends_no_proof_and_checks_a_proof(jwts: Jwts) -> None:
    alone, among_others = Identities(settings(Mode.BODY)), Identities(settings(Mode.BODY, Mode.TOKEN))
    forged = bearer(BuyerTokens([b"x" * 32]).sign("ann", int(NOW) + 3600))
    assert alone.identify(forged, (), "") == among_others.identify(None, (), "") == among_others.identify(b"Basic YQ==", (), "") == ANYBODY
    with pytest.raises(Unauthenticated, match="forged"):
        among_others.identify(forged, (), "")


@pytest.mark.parametrize("peer", ["10.0.0.1", "10.255.0.9", "::ffff:10.0.0.1", "fd00::1"])
def test_header_of_a_listed_proxy_names_the_buyer(peer: str) -> None:
    assert Identities(settings(Mode.HEADER)).identify(None, (b" ann ",), peer).user == "ann"


@pytest.mark.parametrize(
    ("named", "peer", "reason"),
    [
        ((b"ann",), "11.0.0.1", "missing"), ((b"ann",), "", "missing"), ((b"ann",), "fe80::1%eth0", "missing"),
        ((b"ann",), "::ffff:11.0.0.1", "missing"), ((b"",), "10.0.0.1", "missing"), ((), "10.0.0.1", "missing"),
        ((b"ann", b"bob"), "10.0.0.1", "two_headers"), ((b"ann", b"ann"), "10.0.0.1", "two_headers"),
    ],
)  # fmt: skip
def test_header_of_anybody_else_and_a_second_one_are_refused(named: tuple[bytes, ...], peer: str, reason: str) -> None:
    with pytest.raises(Unauthenticated, match=reason):
        Identities(settings(Mode.HEADER, Mode.TOKEN)).identify(None, named, peer)


def test_subject_that_does_not_fit_is_mapped_and_no_other_maps_to_it() -> None:
    fitting = ["auth0|65a1", "eu-central-1:4f9d2c1e", "o'brien@example.com", "a" * 255, "u_short"]
    assert [to_user_id("i", subject) for subject in fitting] == fitting
    odd = ["a b", "#a", '"', "\\", "", "ä", "a" * 256, "a\n", "\ud800", 'x","y":"z', "u_" + "a" * 22]
    mapped = [to_user_id("i", subject) for subject in odd]
    assert len(set(mapped)) == len(odd)
    assert all(len(user) == 24 and user.startswith("u_") and user.isascii() for user in mapped)
    assert to_user_id("i", "a b") != to_user_id("j", "a b")
    assert to_user_id("i", mapped[0]) != mapped[0]


def test_every_refusal_has_its_words_and_its_challenge() -> None:
    for reason in REASONS:
        problem = problem_of(Unauthenticated(reason))
        assert problem is not None
        assert (problem.status, problem.code, problem.document["reason"]) == (401, "unauthenticated", reason)
        challenge = problem.headers["www-authenticate"]
        assert challenge == ("Bearer" if reason == "missing" else f'Bearer error="invalid_token", error_description="{reason}"')


def test_session_token_is_the_buyers_until_it_expires() -> None:
    issued = Identities(settings(Mode.TOKEN), clock=lambda: 1000.0).issue("auth0|1")
    assert issued is not None
    token, expires = issued
    assert (TOKENS.verify(token.encode(), expires - 1), expires) == ("auth0|1", 4600)
    assert Identities(settings(Mode.SERVICE)).issue("ann") is None


def test_session_token_never_outlives_its_jwt() -> None:
    identities = Identities(settings(Mode.TOKEN), clock=lambda: 1000.0)
    expiries = [issued[1] for until in (1001.5, 4599, 4600, 9999) if (issued := identities.issue("ann", until)) is not None]
    assert expiries == [1001, 4599, 4600, 4600]
    # Its leeway accepts a JWT a little longer, but there is no time left to give.
    for until in (1000.0, 990.0):
        with pytest.raises(Unauthenticated, match="expired"):
            identities.issue("ann", until)


@pytest.mark.parametrize(
    "modes", [{Mode.TOKEN}, {Mode.TOKEN, Mode.SERVICE, Mode.HEADER}, {Mode.TOKEN, Mode.BODY}, {Mode.SERVICE}, {Mode.BODY}]
)
def test_order_is_judged_as_any_other_request(modes: set[Mode], provider: IdentityProvider) -> None:
    identities, genuine = Identities(settings(*modes)), TOKENS.sign("auth0|1", int(NOW) + 3600)
    schemes = ("bearer ", "BEARER ", "Bearer  ", "Bearer", "", "Bearer Bearer ")
    proofs = [
        None, b"", b"Bearer", b"Bearer ", b"Basic YQ==", bearer(SHOP), bearer(genuine),
        *(f"{scheme}{genuine}{end}".encode() for scheme in schemes for end in ("", " ")),
        *(f"Bearer {genuine}{end}".encode() for end in (" ", "\t", "\n", "a", ".", "\0")),
        *map(bearer, islice(forgeries(provider, random.Random(23)), 200)),
    ]  # fmt: skip
    for authorization in proofs:
        for named, peer in (((), "10.0.0.1"), ((b"bob",), "10.0.0.1"), ((b"bob",), "11.0.0.1"), ((b"",), "10.0.0.1")):
            of_order, of_request = (judged(identities, authorization, named, peer, for_order=for_order) for for_order in (True, False))
            assert of_order == of_request


def judged(identities: Identities, authorization: bytes | None, named: tuple[bytes, ...], peer: str, *, for_order: bool) -> object:
    """The buyer, or the reason of the refusal with how often each reason was counted for it."""
    before = counted(metrics.IDENTITY_REFUSED)
    try:
        if for_order:
            return identities.prove_buyer(authorization, named, peer)
        return identities.identify(authorization, named, peer).user
    except Unauthenticated as error:
        return str(error), counted(metrics.IDENTITY_REFUSED) - before


class Shop:
    """The order endpoint of a gateway without Redis, which accepts every order."""

    def __init__(self, folder: Path, identities: Identities, tracing: Tracing) -> None:
        variables = {
            "REDIS_URL": "redis://r", "AMQP_URL": "amqp://a", "FLASHSALE_LUA_DIR": str(folder), "FLASHSALE_ORDER_ID_KEY": "k" * 32,
            "FLASHSALE_ADMIN_TOKEN": "t" * 16, "FLASHSALE_IDENTITY": "body", "FLASHSALE_WEBHOOK_SECRET": "whsec_" + "QUFB" * 8,
        }  # fmt: skip
        self.accepted: list[Order] = []
        batcher: Batcher[Order, Result] = Batcher(self._reserve, 256, Admission(100_000), lambda _: 0)
        self._settings, self._identities = read_settings(Environment(variables)), identities
        self._orders = Orders(batcher, Lag(1000), self._settings, tracing, identities)

    async def _reserve(self, sales: Batch[Order]) -> Answers[Result]:
        self.accepted += [order for _, orders in sales for order in orders]
        return [["accepted", "R", 1_800_000_000_000] for _, orders in sales for _ in orders]

    async def order(self, authorization: bytes | None, **fields: Any) -> tuple[int, str]:
        """(status, code) of an order."""
        body = json.dumps({"productId": "shoe", "quantity": 1, "requestId": "r1", **fields}).encode()
        headers = [(b"content-type", b"application/json"), *([(b"authorization", authorization)] if authorization is not None else [])]
        decided: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        pending = None
        try:
            pending = self._orders.accept(headers, body, decided, "192.0.2.1")
            return self._orders.answer(pending, await decided).status, ""
        except Exception as error:
            answer = self._orders.fail(error, pending)
            return answer.status, json.loads(answer.body)["code"]

    async def session(self, authorization: bytes) -> str:
        """The code of the refusal of a session; empty for a token."""

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        try:
            scope = {"type": "http", "headers": [(b"authorization", authorization)], "client": ("192.0.2.1", 1)}
            await open_session(self._identities, scope, receive, self._settings)
        except Exception as error:
            problem = problem_of(error)
            return problem.code if problem is not None else "internal"
        return ""


@pytest.fixture(scope="module")
def tracing() -> Tracing:
    return configure_tracing("test")


async def test_proven_buyer_needs_no_user_id_and_cannot_be_another(tmp_path: Path, tracing: Tracing) -> None:
    shop = Shop(tmp_path, Identities(settings(Mode.TOKEN, Mode.SERVICE)), tracing)
    token = bearer(TOKENS.sign("ann", int(NOW) + 3600))
    assert await shop.order(token) == await shop.order(token, userId="ann") == await shop.order(token, userId=None) == (200, "")
    assert await shop.order(token, userId="bob") == (403, "identity_mismatch")
    assert await shop.order(bearer(SHOP), userId="bob") == (200, "")
    assert await shop.order(bearer(SHOP)) == (400, "bad_request")
    assert await shop.order(None, userId="ann") == (401, "unauthenticated")


async def test_orders_of_one_turn_are_proven_each_by_itself(tmp_path: Path, tracing: Tracing, monkeypatch: pytest.MonkeyPatch) -> None:
    identities = Identities(settings(Mode.TOKEN))
    shop = Shop(tmp_path, identities, tracing)
    proven, users = identities.prove_buyer, ("ann", "bob", "eve", "zoe")
    genuine = {user: bearer(TOKENS.sign(user, int(NOW) + 3600)) for user in users}

    def prove(authorization: bytes | None, named: Sequence[bytes], peer: str) -> UserId | None:
        if authorization == genuine["eve"]:
            raise RuntimeError("a fault of ours")
        return proven(authorization, named, peer)

    monkeypatch.setattr(identities, "prove_buyer", prove)
    answers = await asyncio.gather(
        shop.order(genuine["ann"]),
        shop.order(genuine["bob"][:-1] + b"."),
        shop.order(genuine["bob"], userId="ann"),
        shop.order(genuine["eve"]),
        shop.order(genuine["zoe"]),
    )
    assert list(answers) == [(200, ""), (401, "unauthenticated"), (403, "identity_mismatch"), (500, "internal"), (200, "")]
    assert [order.user_id for order in shop.accepted] == ["ann", "zoe"]


async def test_whose_order_it_is_comes_before_what_is_wrong_with_it(tmp_path: Path, tracing: Tracing) -> None:
    shop = Shop(tmp_path, Identities(settings(Mode.TOKEN)), tracing)
    genuine, forged = bearer(TOKENS.sign("ann", int(NOW) + 3600)), bearer("fsb1.ann")
    for wrong in ({"quantity": 0}, {"quantity": 10**9}, {"requestId": None}):
        assert await shop.order(forged, **wrong) == (401, "unauthenticated")
        assert await shop.order(genuine, **wrong) == (400, "bad_request")
    assert await shop.order(genuine, userId="bob", requestId=None) == (403, "identity_mismatch")


async def test_ten_thousand_forgeries_are_refused(tmp_path: Path, provider: IdentityProvider, jwts: Jwts, tracing: Tracing) -> None:
    shop = Shop(tmp_path, Identities(settings(Mode.TOKEN, Mode.JWT, Mode.SERVICE), jwts), tracing)
    forged = forgeries(provider, random.Random(17))
    answers = Counter([await shop.order(bearer(next(forged)), userId="ann") for _ in range(FORGERIES)])
    assert answers == {(401, "unauthenticated"): FORGERIES}
    assert shop.accepted == []
    # The same endpoint accepts what is genuine.
    assert await shop.order(bearer(provider.token("RS256")), userId="ann") == (200, "")


def forgeries(provider: IdentityProvider, chance: random.Random) -> Iterator[str]:
    """Tokens that nobody of this shop signed, or that are not for it or not for now."""
    foreign, expired = BuyerTokens([b"x" * 32]), int(NOW) - 1
    stranger = IdentityProvider()
    genuine = TOKENS.sign("ann", int(NOW) + 3600)
    jwts = {algorithm: provider.token(algorithm, exp=int(NOW) + 3600) for algorithm in ("HS256", "RS256", "ES256", "EdDSA")}
    # Signing takes longer than refusing: these few are sent again and again.
    signed = [
        *(provider.token(algorithm, **claims) for algorithm in jwts for claims in ({"aud": "admin"}, {"iss": "x"}, {"exp": expired})),
        *(stranger.token(algorithm, kid=algorithm) for algorithm in provider.private), provider.token("HS256", key="y" * 32),
    ]  # fmt: skip
    while True:
        jwt = chance.choice(list(jwts.values()))
        header, claims, signature = jwt.split(".")
        public = json.dumps(chance.choice(provider.published())).encode()
        yield from (
            f"{encoded({'alg': chance.choice(['none', 'None', 'nOnE', '']), 'kid': 'RS256'})}.{claims}.",
            f"{encoded({'alg': 'none'})}.{claims}.{signature}",
            hmac_over(public, f"{encoded({'alg': 'HS256', 'kid': chance.choice(list(jwts))})}.{claims}"),
            f"{encoded({'alg': chance.choice(list(jwts)), 'kid': chance.choice(list(jwts))})}.{claims}.{signature}",
            jwt[: chance.randrange(len(header) + 1, len(jwt))],
            f"{header}.{encoded({'sub': 'bob', 'iss': SETTINGS.issuer, 'aud': SETTINGS.audience, 'exp': 2**33})}.{signature}",
            chance.choice(signed),
            foreign.sign("ann", int(NOW) + 3600),
            TOKENS.sign("ann", expired),
            genuine[: chance.randrange(5, len(genuine))],
            genuine.replace("ann", chance.choice(["bob", "ANN", "~61nn", "ann~00"])),
            changed(genuine, chance),
            SHOP[: chance.randrange(1, len(SHOP))],
            "".join(chance.choices("abc.~|\u00e4\u00ff=", k=chance.randrange(1, 60))),
        )


def changed(token: str, chance: random.Random) -> str:
    place = chance.randrange(len(token))
    return token[:place] + ("x" if token[place] != "x" else "y") + token[place + 1 :]


def encoded(document: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def hmac_over(key: bytes, text: str) -> str:
    return f"{text}.{base64.urlsafe_b64encode(hmac.digest(key, text.encode(), 'sha256')).decode().rstrip('=')}"


async def test_flood_of_forged_jwts_gets_no_5xx_and_holds_up_no_buyer_token(
    tmp_path: Path, provider: IdentityProvider, tracing: Tracing
) -> None:
    jwts = Jwts(replace(SETTINGS, failures_per_second=1), None, VerifiedTokens(), lambda: NOW)
    shop, key = Shop(tmp_path, Identities(settings(Mode.TOKEN, Mode.JWT), jwts), tracing), "y" * 32
    before = counted(metrics.ORDERS)
    answers = [await shop.order(bearer(provider.token("HS256", f"u{number}", key=key))) for number in range(3)]
    assert counted(metrics.ORDERS) - before == {"unauthenticated": 1, "too_many_forgeries": 2}
    assert answers == [(401, "unauthenticated"), (429, "too_many_forgeries"), (429, "too_many_forgeries")]
    assert await shop.order(bearer(TOKENS.sign("ann", int(NOW) + 3600))) == (200, "")


async def test_sessions_are_counted_by_result(tmp_path: Path, provider: IdentityProvider, tracing: Tracing) -> None:
    jwts = Jwts(replace(SETTINGS, failures_per_second=1), None, VerifiedTokens(), lambda: NOW)
    shop = Shop(tmp_path, Identities(settings(Mode.TOKEN, Mode.JWT), jwts), tracing)
    without_tokens = Shop(tmp_path, Identities(settings(Mode.JWT), jwts), tracing)
    genuine = bearer(provider.token("HS256"))
    forged = [bearer(provider.token("HS256", f"u{number}", key="y" * 32)) for number in range(2)]
    before = counted(metrics.SESSIONS)
    assert [await shop.session(proof) for proof in (genuine, *forged)] == ["", "unauthenticated", "too_many_forgeries"]
    assert await without_tokens.session(genuine) == "not_found"
    assert counted(metrics.SESSIONS) - before == {"issued": 1, "unauthenticated": 1, "too_many_forgeries": 1, "not_found": 1}


def counted(metric: prometheus_client.Counter) -> Counter[str]:
    """How often each value of its only label was counted."""
    samples = next(iter(metric.collect())).samples
    return Counter({value: int(sample.value) for sample in samples if sample.name.endswith("_total") for value in sample.labels.values()})


def test_refused_proofs_are_counted_by_reason() -> None:
    before = metrics.IDENTITY_REFUSED.labels("forged")._value.get()
    with pytest.raises(Unauthenticated):
        Identities(replace(settings(Mode.TOKEN), buyer_token_keys=(b"n" * 32,))).identify(bearer(TOKENS.sign("ann", 2**33)), (), "")
    assert metrics.IDENTITY_REFUSED.labels("forged")._value.get() == before + 1

"""A gateway that has buyers prove who they are, on the real stores: orders, owners, sessions, and limits that nobody can multiply."""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_local_stack import Stack
from tests.integration.client import JSON, Answer, Client
from tests.integration.gateways import gateway_on
from tests.unit.gateway.identity_provider import AUDIENCE, ISSUER, IdentityProvider

IDENTITIES = 100
PROVIDER = IdentityProvider()


class Shop(Client):
    """A client that proves who it is."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        super().__init__(env)
        self._log = log
        self._tokens = BuyerTokens([env["FLASHSALE_BUYER_TOKEN_KEY"].encode()])
        self.service = {"authorization": f"Bearer {env['FLASHSALE_SERVICE_KEYS'].partition(':')[2]}"}

    def of(self, user: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self._tokens.sign(user, int(time.time()) + 600)}"}

    def logged(self, fields: Mapping[str, str]) -> list[tuple[str, str, str]]:
        """(by, action, result) of each action of a service with these fields."""
        lines = [json.loads(line) for line in self._log.read_text().splitlines() if '"service.action"' in line]
        return [(line["by"], line["action"], line["result"]) for line in lines if fields.items() <= line.items()]

    def buy(self, sale: str, proof: Mapping[str, str] | None, request: str = "r1", **fields: Any) -> Answer:
        return self.json("POST", "/order", {"productId": sale, "quantity": 1, "requestId": request, **fields}, proof)


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder = tmp_path_factory.mktemp("identity")
    (folder / "jwks.json").write_bytes(PROVIDER.document())
    env = stack.env() | {
        "FLASHSALE_IDENTITY": "service,token,jwt,header", "FLASHSALE_JWT_JWKS_FILE": str(folder / "jwks.json"),
        "FLASHSALE_JWT_ISSUER": ISSUER, "FLASHSALE_JWT_AUDIENCE": AUDIENCE, "FLASHSALE_IDENTITY_HEADER_FROM": "127.0.0.0/8",
    }  # fmt: skip
    with gateway_on(env, folder / "gateway.log") as gateway:
        yield Shop(env | {"FLASHSALE_URL": gateway.url}, gateway.log)


@pytest.fixture(scope="module")
def sale(shop: Shop) -> str:
    return shop.new_sale(1000)


def test_each_proof_orders_and_none_is_refused_with_a_challenge(shop: Shop, sale: str) -> None:
    bearer = {"authorization": f"Bearer {PROVIDER.token('ES256', 'auth0|7')}"}
    answers = [
        shop.buy(sale, shop.of("ann")), shop.buy(sale, bearer), shop.buy(sale, {"x-auth-request-user": "odd name"}),
        shop.buy(sale, shop.service, userId="bob"),
    ]  # fmt: skip
    assert [answer.status for answer in answers] == [200] * 4
    refused = shop.buy(sale, None, userId="ann")
    assert (refused.status, refused.code, refused.headers["www-authenticate"]) == (401, "unauthenticated", "Bearer")
    expired = shop.buy(sale, {"authorization": "Bearer fsb1.ann.1.AAAAAAAAAAAAAAAAAAAAAAAA"})
    assert (expired.status, "invalid_token" in expired.headers["www-authenticate"]) == (401, True)
    # A repeat of the same buyer's request is the same order, whoever proves it.
    assert shop.buy(sale, shop.service, userId="auth0|7").body["orderId"] == answers[1].body["orderId"]


def test_proof_is_checked_off_the_fast_path_too(shop: Shop, sale: str) -> None:
    """A body in chunks goes through ASGI."""

    def chunked(proof: Mapping[str, str], user: str | None) -> Answer:
        body = json.dumps({"productId": sale, "quantity": 1, "requestId": "chunks", "userId": user}).encode()
        return shop.send("POST", "/order", iter([body[:9], body[9:]]), {**JSON, **proof})  # type: ignore[arg-type] # http.client chunks it

    assert (chunked(shop.of("cem"), None).status, chunked(shop.of("cem"), "dan").status, chunked({}, "dan").status) == (200, 403, 401)


def test_order_of_somebody_else_looks_like_none(shop: Shop, sale: str) -> None:
    order = shop.buy(sale, shop.of("eve")).body["orderId"]
    path, none = f"/orders/{order}", f"/orders/{sale}.{'A' * 20}"
    for method in ("GET", "DELETE"):
        stranger, missing = (shop.send(method, target, headers=shop.of("mallory")) for target in (path, none))
        assert (stranger.status, stranger.code) == (missing.status, missing.code) == (404, "unknown_order")
        assert stranger.raw.replace(order.encode(), b"") == missing.raw.replace(none[8:].encode(), b"")
        assert shop.send(method, path).status == 401
    assert shop.send("GET", path, headers=shop.of("eve")).body["state"] == "reserved"
    assert shop.send("GET", path, headers=shop.service).body["state"] == "reserved"
    assert shop.send("DELETE", path, headers=shop.of("eve")).body["state"] == "cancelled"
    assert shop.send("DELETE", path, headers=shop.service).headers["idempotent-replayed"] == "true"


def test_session_exchanges_a_proof_for_a_buyer_token(shop: Shop, sale: str) -> None:
    of_backend = shop.json("POST", "/session", {"userId": "finn"}, shop.service)
    of_provider = shop.send("POST", "/session", headers={"authorization": f"Bearer {PROVIDER.token('EdDSA', 'an odd subject')}"})
    assert (of_backend.body["userId"], of_provider.body["userId"][:2]) == ("finn", "u_")
    for session in (of_backend, of_provider):
        proof = {"authorization": f"Bearer {session.body['token']}"}
        assert (session.headers["cache-control"], shop.buy(sale, proof).status) == ("no-store", 200)
        assert shop.send("POST", "/session", headers=proof).code == "unauthenticated"
    assert shop.send("POST", "/session").status == 401
    assert shop.json("POST", "/session", {"userId": "gus"}, shop.of("finn")).status == 401
    assert shop.json("POST", "/session", {}, shop.service).body["field"] == "userId"


def test_sessions_and_cancellations_of_a_service_are_logged_with_its_name(shop: Shop, sale: str) -> None:
    order, service = shop.buy(sale, shop.of("hal")).body["orderId"], shop.env["FLASHSALE_SERVICE_KEYS"].partition(":")[0]
    for proof in (shop.service, shop.of("hal")):
        assert shop.send("DELETE", f"/orders/{order}", headers=proof).status == 200
    assert shop.json("POST", "/session", {"userId": "hal"}, shop.service).status == 200
    assert shop.logged({"order_id": order, "sale": sale}) == [(service, "order.cancel", "cancelled")]
    assert shop.logged({"user_id": "hal"}) == [(service, "session.open", "opened")]


def test_session_ends_with_the_jwt_that_it_was_made_from(shop: Shop) -> None:
    until = int(time.time()) + 120
    session = shop.send("POST", "/session", headers={"authorization": f"Bearer {PROVIDER.token('RS256', exp=until)}"})
    assert (session.status, session.body["expiresAt"]) == (200, rfc3339_of_ms(until * 1000))
    assert session.body["token"].split(".")[2] == str(until)


def test_identities_that_change_the_user_id_get_their_own_limits_only(shop: Shop) -> None:
    sale = shop.new_sale(10 * IDENTITIES, maxPerUser=1)
    answers: Counter[tuple[int, str]] = Counter()
    for number in range(IDENTITIES):
        proof = shop.of(f"id-{number}")
        asked = [
            shop.buy(sale, proof, "1"),
            shop.buy(sale, proof, "2"),
            shop.buy(sale, proof, "3", userId=f"other-{number}"),
            shop.buy(sale, proof, "4", userId=f"id-{(number + 1) % IDENTITIES}"),
        ]
        answers.update((answer.status, "" if answer.status == 200 else answer.code) for answer in asked)
    assert answers == {(200, ""): IDENTITIES, (409, "user_limit"): IDENTITIES, (403, "identity_mismatch"): 2 * IDENTITIES}
    assert shop.stock(sale) == (10 * IDENTITIES, 9 * IDENTITIES, IDENTITIES, 0)


def test_gateway_says_that_nobody_proves_anything(stack: Stack) -> None:
    log = Path(stack.home / "log" / "gateway.log").read_text()
    assert "identity.unproven" in log

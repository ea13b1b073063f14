"""A gateway in front of a Redis that recovery has not opened: it refuses every change in words, reads on, and continues by itself."""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

import pytest

from flashsale_core.buyer_token import EXPIRES_MAX, BuyerTokens
from flashsale_core.fence import SEQ_JUMP, read_attestations
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys, shard_of
from flashsale_local_stack import wait_until
from tests.fences import empty, open_now
from tests.integration.client import Answer, Client
from tests.integration.gateways import gateway_on
from tests.integration.stores import redis_client

WAIT_SECONDS = 60.0
LATER_SEQS = count(SEQ_JUMP, SEQ_JUMP)


@pytest.fixture(scope="module")
def server(infra: Mapping[str, str]) -> Iterator[Any]:
    with redis_client(infra["REDIS_URL"]) as client:
        empty(client)
        yield client


@pytest.fixture(scope="module")
def gateway(infra: Mapping[str, str], server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with gateway_on(infra, tmp_path_factory.mktemp("fenced") / "gateway.log") as running:
        yield Client({**infra, "FLASHSALE_URL": running.url})


@pytest.fixture
def sale(gateway: Client, server: Any) -> Iterator[str]:
    yield gateway.new_sale(5)
    set_everywhere(server, installation="", shards=0)
    # Behind everything that the gateway was answered before a test emptied Redis.
    open_now(server, next(LATER_SEQS))
    assert wait_until(lambda: gateway.get("/readyz").status == 200, WAIT_SECONDS)


def set_everywhere(server: Any, **fields: Any) -> None:
    for shard in range(SHARDS_DEFAULT):
        server.hset(shard_keys(shard).fence, mapping=fields)


def proof_of(gateway: Client, user: str) -> dict[str, str]:
    tokens = BuyerTokens([gateway.env["FLASHSALE_BUYER_TOKEN_KEY"].encode()])
    return {"authorization": f"Bearer {tokens.sign(user, EXPIRES_MAX)}"}


def changes(gateway: Client, sale: str, order_id: str) -> dict[str, Answer]:
    return {
        "order": gateway.order(sale, "bob"),
        "payment": gateway.pay(order_id, "p1"),
        "cancel": gateway.send("DELETE", f"/orders/{order_id}"),
        # A Redis that is not open may lack orders, so nobody is told that one is unknown, and a proven buyer is not either.
        "cancel of a missing order": gateway.send("DELETE", f"/orders/{sale}.{'A' * 20}", headers=proof_of(gateway, "ann")),
        "stock": gateway.admin({"productId": sale, "stock": 9}),
        "new sale": gateway.admin({"productId": f"{sale}-new", "stock": 9}),
        "end": gateway.end_sale(sale),
    }


def missing(gateway: Client, sale: str) -> dict[str, Answer]:
    """Looks for what Redis does not have."""
    paths = {"order": f"/orders/{sale}.{'A' * 20}", "sale": f"/sales/{sale}-other", "list of sales": "/sales"}
    return {name: gateway.get(path) for name, path in paths.items()}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [({"replid": "0" * 40}, "another server was promoted"), ({"state": "restoring"}, "is being rebuilt from the ledger")],
    ids=["history", "restoring"],
)
def test_closed_fence_refuses_changes_and_allows_reads(
    gateway: Client, server: Any, sale: str, fields: dict[str, str], reason: str
) -> None:
    order_id = gateway.order(sale, "ann").body["orderId"]
    set_everywhere(server, **fields)
    answers = changes(gateway, sale, order_id)
    assert {name: (answer.status, answer.code, answer.headers["retry-after"]) for name, answer in answers.items()} == dict.fromkeys(
        answers, (503, "recovering", "2")
    )
    assert {reason in answer.body["detail"] for answer in answers.values()} == {True}
    assert wait_until(lambda: gateway.get("/readyz").status == 503, WAIT_SECONDS)
    assert reason in gateway.get("/readyz").body["detail"]
    assert gateway.stock(sale) == (5, 4, 1, 0)
    assert gateway.get(f"/orders/{order_id}").body["state"] == "reserved"
    assert reason in missing(gateway, sale)["order"].body["detail"]
    open_now(server)
    assert wait_until(lambda: gateway.get("/readyz").status == 200, WAIT_SECONDS)
    assert gateway.order(sale, "bob").status == 200


def test_emptied_redis_sells_nothing_and_creates_no_sale(gateway: Client, server: Any, sale: str) -> None:
    server.flushall()
    answers = gateway.order(sale, "ann"), gateway.admin({"productId": sale, "stock": 5})
    assert {(answer.status, answer.code) for answer in answers} == {(503, "recovering")}
    assert {name: (answer.status, answer.code) for name, answer in missing(gateway, sale).items()} == {
        "order": (503, "recovering"),
        "sale": (503, "recovering"),
        "list of sales": (503, "recovering"),
    }
    assert wait_until(lambda: gateway.get("/readyz").status == 503, WAIT_SECONDS)
    assert server.exists(shard_keys(shard_of(sale)).sales) == 0


def test_gateway_that_was_answered_more_closes_an_older_redis(gateway: Client, server: Any, sale: str) -> None:
    """As if an old copy had come back on a server that hides its history: the fence has the replication id of now, and an older seq."""
    fence = shard_keys(shard_of(sale)).fence
    assert gateway.order(sale, "ann").status == 200
    server.hincrby(fence, "seq", -1)
    assert gateway.order(sale, "bob").code == "recovering"
    assert wait_until(lambda: server.hget(fence, "state") == b"fenced", WAIT_SECONDS)
    server.hincrby(fence, "seq", 1)


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"installation": "another"}, "belongs to the installation 'another'"), ({"shards": 8}, "has the data of 8 shards")],
    ids=["installation", "shards"],
)
def test_redis_of_another_installation_is_refused(gateway: Client, server: Any, sale: str, fields: dict[str, Any], words: str) -> None:
    set_everywhere(server, **fields)
    assert wait_until(lambda: gateway.get("/readyz").status == 503, WAIT_SECONDS)
    assert words in gateway.get("/readyz").body["detail"]
    refused = gateway.order(sale, "ann")
    assert (refused.status, refused.code, words in refused.body["detail"]) == (503, "recovering", True)


def test_gateway_attests_what_it_was_answered_and_leaves(
    infra: Mapping[str, str], gateway: Client, server: Any, sale: str, tmp_path: Any
) -> None:
    keys = shard_keys(shard_of(sale))

    def attested() -> dict[str, int]:
        return {name: entry.seq for name, entry in read_attestations(server.hgetall(keys.gateways)).items()}

    before = set(attested())
    with gateway_on(infra, tmp_path / "gateway.log") as running:
        assert Client({**infra, "FLASHSALE_URL": running.url}).order(sale, "ann").status == 200
        seq = int(server.hget(keys.fence, "seq"))
        assert wait_until(lambda: seq in {attested()[name] for name in set(attested()) - before}, WAIT_SECONDS)
    assert set(attested()) <= before

"""Sales with the durability `confirmed`: an order that was answered 200 is with the broker, and none is taken without one."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import asyncpg
import pytest

from flashsale_core.keys import sale_keys, shard_keys, shard_of
from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Answer, Client, until_answered
from tests.integration.losses import forget_unpublished, frozen_broker, lose_gateways
from tests.integration.stores import redis_client

WAIT_SECONDS = 60.0
BUYERS = 8


def order_until_answered(client: Client, sale: str, user: str) -> Answer:
    """Repeat an order, as a patient buyer does, until it gets 200."""
    return until_answered(lambda: client.order(sale, user))


async def ledger_has(client: Client, expected: dict[str, str]) -> None:
    """The ledger follows the broker, so it is asked until it has all these orders (id -> deadline), for a bounded time."""
    ids = [order_id.rpartition(".")[2] for order_id in expected]
    recorded: dict[str, str] = {}
    connection = await asyncpg.connect(client.env["DATABASE_URL"])
    try:
        give_up = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < give_up and len(recorded) < len(expected):
            await asyncio.sleep(0.1)
            rows = await connection.fetch("select sale_id, order_id, deadline from orders where order_id = any($1)", ids)
            recorded = {f"{row['sale_id']}.{row['order_id']}": rfc3339_of_ms(round(row["deadline"].timestamp() * 1000)) for row in rows}
    finally:
        await connection.close()
    assert recorded == expected


def everything(stack: Stack, sale: str) -> list[Any]:
    """What an order of the sale could change in Redis."""
    keys, shard = sale_keys(sale), shard_keys(shard_of(sale))
    names = [keys.sale, keys.orders, keys.buyers, keys.rate_even, keys.rate_odd, shard.deadlines, shard.outbox, shard.direct]
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        return [redis.dump(name) for name in names]


def unpublished(stack: Stack, sale: str) -> int:
    """Entries in the outboxes of the sale's shard."""
    shard = shard_keys(shard_of(sale))
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        return sum(int(redis.xlen(stream)) for stream in (shard.direct, shard.outbox))


def test_durability_is_shown_and_can_be_changed(client: Client) -> None:
    sale = client.new_sale(5)
    assert client.get(f"/sales/{sale}").body["durability"] == "fsync"
    assert client.admin({"productId": sale, "stock": 5, "durability": "confirmed"}).body["durability"] == "confirmed"
    assert client.admin({"productId": sale, "stock": 6}).body["durability"] == "confirmed"
    refused = client.admin({"productId": sale, "stock": 6, "durability": "replicated"})
    assert (refused.status, refused.body["field"]) == (400, "durability")


async def test_confirmed_order_and_its_replay_have_the_same_answer(client: Client) -> None:
    sale = client.new_sale(5, durability="confirmed")
    first, again = client.order(sale, "ann"), client.order(sale, "ann")
    assert (first.status, again.status, again.raw) == (200, 200, first.raw)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (False, "true")
    assert client.stock(sale) == (5, 4, 1, 0)
    await ledger_has(client, {first.body["orderId"]: first.body["expiresAt"]})


def test_confirmed_sale_takes_no_order_while_the_broker_is_away(stack: Stack, client: Client) -> None:
    sale, other = client.new_sale(5, durability="confirmed", rateLimit={"requests": 100, "seconds": 10}), client.new_sale(5)
    kept = client.order(sale, "ann")
    # A confirmed entry is deleted a moment after the answer, which would be a change that no order made.
    assert wait_until(lambda: unpublished(stack, sale) == 0, WAIT_SECONDS)
    stack.kill("rabbitmq")
    try:
        assert wait_until(lambda: client.order(sale, "ann").status == 503, WAIT_SECONDS)
        before = everything(stack, sale)
        answers = [client.order(sale, user) for user in ("ann", "bob")]
        assert [(answer.status, answer.code, answer.headers["retry-after"]) for answer in answers] == [(503, "broker_away", "5")] * 2
        assert everything(stack, sale) == before
        assert client.order(other, "ann").status == 200
        order_id = kept.body["orderId"]
        assert client.send("DELETE", f"/orders/{order_id}").status == 200
    finally:
        stack.start("rabbitmq")
    assert order_until_answered(client, sale, "bob").body["state"] == "reserved"


async def test_order_without_a_confirm_in_time_has_an_unknown_outcome(stack: Stack, impatient: Client) -> None:
    sale, other = impatient.new_sale(5, durability="confirmed"), impatient.new_sale(5)
    with frozen_broker(stack, impatient):
        answer = impatient.order(sale, "ann")
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "outcome_unknown", "1")
        assert impatient.stock(sale) == (5, 4, 1, 0)
        assert impatient.order(other, "ann").status == 200
        # A definition that the broker did not confirm: its units may not survive Redis.
        unconfirmed = impatient.new_sale(5, durability="confirmed")
        assert impatient.order(unconfirmed, "ann").code == "broker_away"
    assert order_until_answered(impatient, unconfirmed, "ann").body["state"] == "reserved"
    again = order_until_answered(impatient, sale, "ann")
    assert (again.headers["idempotent-replayed"], impatient.stock(sale)) == ("true", (5, 4, 1, 0))
    await ledger_has(impatient, {again.body["orderId"]: again.body["expiresAt"]})


async def test_replay_brings_an_order_to_the_ledger_whose_entry_was_lost(lossy_stack: Stack, lossy_client: Client) -> None:
    sale = lossy_client.new_sale(5, durability="confirmed", paymentWindowSeconds=300)
    with ThreadPoolExecutor(1) as threads:
        with frozen_broker(lossy_stack, lossy_client):
            answer = threads.submit(lossy_client.order, sale, "ann")
            assert wait_until(lambda: lossy_client.stock(sale)[2] == 1, WAIT_SECONDS)
            lossy_stack.kill("gateway")
            with pytest.raises((OSError, HTTPException)):
                answer.result(WAIT_SECONDS)
            forget_unpublished(lossy_stack)
        lossy_stack.start("gateway")
    with redis_client(lossy_stack.env()["REDIS_URL"]) as redis:
        ((_, deadline_ms),) = [
            (member, score)
            for member, score in redis.zrange(shard_keys(shard_of(sale)).deadlines, 0, -1, withscores=True)
            if member.startswith(f"{sale}|".encode())
        ]
    again = order_until_answered(lossy_client, sale, "ann")
    assert (again.headers["idempotent-replayed"], again.body["expiresAt"]) == ("true", rfc3339_of_ms(int(deadline_ms)))
    await ledger_has(lossy_client, {again.body["orderId"]: again.body["expiresAt"]})


async def test_answered_orders_are_in_the_ledger_although_gateway_and_outbox_are_lost(lossy_stack: Stack, lossy_client: Client) -> None:
    sale = lossy_client.new_sale(100_000, durability="confirmed")
    stopping = threading.Event()
    answered: list[dict[str, str]] = [{} for _ in range(BUYERS)]

    def buy(buyer: int) -> None:
        number = 0
        while not stopping.is_set():
            answer = order_until_answered(lossy_client, sale, f"u{buyer}-{number}").body
            answered[buyer][answer["orderId"]] = answer["expiresAt"]
            number += 1

    with ThreadPoolExecutor(BUYERS) as threads:
        buyers = [threads.submit(buy, buyer) for buyer in range(BUYERS)]
        try:
            await lose_gateways(lossy_stack, answered)
        finally:
            stopping.set()
        for buyer in buyers:
            buyer.result(WAIT_SECONDS)
    expected = {order_id: deadline for each in answered for order_id, deadline in each.items()}
    await ledger_has(lossy_client, expected)

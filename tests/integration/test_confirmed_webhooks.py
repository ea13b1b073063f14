"""A webhook that was answered 200 is with the broker, so that it reaches the ledger whatever happens to gateway and Redis."""

import asyncio
import threading
import time
import uuid
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import asyncpg
import pytest

from flashsale_local_stack import Stack, wait_until
from tests.integration.client import Answer, Client, until_answered
from tests.integration.losses import forget_unpublished, frozen_broker, lose_gateways

WAIT_SECONDS = 60.0
PAYERS = 8


def orders(client: Client, count: int) -> list[str]:
    sale = client.new_sale(count)
    return [client.order(sale, f"u{number}").body["orderId"] for number in range(count)]


def pay_until_answered(client: Client, order_id: str, payment_id: str) -> Answer:
    """Repeat a webhook, as a payment provider does, until it gets 200."""
    return until_answered(lambda: client.pay(order_id, payment_id))


async def payments(client: Client, order_ids: Sequence[str]) -> dict[str, str]:
    """The results in the ledger, by payment id; a refund that is due has the result refund_due."""
    connection = await asyncpg.connect(client.env["DATABASE_URL"])
    try:
        keys = [order_id.rpartition(".")[2] for order_id in order_ids]
        rows = await connection.fetch("select payment_id, result from payments where order_id = any($1)", keys)
        return {row["payment_id"]: row["result"] for row in rows}
    finally:
        await connection.close()


async def ledger_has(client: Client, order_ids: Sequence[str], expected: dict[str, str]) -> None:
    """The ledger follows the broker, so it is asked until it has all, for a bounded time."""
    recorded: dict[str, str] = {}
    give_up = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < give_up:
        recorded = await payments(client, order_ids)
        if recorded.keys() >= expected.keys():
            break
        await asyncio.sleep(0.1)
    assert recorded == expected


def state(client: Client, order_id: str) -> Any:
    return client.get(f"/orders/{order_id}").body["state"]


async def test_webhook_is_refused_while_the_broker_is_away_and_its_effect_stands(stack: Stack, client: Client) -> None:
    order_id, late = orders(client, 2)
    first, second = uuid.uuid4().hex, uuid.uuid4().hex
    stack.kill("rabbitmq")
    try:
        assert wait_until(lambda: client.pay(order_id, first).status == 503, WAIT_SECONDS)
        answers = [client.pay(order_id, first), client.pay(order_id, second), client.pay(late, first)]
        assert [(answer.status, answer.code, answer.headers["retry-after"]) for answer in answers] == [(503, "unconfirmed", "5")] * 3
        assert [state(client, each) for each in (order_id, late)] == ["paid", "paid"]
    finally:
        stack.start("rabbitmq")
    repeated = [pay_until_answered(client, order_id, first), pay_until_answered(client, order_id, second)]
    assert [answer.body for answer in repeated] == [
        {"result": "replayed", "reason": ""}, {"result": "refund_due", "reason": "replayed"}
    ]  # fmt: skip
    await ledger_has(client, [order_id], {first: "paid", second: "refund_due"})


async def test_webhook_gets_503_when_the_confirm_does_not_come_in_time(stack: Stack, impatient: Client) -> None:
    (order_id,) = orders(impatient, 1)
    payment_id = uuid.uuid4().hex
    with frozen_broker(stack, impatient):
        answer = impatient.pay(order_id, payment_id)
        assert (answer.status, answer.code, answer.headers["retry-after"]) == (503, "unconfirmed", "5")
        assert state(impatient, order_id) == "paid"
        # An order is not confirmed by the broker, and is not held up.
        assert len(orders(impatient, 1)) == 1
    assert pay_until_answered(impatient, order_id, payment_id).body == {"result": "replayed", "reason": ""}
    await ledger_has(impatient, [order_id], {payment_id: "paid"})


async def test_gateway_killed_before_the_confirm_has_answered_nothing_and_the_retry_reaches_the_ledger(
    lossy_stack: Stack, lossy_client: Client
) -> None:
    (order_id,) = orders(lossy_client, 1)
    payment_id = uuid.uuid4().hex
    with ThreadPoolExecutor(1) as threads:
        with frozen_broker(lossy_stack, lossy_client):
            answer = threads.submit(lossy_client.pay, order_id, payment_id)
            assert wait_until(lambda: state(lossy_client, order_id) == "paid", WAIT_SECONDS)
            lossy_stack.kill("gateway")
            with pytest.raises((OSError, HTTPException)):
                answer.result(WAIT_SECONDS)
            forget_unpublished(lossy_stack)
        lossy_stack.start("gateway")
    assert pay_until_answered(lossy_client, order_id, payment_id).body["result"] == "replayed"
    await ledger_has(lossy_client, [order_id], {payment_id: "paid"})


async def test_answered_payments_are_in_the_ledger_although_gateway_and_outbox_are_lost(lossy_stack: Stack, lossy_client: Client) -> None:
    order_ids = orders(lossy_client, 200)
    stopping = threading.Event()
    answered: list[dict[str, str]] = [{} for _ in range(PAYERS)]

    def pay(payer: int) -> None:
        mine = order_ids[payer::PAYERS]
        number = 0
        while not stopping.is_set():
            # The first round pays; each later payment is a duplicate, whose refund is due.
            payment_id = uuid.uuid4().hex
            answer = pay_until_answered(lossy_client, mine[number % len(mine)], payment_id)
            assert answer.body["result"] in {"paid", "refund_due", "replayed"}, answer
            answered[payer][payment_id] = "paid" if number < len(mine) else "refund_due"
            number += 1

    with ThreadPoolExecutor(PAYERS) as threads:
        payers = [threads.submit(pay, payer) for payer in range(PAYERS)]
        try:
            await lose_gateways(lossy_stack, answered)
        finally:
            stopping.set()
        for payer in payers:
            payer.result(WAIT_SECONDS)
    expected = {payment_id: result for each in answered for payment_id, result in each.items()}
    await ledger_has(lossy_client, order_ids, expected)

"""An entry that the ledger never gets: the audit names its position, compares everything else, and ends with it when it is dropped."""

import json
import os
import re
import subprocess
import sys
from typing import Any

import aio_pika

from flashsale_core.messages import Position, position_in
from flashsale_core.topology import ORDERS_QUEUE, PARKED_ORDERS_QUEUE
from flashsale_local_stack import Stack
from tests.integration.client import Client

PARKED_ID = "dropped-by-a-test"
TIMEOUT_SECONDS = 60


def flashsale(stack: Stack, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flashsale_cli", *words]
    return subprocess.run(command, env={**os.environ, **stack.env()}, capture_output=True, text=True, timeout=120, check=False)


async def park_next_message(amqp_url: str) -> Position | None:
    """Park the only message of the queue as a worker would; returns the position in its last line."""
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        queue = await channel.get_queue(ORDERS_QUEUE)
        async with queue.iterator(timeout=TIMEOUT_SECONDS) as deliveries:
            raw = await anext(deliveries)
        copy = aio_pika.Message(raw.body, message_id=PARKED_ID, headers={"x-reason": "rejected", "x-queue": ORDERS_QUEUE})
        await channel.default_exchange.publish(copy, PARKED_ORDERS_QUEUE)
        await raw.ack()
    return position_in(raw.body.split(b"\n")[-1])


def audit(stack: Stack, sale: str) -> dict[str, list[dict[str, str]]]:
    """The examples of each kind of difference."""
    document: Any = json.loads(flashsale(stack, "audit", sale, "--json").stdout)
    return {difference["kind"]: difference["examples"] for difference in document["differences"]}


def holes(differences: dict[str, list[dict[str, str]]], shard: int) -> int:
    """The number of entries of a shard that the audit names as missing; other tests leave holes as well."""
    details = [hole["detail"] for hole in differences.get("ledger_hole", []) if hole["subject"] == f"shard {shard}"]
    return sum(int(re.findall(r"not (\d+) entries", detail)[0]) for detail in details)


async def test_dropped_message_leaves_a_difference_but_no_hole(lossy_stack: Stack, lossy_client: Client) -> None:
    sale = lossy_client.new_sale(5)
    before = audit(lossy_stack, sale)
    assert "ledger_behind" not in before
    lossy_stack.stop("order-worker")
    try:
        lost = lossy_client.order(sale, "ann").body["orderId"]
        position = await park_next_message(lossy_stack.env()["AMQP_URL"])
    finally:
        lossy_stack.start("order-worker")
    assert position is not None
    assert lossy_client.order(sale, "bob").status == 200
    parked = audit(lossy_stack, sale)
    assert [example["subject"] for example in parked["order_missing_in_ledger"]] == [lost]
    assert holes(parked, position.shard) == holes(before, position.shard) + 1
    assert "ledger_behind" not in parked
    assert flashsale(lossy_stack, "parked", "drop", PARKED_ID).returncode == 0
    dropped = audit(lossy_stack, sale)
    assert [example["subject"] for example in dropped["order_missing_in_ledger"]] == [lost]
    assert holes(dropped, position.shard) == holes(before, position.shard)

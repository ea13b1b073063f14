"""A full wait queue refuses messages that `orders` accepts: copies in `orders` are limited, and other routes go on."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError

from flashsale_core import topology
from flashsale_core.fence import KnownPositions
from flashsale_core.keys import shard_keys
from flashsale_core.records import Entry
from flashsale_core.scripts import read_scripts
from flashsale_core.settings import Environment
from flashsale_core.supervise import Supervisor
from flashsale_core.tracing import Tracing
from flashsale_gateway.outbox import refused_routes, relay
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.publisher import Publisher
from flashsale_gateway.outbox.relay import Relay
from flashsale_gateway.settings import read_settings
from flashsale_local_stack import Stack
from flashsale_redis import open_redis
from tests.fences import empty_redis
from tests.integration.broker import control, open_broker, until

WINDOW = 1800
BAD, GOOD = topology.reserved_routing_key(WINDOW), "sale.defined"
ENTRIES, ROUNDS = 200, 15
PAUSES_SECONDS = (0.2, 0.5)
DIRECT, SHARED = shard_keys(3).direct, shard_keys(3).outbox


class Outbox:
    """Both outboxes of a gateway, with their publishers."""

    def __init__(self, redis: Any, direct: DirectOutbox) -> None:
        self.redis = redis
        self._direct = direct

    async def add(self, stream: str, routing_key: str, body: str) -> bytes:
        entry_id: bytes = await self.redis.xadd(stream, {"k": routing_key, "b": body})
        if stream == DIRECT:
            self._direct.send(Entry(stream, entry_id.decode(), routing_key, body.encode()))
        return entry_id

    async def has_left(self, stream: str, entry_id: bytes) -> bool:
        return not await self.redis.xrange(stream, entry_id, entry_id)

    async def is_empty(self) -> bool:
        return [await self.redis.xlen(stream) for stream in (DIRECT, SHARED)] == [0, 0]


@asynccontextmanager
async def publishing(infra: Mapping[str, str]) -> AsyncIterator[Outbox]:
    settings = replace(read_settings(Environment(infra)), relay_block_ms=20, relay_linger_ms=5, relay_forget_ms=20)
    redis, scripts = open_redis(settings.redis_url, 5, 8), read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
    publisher = Publisher(settings, Tracing(None))
    direct, worker = (
        DirectOutbox(redis, scripts, publisher, settings, KnownPositions(settings.shards)),
        Relay(redis, scripts, settings, "test", publisher),
    )
    await empty_redis(redis)
    supervisor = Supervisor()
    relaying = supervisor.start("test-relay", worker.run)
    supervisor.start("test-direct", direct.run)
    try:
        async with asyncio.timeout(20):
            while not publisher.ready:  # noqa: ASYNC110 - the condition depends on a broker
                await asyncio.sleep(0.01)
        yield Outbox(redis, direct)
    finally:
        worker.stop()
        await relaying.finish(10)
        await supervisor.end()
        await redis.aclose()


def limit(stack: Stack, queue: str, messages: int) -> None:
    policy = json.dumps({"max-length": messages, "overflow": "reject-publish"})
    pattern = f"^{queue}$".replace(".", "\\.")
    control(stack, "set_policy", "--apply-to", "queues", "--priority", "9", "limit", pattern, policy)


async def fill(amqp_url: str, queue: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        for _ in range(1000):
            try:
                await channel.default_exchange.publish(aio_pika.Message(b"full"), queue, timeout=10)
            except DeliveryError:
                return
    pytest.fail("the queue refuses nothing")


async def empty(amqp_url: str, queue: str) -> None:
    async with await aio_pika.connect(amqp_url) as connection:
        await (await (await connection.channel()).get_queue(queue)).purge()


async def test_full_wait_queue_causes_few_copies_and_delays_no_other_route(
    infra: Mapping[str, str], infra_stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refused_routes, "PAUSES_SECONDS", PAUSES_SECONDS)
    monkeypatch.setattr(relay, "CLAIM_EVERY_SECONDS", 0.02)
    queue, url = topology.wait_queue(WINDOW), infra["AMQP_URL"]
    limit(infra_stack, queue, 1)
    try:
        loop = asyncio.get_running_loop()
        async with open_broker(url) as broker, publishing(infra) as outbox:
            await fill(url, queue)
            began = loop.time()
            for stream in (DIRECT, SHARED):
                for number in range(ENTRIES):
                    await outbox.add(stream, BAD, f"bad {stream} {number}")
            for number in range(ROUNDS):
                for stream in (DIRECT, SHARED):
                    good = await outbox.add(stream, GOOD, f"good {stream} {number}")
                    await until(partial(outbox.has_left, stream, good))
            messages, elapsed = await broker.take_all(topology.ORDERS_QUEUE), loop.time() - began
            limit(infra_stack, queue, 1_000_000)
            await until(outbox.is_empty)
            await broker.purge()
            await empty(url, queue)
            copies, elapsed = Counter(line for message in messages for line in message.body.split(b"\n")), elapsed
    finally:
        control(infra_stack, "clear_policy", "limit")
    assert sum(count for line, count in copies.items() if line.startswith(b"good")) == 2 * ROUNDS
    tries = len(PAUSES_SECONDS) + elapsed / PAUSES_SECONDS[-1] + 1
    assert sum(count for line, count in copies.items() if line.startswith(b"bad")) <= 2 * ENTRIES + tries

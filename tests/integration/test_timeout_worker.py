"""The timeout-worker with real Redis and RabbitMQ: each clock alone is enough, and a unit is released once."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashsale_consumer import Consumer, ConsumerSettings
from flashsale_core import topology
from flashsale_core.keys import WAITS, define_keys, reserve_keys, sale_keys, shard_keys, shard_of
from flashsale_core.messages import OrdersExpired, OrdersReserved, ReservedLine, decode, encode
from flashsale_core.scripts import Order, Scripts, call, pack, pack_orders, read_scripts
from flashsale_core.settings import Environment
from flashsale_core.tasks import cancel_and_wait
from flashsale_core.tracing import Tracing
from flashsale_local_stack import Stack
from flashsale_redis import open_redis
from flashsale_redis.fences import open_fences
from flashsale_timeout_worker.expiry import Expiry
from flashsale_timeout_worker.handlers import PaymentTimeouts
from flashsale_timeout_worker.retention import PAGE, Retention
from flashsale_timeout_worker.settings import Settings, read_settings
from flashsale_timeout_worker.sweeper import Sweeper
from flashsale_timeout_worker.wait_probes import WaitProbes
from tests.fences import empty_redis
from tests.integration.broker import consuming, control, headers, open_broker, until

QUEUE = topology.TIMEOUT_QUEUE
HOLD_SECONDS = 5
RESTART_SECONDS = 120.0
"""The shortest payment window for which the local stack has a wait queue."""


@dataclass(frozen=True)
class Shop:
    """Redis as the gateway fills it, with times that the test chooses."""

    redis: Any
    scripts: Scripts
    expiry: Expiry
    settings: Settings
    probes: WaitProbes

    async def open(self, sale: str, total: int) -> None:
        definition = {"owner": "admin", "generation": 0, "total": total, "hold_seconds": HOLD_SECONDS}
        await call(self.redis, self.scripts.define, define_keys(sale), sale, pack(definition), "")

    async def reserve(self, sale: str, order_ids: Sequence[str], seconds_ago: float = 0, quantity: int = 1) -> bytes:
        """Hold units as if some seconds ago; returns the message that the relay would publish."""
        clock = int((time.time() - seconds_ago) * 1000)
        for start in range(0, len(order_ids), 256):
            orders = [Order(order_id, f"u{order_id}", quantity) for order_id in order_ids[start : start + 256]]
            await call(self.redis, self.scripts.reserve, reserve_keys([sale]), pack_orders([(sale, orders)]), str(clock))
        lines = [ReservedLine(order_id, f"u{order_id}", quantity) for order_id in order_ids]
        return encode(OrdersReserved(v=1, sale=sale, epoch=1, at=clock, deadline=clock + HOLD_SECONDS * 1000, orders=lines))

    async def stock(self, sale: str) -> tuple[int, ...]:
        """(available, reserved, sold)"""
        return tuple(map(int, await self.redis.hmget(sale_keys(sale).sale, "available", "reserved", "sold")))

    async def has(self, sale: str, *stock: int) -> bool:
        return await self.stock(sale) == stock

    async def expired_orders(self, sale: str) -> list[str]:
        """Every order that the outbox reports as expired; an order that is reported twice is listed twice."""
        entries = await self.redis.xrange(shard_keys(shard_of(sale)).outbox)
        messages = [decode(fields[b"b"]) for _, fields in entries]
        return sorted(line.order_id for message in messages if isinstance(message, OrdersExpired) for line in message.orders)

    def consumer(self) -> Consumer:
        return Consumer(
            ConsumerSettings(self.settings.amqp_url, QUEUE, 16, 1_000_000, 10, 10),
            PaymentTimeouts(self.expiry, self.probes, Tracing(None), self.settings.payment_windows),
        )

    def sweeper(self) -> Sweeper:
        return Sweeper(self.expiry, self.settings)


@asynccontextmanager
async def open_shop(infra: Mapping[str, str]) -> AsyncIterator[Shop]:
    settings = replace(read_settings(Environment(infra)), sweep_interval_ms=20, sweep_grace_ms=0, retry_seconds=0.05)
    redis = open_redis(settings.redis_url, 3, 16)
    scripts = read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
    try:
        await empty_redis(redis)
        yield Shop(
            redis, scripts, Expiry(redis, scripts, settings.shards, 3, settings.retry_seconds), settings, WaitProbes(redis, settings)
        )
    finally:
        await redis.aclose()


@asynccontextmanager
async def sweeping(*sweepers: Sweeper) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(sweeper.run()) for sweeper in sweepers]
    try:
        yield
    finally:
        await cancel_and_wait(*tasks)


def ids(count: int) -> list[str]:
    return [f"o{number:04}" for number in range(count)]


async def test_queue_alone_releases_units_once_despite_redelivery(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        await shop.open("shoe", 100)
        late = await shop.reserve("shoe", ids(30), seconds_ago=6, quantity=2)
        fresh = await shop.reserve("shoe", ["fresh"])
        await broker.publish(QUEUE, late, fresh, late, late)
        async with consuming(shop.consumer()):
            await until(lambda: shop.has("shoe", 99, 1, 0))
        assert (await shop.expired_orders("shoe"), await shop.stock("shoe")) == (ids(30), (99, 1, 0))
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_TIMEOUT_QUEUE)] == [[], []]


async def test_hold_whose_message_returns_early_is_queued_again(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        await shop.open("shoe", 10)
        consumer = shop.consumer()
        async with consuming(consumer):
            await until(lambda: _has_fault(consumer, None))
            due = await shop.reserve("shoe", ["due"], seconds_ago=6)
            # As if Redis' clock had been set back by 4 s meanwhile.
            early = await shop.reserve("shoe", ["e1", "e2"], seconds_ago=-4 + HOLD_SECONDS)
            await broker.publish(QUEUE, early, due, early)
            await until(lambda: shop.has("shoe", 8, 2, 0))
            await until(lambda: shop.has("shoe", 10, 0, 0))
        assert await shop.expired_orders("shoe") == ["due", "e1", "e2"]
        assert [await broker.take_all(queue) for queue in (QUEUE, topology.PARKED_TIMEOUT_QUEUE)] == [[], []]


async def test_sweeper_alone_releases_units_of_all_sales_and_shards(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop:
        sales = ["shoe", "hat", "coat", "sock"]
        for sale in sales:
            await shop.open(sale, 2000)
            await shop.reserve(sale, ids(1200), seconds_ago=6)
            await shop.reserve(sale, ["fresh"])
        assert await shop.sweeper().sweep() == 4800
        assert [await shop.stock(sale) for sale in sales] == [(1999, 1, 0)] * 4
        assert await shop.sweeper().sweep() == 0


async def test_sweep_grace_leaves_a_deadline_to_the_queue_first(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop:
        await shop.open("shoe", 5)
        await shop.reserve("shoe", ["o1"], seconds_ago=HOLD_SECONDS + 1)
        patient = Sweeper(shop.expiry, replace(shop.settings, sweep_grace_ms=30_000))
        assert (await patient.sweep(), await shop.sweeper().sweep()) == (0, 1)


async def test_two_clocks_of_two_workers_release_a_unit_once(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        await shop.open("shoe", 1000)
        bodies = [await shop.reserve("shoe", ids(1000)[start : start + 10], seconds_ago=6) for start in range(0, 1000, 10)]
        await broker.publish(QUEUE, *bodies, *bodies)
        async with sweeping(shop.sweeper(), shop.sweeper()), consuming(shop.consumer(), shop.consumer()):
            await until(lambda: shop.has("shoe", 1000, 0, 0))
        assert (await shop.expired_orders("shoe"), await shop.stock("shoe")) == (ids(1000), (1000, 0, 0))


async def test_message_from_a_wait_queue_is_expired_and_poison_is_parked(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        await shop.open("shoe", 10)
        async with consuming(shop.consumer()):
            key = topology.reserved_routing_key(HOLD_SECONDS)
            await broker.announce(key, b"not json")
            await broker.announce(key, await shop.reserve("shoe", ["o1", "o2"]))
            assert await shop.stock("shoe") == (8, 2, 0)
            await until(lambda: shop.has("shoe", 10, 0, 0))
        (parked,) = await broker.take_all(topology.PARKED_TIMEOUT_QUEUE)
        assert (parked.body, headers([parked])) == (b"not json", [("7-0", "undecodable")])
        # The header that the broker added in the wait queue is kept.
        history: Any = parked.headers["x-death"]
        assert (history[0]["queue"], history[0]["reason"]) == (topology.wait_queue(HOLD_SECONDS), "expired")


async def test_broken_sale_is_parked_by_the_queue_and_skipped_by_the_sweep(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        # Two sales of one shard; the broken one is first in the set of deadlines.
        shoe, broken = _of_one_shard()
        await shop.open(shoe, 600)
        await shop.open(broken, 600)
        holds = await shop.reserve(broken, ids(600), seconds_ago=9)
        await shop.redis.hincrby(sale_keys(broken).sale, "sold", 1)
        await shop.reserve(shoe, ids(600), seconds_ago=8)
        assert await shop.sweeper().sweep() == 1200
        assert (await shop.stock(shoe), await shop.stock(broken)) == ((600, 0, 0), (0, 600, 1))
        await broker.publish(QUEUE, holds, await shop.reserve(shoe, ["o1"], seconds_ago=6))
        async with consuming(shop.consumer()):
            await until(lambda: shop.has(shoe, 600, 0, 0))
        (parked,) = await broker.take_all(topology.PARKED_TIMEOUT_QUEUE)
        assert (parked.body, parked.headers["x-reason"]) == (holds, "rejected")
        assert "INVARIANT" in str(parked.headers["x-error"])


async def test_broken_sale_longer_than_a_sweep_does_not_starve_its_shard(infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop:
        shoe, broken = _of_one_shard()
        await shop.open(shoe, 100)
        await shop.open(broken, 600)
        await shop.reserve(broken, ids(600), seconds_ago=9)
        await shop.redis.hincrby(sale_keys(broken).sale, "sold", 1)
        await shop.reserve(shoe, ids(100), seconds_ago=8)
        sweeper = Sweeper(shop.expiry, replace(shop.settings, sweep_pages_max=1))
        # The second sweep continues behind the 512 orders of the first.
        assert [await sweeper.sweep(), await sweeper.sweep()] == [512, 188]
        assert (await shop.stock(shoe), await shop.stock(broken)) == ((100, 0, 0), (0, 600, 1))


@pytest.mark.parametrize("clock", ["queue", "sweep"])
async def test_absent_redis_is_retried(infra_stack: Stack, infra: Mapping[str, str], clock: str) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]) as broker:
        await shop.open("shoe", 50)
        holds = await shop.reserve("shoe", ids(50), seconds_ago=6)
        await asyncio.to_thread(infra_stack.kill, "redis")
        consumer, sweeper = shop.consumer(), shop.sweeper()
        tested, working = (consumer, consuming(consumer)) if clock == "queue" else (sweeper, sweeping(sweeper))
        await broker.publish(QUEUE, holds)
        async with working:
            await until(lambda: _has_fault(tested, "Redis"))
            await asyncio.to_thread(infra_stack.start, "redis")
            await open_fences(shop.redis, shop.scripts)
            await until(lambda: shop.has("shoe", 50, 0, 0))
            await until(lambda: _has_fault(tested, None))
        assert await broker.take_all(topology.PARKED_TIMEOUT_QUEUE) == []


async def test_wait_queue_without_its_policy_is_named(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]):
        probes = WaitProbes(shop.redis, replace(shop.settings, probe_interval_seconds=0.1, probe_timeout_seconds=1))
        assert probes.fault == "RabbitMQ: the wait queues have not been probed yet"
        # Two workers: the one that receives a probe is not always the one that sent it.
        async with probing(probes), consuming(shop.consumer(), shop.consumer()):
            await until(lambda: _has_fault(probes, None))
            await asyncio.to_thread(control, infra_stack, "clear_policy", f"wait-{HOLD_SECONDS}")
            await until(lambda: _has_fault(probes, "RabbitMQ: messages do not return from payment.wait.5: its policy wait-5 "))
            await asyncio.to_thread(infra_stack.kill, "rabbitmq")
            await until(lambda: _has_fault(probes, "the wait queues cannot be probed: RabbitMQ: "))
            # RabbitMQ loads the definitions at its start, so the policy is back.
            await asyncio.to_thread(infra_stack.start, "rabbitmq")
            await until(lambda: _has_fault(probes, None), RESTART_SECONDS)


async def test_probe_that_returns_late_is_no_missing_policy(infra: Mapping[str, str]) -> None:
    """A slow machine may return each of them after its time."""
    async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]):
        probes = WaitProbes(shop.redis, replace(shop.settings, payment_windows=(HOLD_SECONDS,), probe_timeout_seconds=0.2))
        async with probing(probes):
            await until(lambda: _has_fault(probes, "RabbitMQ: messages do not return from payment.wait.5"))
            # The next one is sent after this, and never returns.
            await probes.mark_returned([HOLD_SECONDS])
            await until(lambda: _has_fault(probes, None))


async def test_probes_go_on_after_their_password_was_replaced(infra_stack: Stack, infra: Mapping[str, str]) -> None:
    """In a rotation the broker takes the new password before the worker has it; its connections stay open (decision 0043)."""
    for words in (("add_user", "probes", "old"), ("set_permissions", "probes", ".*", ".*", ".*")):
        await asyncio.to_thread(control, infra_stack, *words)
    url = urlsplit(infra["AMQP_URL"])
    own = read_settings(Environment({**infra, "AMQP_URL": url._replace(netloc=f"probes:old@{url.hostname}:{url.port}").geturl()}))
    try:
        async with open_shop(infra) as shop, open_broker(infra["AMQP_URL"]):
            probes = WaitProbes(shop.redis, replace(own, probe_interval_seconds=0.1, probe_timeout_seconds=1))
            async with probing(probes), consuming(shop.consumer()):
                await until(lambda: _has_fault(probes, None))
                await asyncio.to_thread(control, infra_stack, "change_password", "probes", "new")
                replaced_ms = int(time.time() * 1000)
                await until(lambda: _returned_after(shop.redis, replaced_ms))
                assert probes.fault is None
    finally:
        await asyncio.to_thread(control, infra_stack, "delete_user", "probes")


async def _returned_after(redis: Any, moment_ms: int) -> bool:
    """Whether a probe of each window returned a second after the moment or later, so that it was sent after it."""
    returns = await redis.hvals(WAITS)
    return bool(returns) and all(int(returned_ms) > moment_ms + 1000 for returned_ms in returns)


@asynccontextmanager
async def probing(probes: WaitProbes) -> AsyncIterator[None]:
    task = asyncio.create_task(probes.run())
    try:
        yield
    finally:
        await cancel_and_wait(task)


async def _has_fault(tested: Consumer | Sweeper | WaitProbes, fault: str | None) -> bool:
    """Whether the fault begins with `fault`; whether there is no fault if it is None."""
    return tested.fault is None if fault is None else (tested.fault or "").startswith(fault)


def _of_one_shard() -> tuple[str, str]:
    names = [f"sale{number}" for number in range(100)]
    return names[0], next(name for name in names[1:] if shard_of(name) == shard_of(names[0]))


async def test_finished_sales_are_removed_pass_by_pass(infra: Mapping[str, str]) -> None:
    pages = 3
    names = [name for number in range(20_000) if shard_of(name := f"old-{number}") == 0][: pages * PAGE]
    ended = {"owner": "admin", "generation": 0, "total": 1, "ends_ms": int(time.time() * 1000) - 10_000}
    async with open_shop(infra) as shop:
        for name in names:
            await call(shop.redis, shop.scripts.define, define_keys(name), name, pack(ended), "")
        await shop.open("stays", 1)
        retention = Retention(shop.redis, shop.scripts.retire, shop.settings.shards, 5, 10)
        removed: list[str] = []
        for _ in range(10 * pages):
            passed = await retention.remove_finished()
            assert len(passed) < len(names)
            removed += passed
        assert sorted(removed) == sorted(names)
        assert await shop.redis.smembers(shard_keys(0).sales) <= {b"stays"}
        assert await shop.has("stays", 1, 0, 0)

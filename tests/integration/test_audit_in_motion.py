"""The audit is right while sales move at full speed: it names no difference that is not there, and each one that is."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic
from typing import Any, cast

from flashsale_audit import Auditor
from flashsale_audit.audit_all import Options, Report
from flashsale_audit.differences import Kind
from flashsale_cli.audit.stores import audit_stores, stores_of
from flashsale_cli.environment import CliEnvironment
from flashsale_core.keys import deadline_member, sale_keys, shard_keys, shard_of
from flashsale_core.orders import State
from flashsale_core.records import record_fields, unpack_record
from flashsale_core.scripts import pack
from flashsale_local_stack import Stack
from flashsale_redis import open_redis
from tests.integration.client import Client
from tests.waiting import until
from tools.bench.moving_crowd import MovingCrowd

WINDOW_SECONDS = 5
FOUND_SECONDS = 60
MOTION_SECONDS = 10
STOCKS = (100_000_000, 500)
"""One sale in which every order is accepted, and one whose units are sold, released and sold again."""
TERMS = {"paymentWindowSeconds": WINDOW_SECONDS, "maxPerUser": None, "maxReleasedPerUser": None, "latePayment": "reacquire"}


@asynccontextmanager
async def moving_sales(client: Client) -> AsyncIterator[MovingCrowd]:
    """A crowd on two sales that has bought long enough for its first orders to expire, and goes on."""
    sales = [client.new_sale(stock, **TERMS) for stock in STOCKS]
    crowd = MovingCrowd(client.env["FLASHSALE_URL"], sales, client.env["FLASHSALE_WEBHOOK_SECRET"], WINDOW_SECONDS, lanes=16)
    running = asyncio.create_task(crowd.run())
    try:
        await asyncio.sleep(WINDOW_SECONDS + 1)
        await until(lambda: crowd.outcomes["paid"] and crowd.outcomes["DELETE 200"], 60)
        yield crowd
    finally:
        crowd.stopping = True
        await running


async def audit(stack: Stack, sales: Sequence[str]) -> Report:
    return await audit_stores(CliEnvironment(stack.env()), Options(sales, overdue_grace_seconds=60, outbox_seconds=60))


def named(report: Report) -> dict[str, list[str]]:
    return {kind.value: [f"{sample.subject}: {sample.detail}" for sample in samples] for kind, samples in report.findings.samples.items()}


async def test_sale_that_moves_has_no_differences(stack: Stack, client: Client) -> None:
    async with moving_sales(client) as crowd:
        stop_at, expired = monotonic() + MOTION_SECONDS, 0
        while monotonic() < stop_at:
            report = await audit(stack, crowd.sale_ids)
            assert named(report) == {}
            expired = sum(numbers.redis[State.EXPIRED].orders for numbers in report.sales)
    assert expired > 0
    assert crowd.outcomes["no answer"] == 0
    assert named(await audit(stack, crowd.sale_ids)) == {}


async def change_buyer(redis: Any, sale: str) -> None:
    _, buyers = await redis.hscan(sale_keys(sale).buyers, 0, count=50)
    user = next(name for name, units in buyers.items() if not name.startswith(b"#") and int(units) > 0)
    await redis.hincrby(sale_keys(sale).buyers, user, 1)


async def invent_buyer(redis: Any, sale: str) -> None:
    await redis.hset(sale_keys(sale).buyers, "nobody", 3)


async def change_order(redis: Any, sale: str) -> None:
    order_id = await an_order(redis, sale, State.CANCELLED)
    packed = await redis.hget(sale_keys(sale).orders, order_id)
    await redis.hset(sale_keys(sale).orders, order_id, packed.replace(b"C", b"X", 1))


async def lose_order(redis: Any, sale: str) -> None:
    await redis.hdel(sale_keys(sale).orders, await an_order(redis, sale, State.CANCELLED))


async def invent_deadline(redis: Any, sale: str) -> None:
    await redis.zadd(shard_keys(shard_of(sale)).deadlines, {deadline_member(sale, "nobody"): 2**42})


async def change_released(redis: Any, sale: str) -> None:
    _, buyers = await redis.hscan(sale_keys(sale).buyers, 0, count=50)
    await redis.hincrby(sale_keys(sale).buyers, next(name for name in buyers if name.startswith(b"#")), -1)


async def invent_released(redis: Any, sale: str) -> None:
    await redis.hset(sale_keys(sale).buyers, "#nobody", 3)


async def invent_refund(redis: Any, sale: str) -> None:
    order_id = await an_order(redis, sale, State.CANCELLED)
    record = unpack_record(await redis.hget(sale_keys(sale).orders, order_id))
    await redis.hset(sale_keys(sale).orders, order_id, pack(record_fields(replace(record, refunded_payment_ids=("invented",)))))


async def change_policy(redis: Any, sale: str) -> None:
    await redis.hset(sale_keys(sale).sale, "late_payment", "refund")


async def an_order(redis: Any, sale: str, state: State) -> bytes:
    cursor = 0
    while True:
        cursor, orders = await redis.hscan(sale_keys(sale).orders, cursor, count=500)
        for order_id, packed in orders.items():
            if unpack_record(packed).state is state:
                return bytes(order_id)
        assert cursor != 0, f"no order is {state}"


DAMAGES = (
    change_buyer,
    invent_buyer,
    change_released,
    invent_released,
    invent_refund,
    change_order,
    lose_order,
    invent_deadline,
    change_policy,
)


async def test_damage_is_found_while_the_sale_moves(stack: Stack, client: Client) -> None:
    async with moving_sales(client) as crowd, open_redis(stack.env()["REDIS_URL"], 10, 2) as redis:
        assert named(await audit(stack, crowd.sale_ids)) == {}
        for damage in DAMAGES:
            await damage(redis, crowd.sale_ids[0])
        expected = {
            "buyer_units": 2, "order_differs": 1, "order_missing_in_redis": 1, "deadline_without_hold": 1,
            "buyer_released": 2, "refund_differs": 1, "sale_differs": 1,
        }  # fmt: skip
        counts, stop_at = dict[str, int](), monotonic() + FOUND_SECONDS
        # A buyer who moves in each comparison of a round is left to the next one.
        while counts != expected and monotonic() < stop_at:
            report = await audit(stack, crowd.sale_ids)
            counts = {kind.value: count for kind, count in report.findings.counts.items()}
    assert counts == expected


async def test_auditor_reports_a_planted_difference_and_forgets_it_when_it_is_gone(stack: Stack, client: Client) -> None:
    sale = client.new_sale(5)
    assert client.order(sale, "ann").status == 200
    auditor = Auditor(stores_of(CliEnvironment(stack.env())), cpu_share=1.0, options=Options([sale]))
    difference = (Kind.BUYER_UNITS, f"{sale} ann")
    async with open_redis(stack.env()["REDIS_URL"], 10, 1) as redis:
        for units, reported in ((1, False), (-1, True)):
            assert (difference in auditor.reported) is reported
            await cast(Any, redis).hincrby(sale_keys(sale).buyers, "ann", units)
            report = await auditor.audit_once()
            assert (Kind.BUYER_UNITS in report.findings.counts) is not reported
    assert difference not in auditor.reported


async def test_shard_that_is_not_open_is_not_judged_and_is_never_clean(lossy_stack: Stack, lossy_client: Client) -> None:
    sale = lossy_client.new_sale(5)
    lossy_stack.stop("keeper")
    async with open_redis(lossy_stack.env()["REDIS_URL"], 10, 1) as redis:
        fence, keys = shard_keys(shard_of(sale)).fence, sale_keys(sale)
        await cast(Any, redis).hset(fence, "state", "draining")
        await cast(Any, redis).hincrby(keys.sale, "available", 1)
        report = await audit(lossy_stack, [sale])
        await cast(Any, redis).hincrby(keys.sale, "available", -1)
        await cast(Any, redis).hset(fence, "state", "open")
    lossy_stack.start("keeper")
    assert report.skipped.reasons[sale] == f"shard {shard_of(sale)} is not open (draining)"
    assert (named(report), report.clean()) == ({}, False)

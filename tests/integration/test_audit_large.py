"""A sale with more orders than one look has is judged by its ledger and by looks at what may differ: each planted fault is named."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import asyncpg
import msgspec
import pytest

from flashsale_audit.audit_all import Options
from flashsale_audit.compare import differs
from flashsale_audit.differences import Kind
from flashsale_audit.lines import columns_of, read_line
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import LOOK_WHOLE
from flashsale_audit.records import PageRecord
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.environment import CliEnvironment
from flashsale_core.ids import parse_order_ref
from flashsale_core.keys import deadline_member, sale_keys, shard_keys, shard_of
from flashsale_local_stack import Stack
from flashsale_redis import open_redis
from tests.integration.client import Client

ORDERS = LOOK_WHOLE + 20
WINDOW_SECONDS = 1800
"""Longer than this file takes on any machine: a hold that expires changes what the tests damage."""
RELEASED_PLACE = 30
"""An order that is cancelled."""
REFUNDED_PLACES = (31, 32)
"""Orders that are paid twice."""
LETTERS_OF_ORDERS: Sequence[Literal["R", "P", "X", "C"]] = ("R", "R", "R", "R", "P", "X", "C")
PATIENT = Options(overdue_grace_seconds=60, outbox_seconds=60)


@dataclass
class LargeSale:
    name: str
    order_ids: Sequence[str]
    """The order at each place is held by the user of that number, and has 2 units."""

    @property
    def deadlines(self) -> str:
        return shard_keys(shard_of(self.name)).deadlines

    def subjects(self, *places: int) -> set[str]:
        return {f"{self.name}.{self.order_ids[place]}" for place in places}


@pytest.fixture(scope="module")
def sale(stack: Stack, client: Client) -> LargeSale:
    name = client.new_sale(2 * ORDERS, paymentWindowSeconds=WINDOW_SECONDS, maxPerUser=None)
    refs = [parse_order_ref(client.order(name, f"u{place}", 2).body["orderId"]) for place in range(ORDERS)]
    ids = [ref.order_id for ref in refs if ref is not None]
    assert client.send("DELETE", f"/orders/{name}.{ids[RELEASED_PLACE]}").status == 200
    for place in REFUNDED_PLACES:
        for payment in ("first", "second"):
            assert client.pay(f"{name}.{ids[place]}", f"{name}-{place}-{payment}").status == 200
    return LargeSale(name, ids)


async def differences(stack: Stack, sale: LargeSale, wait_seconds: float = 0) -> dict[Kind, set[str]]:
    options = Options([sale.name], PATIENT.overdue_grace_seconds, (), PATIENT.outbox_seconds)
    report = await audit_stores(CliEnvironment(stack.env()), options, wait_seconds)
    assert not report.skipped.reasons
    return {kind: {sample.subject for sample in samples} for kind, samples in report.findings.samples.items()}


async def test_differing_orders_and_rows_are_found_by_one_query(stack: Stack, sale: LargeSale) -> None:
    chance = random.Random(34)
    assert await differences(stack, sale, wait_seconds=60) == {}
    database = await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        ledger = LedgerReader(database)
        epoch = await database.fetchval("select epoch from sales where sale_id = $1", sale.name)
        rows = await ledger.orders(sale.name, epoch, sale.order_ids)
        for _ in range(20):
            records = {
                sale.order_ids[place]: PageRecord(
                    chance.choice(LETTERS_OF_ORDERS), chance.choice([*[f"u{place}"] * 6, "ü\0", "\x1f"]), chance.choice([2, 2, 2, 3]), 5
                )
                for place in chance.sample(range(ORDERS), 50)
            } | {"nobody": PageRecord("R", "u1", 2, 5)}
            columns, others = columns_of(records)
            unlike, missing = await ledger.unlike(sale.name, epoch, columns)
            assert sorted([*unlike, *others]) == sorted(
                order_id for order_id, record in records.items() if differs(record, rows.get(order_id))
            )
            assert missing >= 1
            assert {order_id: differs(read_line(line), rows.get(order_id)) for order_id, line in unlike.items()} == dict.fromkeys(
                unlike, True
            )
    finally:
        await database.close()


async def change_record(redis: Any, sale: LargeSale, place: int, changes: Mapping[int, Any]) -> None:
    key = sale_keys(sale.name).orders
    fields = msgspec.msgpack.decode(await redis.hget(key, sale.order_ids[place]))
    changed = [changes.get(number, value) for number, value in enumerate(fields)]
    await redis.hset(key, sale.order_ids[place], msgspec.msgpack.encode(changed))


async def test_each_planted_fault_is_named(stack: Stack, sale: LargeSale) -> None:
    assert await differences(stack, sale, wait_seconds=60) == {}
    keys = sale_keys(sale.name)
    async with open_redis(stack.env()["REDIS_URL"], 10, 1) as client:
        redis: Any = client
        await change_record(redis, sale, 0, {0: "X"})
        await change_record(redis, sale, 1, {1: "another"})
        await change_record(redis, sale, 2, {2: 3})
        await redis.zadd(sale.deadlines, {deadline_member(sale.name, sale.order_ids[3]): 2**42})
        await redis.zrem(sale.deadlines, deadline_member(sale.name, sale.order_ids[4]))
        await redis.hdel(keys.orders, sale.order_ids[5])
        await redis.hset(keys.orders, "nobody", msgspec.msgpack.encode(["C", "u1", 1, 5_000]))
        await redis.hset(keys.orders, sale.order_ids[6], b"rubbish")
        await redis.hincrby(keys.buyers, "u10", 1)
        await redis.hincrby(keys.buyers, "u11", -1)
        await redis.hdel(keys.buyers, "u12")
        await redis.hset(keys.buyers, mapping={"invented": 1, "": 1, "#u13": 1, "#nobody": 2})
        await redis.hdel(keys.buyers, f"#u{RELEASED_PLACE}")
        await redis.hset(keys.sale, mapping={"late_payment": "reacquire", "owner": "somebody"})
        await change_record(redis, sale, REFUNDED_PLACES[0], {6: "invented"})
        await change_record(redis, sale, REFUNDED_PLACES[1], {6: f"{sale.name}-{REFUNDED_PLACES[1]}-first"})
    database = await asyncpg.connect(stack.env()["DATABASE_URL"])
    try:
        await database.execute("update orders set quantity = 5 where sale_id = $1 and order_id = $2", sale.name, sale.order_ids[20])
        await database.execute("delete from orders where sale_id = $1 and order_id = $2", sale.name, sale.order_ids[21])
    finally:
        await database.close()
    named = await differences(stack, sale)
    assert named[Kind.ORDER_DIFFERS] == sale.subjects(0, 1, 2, 20)
    assert named[Kind.DEADLINE_DIFFERS] == sale.subjects(3)
    assert named[Kind.DEADLINE_MISSING] == sale.subjects(4)
    assert named[Kind.DEADLINE_WITHOUT_HOLD] == sale.subjects(0, 5, 6)
    assert named[Kind.ORDER_MISSING_IN_REDIS] == sale.subjects(5)
    assert named[Kind.ORDER_MISSING_IN_LEDGER] == {f"{sale.name}.nobody", *sale.subjects(21)}
    assert named[Kind.RECORD_UNREADABLE] == sale.subjects(6)
    assert named[Kind.BUYER_RELEASED] == {f"{sale.name} {user}" for user in ("u13", "nobody", f"u{RELEASED_PLACE}")}
    assert named[Kind.REFUND_DIFFERS] == sale.subjects(*REFUNDED_PLACES)
    assert named[Kind.SALE_DIFFERS] == {sale.name}
    assert named[Kind.BUYER_UNITS] == {f"{sale.name} {user}" for user in ("u10", "u11", "u12", "invented", "")}
    assert named.keys() >= {Kind.RESERVED_UNITS, Kind.LEDGER_SUMS}

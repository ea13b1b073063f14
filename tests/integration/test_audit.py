"""`flashsale audit` names each number that is damaged in a running stack, and exits with 1."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
from redis import Redis

from flashsale_audit import Auditor, Stores
from flashsale_core.keys import deadline_member, sale_keys, shard_keys, shard_of
from flashsale_core.tasks import cancel_and_wait
from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.waiting import until

SALE, KEYS, DEADLINES = "lamp", sale_keys("lamp"), shard_keys(shard_of("lamp")).deadlines
UNITS = 20
WINDOW = "1800"
"""Longer than this file takes on any machine: a hold that expires changes what the tests damage."""
Env = dict[str, str]


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Env]:
    """A stack with one sale: 12 of 20 units ordered, 5 of them paid, one paid twice."""
    stack = Stack(tmp_path_factory.mktemp("stack") / "home")
    stack.up(gateway_port=0)
    try:
        env = {**os.environ, **stack.env()}
        orders = tmp_path_factory.mktemp("orders") / "all"
        flashsale(env, "sale", "set", SALE, "--stock", str(UNITS), "--window", WINDOW)
        flashsale(env, "load", "--product", SALE, "--buyers", "12", "--orders-out", str(orders))
        paying = orders.read_text().split()[:5]
        flashsale(env, "pay", *paying)
        flashsale(env, "pay", paying[0])
        settled = flashsale(env, "audit", SALE, "--wait-seconds", "60", "--expect-accepted", str(orders))
        assert settled.returncode == 0, settled.stdout + settled.stderr
        yield env
    finally:
        stack.down()


def flashsale(env: Env, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "flashsale_cli", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=120)


def audit(env: Env) -> tuple[int, set[str]]:
    done = flashsale(env, "audit", SALE, "--json")
    return done.returncode, {difference["kind"] for difference in json.loads(done.stdout)["differences"]}


def first_order(redis: Any, letter: bytes) -> str:
    """An order whose state has that letter: a packed record begins with an array head and a string of one letter."""
    orders: dict[bytes, bytes] = redis.hgetall(KEYS.orders)
    return next(name.decode() for name, packed in orders.items() if packed[2:3] == letter)


def damage_counter(redis: Any) -> Callable[[], object]:
    redis.hincrby(KEYS.sale, "available", 1)
    return lambda: redis.hincrby(KEYS.sale, "available", -1)


def damage_sold(redis: Any) -> Callable[[], object]:
    redis.hincrby(KEYS.sale, "sold", 1)
    redis.hincrby(KEYS.sale, "available", -1)
    return lambda: (redis.hincrby(KEYS.sale, "sold", -1), redis.hincrby(KEYS.sale, "available", 1))


def damage_buyer(redis: Any) -> Callable[[], object]:
    user = redis.hkeys(KEYS.buyers)[0]
    redis.hincrby(KEYS.buyers, user, 1)
    return lambda: redis.hincrby(KEYS.buyers, user, -1)


def change_a_term(redis: Any) -> Callable[[], object]:
    limit = redis.hget(KEYS.sale, "max_per_user")
    redis.hincrby(KEYS.sale, "max_per_user", 1)
    return lambda: redis.hset(KEYS.sale, "max_per_user", limit)


def change_field(field: str, value: str) -> Callable[[Any], Callable[[], object]]:
    """A field of the sale that no packed copy contains."""

    def damage(redis: Any) -> Callable[[], object]:
        before = redis.hget(KEYS.sale, field)
        redis.hset(KEYS.sale, field, value)
        return lambda: redis.hset(KEYS.sale, field, before)

    return damage


def lose_epoch(redis: Any) -> Callable[[], object]:
    epoch = redis.hget(KEYS.sale, "epoch")
    redis.hdel(KEYS.sale, "epoch")
    return lambda: redis.hset(KEYS.sale, "epoch", epoch)


def invent_released_order(redis: Any) -> Callable[[], object]:
    user = redis.hkeys(KEYS.buyers)[0]
    redis.hset(KEYS.buyers, b"#" + user, 1)
    return lambda: redis.hdel(KEYS.buyers, b"#" + user)


def change_refunds(change: Callable[[list[str]], list[str]]) -> Callable[[Any], Callable[[], object]]:
    """The payments that the order that was paid twice remembers as refunded."""

    def damage(redis: Any) -> Callable[[], object]:
        orders = redis.hgetall(KEYS.orders)
        order, packed = next((order, packed) for order, packed in orders.items() if len(msgspec.msgpack.decode(packed)) == 7)
        fields = msgspec.msgpack.decode(packed)
        redis.hset(KEYS.orders, order, msgspec.msgpack.encode([*fields[:6], *change(fields[6:])]))
        return lambda: redis.hset(KEYS.orders, order, packed)

    return damage


def spoil_terms(redis: Any) -> Callable[[], object]:
    terms = redis.hget(KEYS.sale, "terms")
    redis.hset(KEYS.sale, "terms", b"rubbish")
    return lambda: redis.hset(KEYS.sale, "terms", terms)


def lose_order(redis: Any) -> Callable[[], object]:
    order = first_order(redis, b"P")
    packed = redis.hget(KEYS.orders, order)
    redis.hdel(KEYS.orders, order)
    return lambda: redis.hset(KEYS.orders, order, packed)


def lose_deadline(redis: Any) -> Callable[[], object]:
    member = deadline_member(SALE, first_order(redis, b"R"))
    score = redis.zscore(DEADLINES, member)
    redis.zrem(DEADLINES, member)
    return lambda: redis.zadd(DEADLINES, {member: score})


def spoil_record(redis: Any) -> Callable[[], object]:
    order = first_order(redis, b"P")
    packed = redis.hget(KEYS.orders, order)
    redis.hset(KEYS.orders, order, b"rubbish")
    return lambda: redis.hset(KEYS.orders, order, packed)


def change_user(redis: Any) -> Callable[[], object]:
    """To one that neither the ledger nor a list of users can contain."""
    order = first_order(redis, b"P")
    packed = redis.hget(KEYS.orders, order)
    letter, user, *rest = msgspec.msgpack.decode(packed)
    redis.hset(KEYS.orders, order, msgspec.msgpack.encode([letter, f"{user}\0\x1f", *rest]))
    return lambda: redis.hset(KEYS.orders, order, packed)


def invent_deadline(redis: Any) -> Callable[[], object]:
    member = deadline_member(SALE, first_order(redis, b"P"))
    redis.zadd(DEADLINES, {member: 2**42})
    return lambda: redis.zrem(DEADLINES, member)


@pytest.mark.parametrize(
    ("damage", "kinds"),
    [
        (damage_counter, {"counters_unbalanced"}),
        (damage_sold, {"sold_units"}),
        (damage_buyer, {"buyer_units"}),
        (change_a_term, {"terms_stale", "sale_differs"}),
        (spoil_terms, {"terms_stale"}),
        (change_field("late_payment", "reacquire"), {"sale_differs"}),
        (change_field("owner", "somebody"), {"sale_differs"}),
        (change_field("generation", "7"), {"sale_differs"}),
        (lose_epoch, {"record_unreadable"}),
        (invent_released_order, {"buyer_released"}),
        (change_refunds(lambda refunds: []), {"refund_differs"}),
        (change_refunds(lambda refunds: [*refunds, "invented"]), {"refund_differs"}),
        (lose_order, {"sold_units", "order_missing_in_redis", "buyer_units", "ledger_sums"}),
        (lose_deadline, {"deadline_missing"}),
        (change_user, {"order_differs", "buyer_units"}),
        (spoil_record, {"record_unreadable", "sold_units", "buyer_units", "ledger_sums"}),
        (invent_deadline, {"deadline_without_hold"}),
    ],
)
def test_damage_in_redis_is_named(env: Env, damage: Callable[[Any], Callable[[], object]], kinds: set[str]) -> None:
    with Redis.from_url(env["REDIS_URL"]) as redis:
        undo = damage(redis)
        try:
            assert audit(env) == (1, kinds)
        finally:
            undo()


PAID_ORDER = "(select order_id from orders where state = 'paid' and payment_id is not null order by order_id limit 1)"
HELD_ORDER = "(select order_id from orders where state = 'reserved' order by order_id limit 1)"


@pytest.mark.parametrize(
    ("change", "undo", "kinds"),
    [
        (
            "update orders set quantity = 2 where order_id = HELD",
            "update orders set quantity = 1",
            {"order_differs", "ledger_sums"},
        ),
        (
            "update orders set state = 'expired' where order_id = HELD",
            "update orders set state = 'reserved' where state = 'expired'",
            {"order_differs", "ledger_sums", "history_differs"},
        ),
        (
            "create table kept as select * from orders where order_id = PAID; delete from orders where order_id = PAID",
            "insert into orders select * from kept; drop table kept",
            {"order_missing_in_ledger", "ledger_sums", "payment_without_order"},
        ),
        (
            "create table kept as select * from refunds; delete from refunds",
            "insert into refunds overriding system value select * from kept; drop table kept",
            {"refund_missing", "money_unbalanced"},
        ),
        (
            "create table kept as select * from payments where result = 'paid' and order_id = PAID;"
            " delete from payments where result = 'paid' and order_id = PAID",
            "insert into payments select * from kept; drop table kept",
            {"paid_without_payment"},
        ),
        ("update sales set total = 19", "update sales set total = 20", {"sale_differs"}),
    ],
)
async def test_damage_in_the_ledger_is_named(env: Env, change: str, undo: str, kinds: set[str]) -> None:
    await execute(env, change.replace("HELD", HELD_ORDER).replace("PAID", PAID_ORDER))
    try:
        assert audit(env) == (1, kinds)
    finally:
        await execute(env, undo)


@pytest.mark.parametrize("named", [[SALE], []])
async def test_sale_that_lost_all_its_payments_is_named(env: Env, named: list[str]) -> None:
    await execute(
        env,
        "create table paid as select * from payments; create table due as select * from refunds; delete from refunds; delete from payments",
    )
    try:
        document = json.loads(flashsale(env, "audit", *named, "--json").stdout)
        counts = {difference["kind"]: difference["count"] for difference in document["differences"]}
        # One of the orders remembers a payment that was refunded.
        assert counts == {"paid_without_payment": 5, "refund_differs": 1}
    finally:
        await execute(env, "insert into payments select * from paid; insert into refunds overriding system value select * from due")
        await execute(env, "drop table paid; drop table due")


def test_nothing_is_named_once_all_damage_is_undone(env: Env) -> None:
    """Damage that stayed would also be named by the test after its own."""
    assert audit(env) == (0, set())


def test_order_that_only_a_client_has_is_named(env: Env, tmp_path: Path) -> None:
    received = tmp_path / "received"
    received.write_text(f"{SALE}.aaaaaaaaaaaaaaaaaaaa\nnonsense\n")
    done = flashsale(env, "audit", SALE, "--expect-accepted", str(received))
    assert (done.returncode, "accepted_missing  2" in done.stdout) == (1, True)


async def execute(env: Env, statements: str) -> None:
    connection = await asyncpg.connect(env["DATABASE_URL"])
    try:
        await connection.execute(statements)
    finally:
        await connection.close()


def test_released_orders_do_not_count_for_their_buyer(env: Env) -> None:
    client = Client(env)
    sale = client.new_sale(5)
    cancelled, _ = (client.order(sale, "ann", 2, request).body["orderId"] for request in ("r1", "r2"))
    assert client.send("DELETE", f"/orders/{cancelled}").status == 200
    done = flashsale(env, "audit", sale, "--wait-seconds", "60")
    assert done.returncode == 0, done.stdout + done.stderr


def test_wrong_number_of_shards_is_refused_and_loses_no_sale(env: Env) -> None:
    done = flashsale({**env, "FLASHSALE_SHARDS": "8"}, "audit")
    assert (done.returncode, done.stdout) == (2, "")
    assert "FLASHSALE_SHARDS is 8, and the data has 16 shards: set it to 16" in done.stderr


def test_redis_of_another_ledger_is_refused(env: Env) -> None:
    with Redis.from_url(env["REDIS_URL"]) as redis:
        ledger = redis.hget(shard_keys(0).fence, "ledger")
        redis.hset(shard_keys(0).fence, "ledger", "theirs")
        try:
            done = flashsale(env, "audit")
        finally:
            redis.hset(shard_keys(0).fence, "ledger", ledger)
    assert (done.returncode, done.stdout) == (2, "")
    assert "but this Redis belongs to the ledger theirs" in done.stderr
    assert audit(env) == (0, set())


async def test_auditor_of_another_installation_waits(env: Env) -> None:
    auditor = Auditor(Stores(env["REDIS_URL"], env["DATABASE_URL"], 8, Path(env["FLASHSALE_LUA_DIR"])))
    running = asyncio.create_task(auditor.run())
    try:
        await until(lambda: auditor.fault is not None and "FLASHSALE_SHARDS is 8" in auditor.fault)
        assert not running.done()
    finally:
        await cancel_and_wait(running)

"""A Redis that lost data is rebuilt from the ledger and from what it still has, on real servers."""

import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from flashsale_audit.audit_all import Audit, Options
from flashsale_audit.connect import Stores, connect
from flashsale_audit.differences import Kind
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys, shard_of
from flashsale_core.messages import read
from flashsale_core.orders import State
from flashsale_core.records import INTERNAL_FIELDS
from flashsale_core.scripts import pack, read_scripts
from flashsale_order_worker.plan import plan
from flashsale_recovery.rebuild import RebuildContext, RebuildReport, VerifyError, close_sales, plan_rebuild, rebuild, verify
from flashsale_recovery.rebuild.surviving import Surviving
from flashsale_redis import open_redis
from tests.fences import open_now
from tests.integration.ledger import Ledger, open_ledger
from tests.integration.order_events import open_repository
from tests.integration.stores import redis_client
from tests.lua.servers import Sale, empty, reserve_many, settle_many

LUA = Path(__file__).parents[2] / "lua"
SCRIPTS = read_scripts(LUA)
SHARDS = range(SHARDS_DEFAULT)
INCARNATION = 2
R, P, X, C = State.RESERVED, State.PAID, State.EXPIRED, State.CANCELLED


class Shop:
    """Redis, the ledger, and a sale between them. `publish` is what gateway, broker and order-worker do together."""

    def __init__(self, infra: Mapping[str, str], client: Any, redis: Any, ledger: Ledger) -> None:
        self.infra, self.client, self.redis, self.ledger = infra, client, redis, ledger
        self.sale = self.named("iphone")

    def named(self, name: str) -> Sale:
        sale = Sale(self.client, name)
        sale.now = NOW_MS
        return sale

    async def publish(self) -> int:
        """Write every entry of all outboxes to the ledger, and delete it."""
        count = 0
        async with open_repository(self.infra["DATABASE_URL"]) as repository:
            for shard in SHARDS:
                stream = shard_keys(shard).outbox
                for entry_id, fields in self.client.xrange(stream):
                    decoded = read(fields[b"b"])
                    assert not decoded.errors
                    await repository.write(plan((entry_id.decode(), message) for message in decoded.messages))
                    self.client.xdel(stream, entry_id)
                    count += 1
        return count

    def fence(self) -> None:
        """Every fence as the keeper leaves it before a rebuild: sealed for the server's history, and not open."""
        fields = pack({"state": "restoring", "incarnation": INCARNATION, "seq": 1_000_000})
        for shard in SHARDS:
            incarnation = self.client.hget(shard_keys(shard).fence, "incarnation") or b""
            self.client.eval(SCRIPTS.seal.source, 1, shard_keys(shard).fence, incarnation, "", fields, "1", "")

    def lose(self) -> None:
        empty(self.client)
        self.fence()

    def stores(self) -> Stores:
        return Stores(self.infra["REDIS_URL"], self.infra["DATABASE_URL"], SHARDS_DEFAULT, LUA)

    def copy(self) -> dict[bytes, bytes]:
        return {key: self.client.dump(key) for key in self.client.scan_iter("*") if b"fence" not in key}

    def regress(self, old: Mapping[bytes, bytes]) -> None:
        """Redis comes back as an older copy."""
        empty(self.client)
        for key, value in old.items():
            self.client.restore(key, 0, value)
        self.fence()

    def context(self, **changes: Any) -> RebuildContext:
        incarnations = dict.fromkeys(SHARDS, INCARNATION)
        context = RebuildContext(
            self.redis, SCRIPTS, self.ledger.connection, SHARDS_DEFAULT, incarnations, grace_ms=0, now_ms=self.sale.now
        )
        return replace(context, **changes)

    async def rebuild(self, **changes: Any) -> RebuildReport:
        context = self.context(**changes)
        report = await rebuild(context, SHARDS)
        assert (await verify(context, SHARDS)).faulty == {}
        return report


NOW_MS = round(time.time() * 1000)


@pytest.fixture(params=["small", "great"])
async def shop(infra: Mapping[str, str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shop]:
    """Small sales are read whole, and great ones a page at a time: both ways must lead to the same."""
    if request.param == "great":
        for module in ("rebuild", "verify"):
            monkeypatch.setattr(import_module(f"flashsale_recovery.rebuild.{module}"), "SMALL_SALE", -1)
        monkeypatch.setattr("flashsale_recovery.rebuild.ledger.PAGE", 2)
    with redis_client(infra["REDIS_URL"]) as client:
        empty(client)
        async with open_redis(infra["REDIS_URL"], 10, 8) as redis, open_ledger(infra["DATABASE_URL"]) as ledger:
            yield Shop(infra, client, redis, ledger)
        empty(client)


def everything(sale: Sale) -> dict[str, Any]:
    """All of a sale but its traces, which only Redis has."""
    fields = {name: value for name, value in sale.redis.hgetall(sale.keys.sale).items() if name not in INTERNAL_FIELDS}
    return {
        # A sale of an older release has no durability, which means `fsync`, and no price.
        "sale": {b"durability": b"fsync", b"price": b"", b"oversold": b"0", **fields} if b"total" in fields else fields,
        "terms": sale.terms() if b"total" in fields else None,
        "records": {name: replace(record, traceparent="") for name, record in sale.records().items()},
        "buyers": sale.buyers(),
        "released": sale.released(),
        "deadlines": sale.deadlines(),
        "strays": sale.redis.hgetall(sale.shard.strays),
        "sales": sale.redis.smembers(sale.shard.sales),
    }


def lived(sale: Sale) -> None:
    """Orders in each state, one bought after it had expired, refunds (one for a live hold), strays, a buyer at the limit of releases."""
    sale.define(total=30, late_payment="reacquire", max_released=2, max_per_user=9, price="50 EUR", owner="shop", generation=4)
    sale.define(total=25, ends_ms=sale.now + 900_000, owner="shop", generation=5)
    sale.reserve(("o1", "ann", 2), ("o2", "ann", 1), ("o3", "bob", 1), ("o4", "ann", 1), ("o5", "cem", 3))
    sale.settle(("o1", "p1"), ("o1", "p2"), ("o9", "p9"), ("o2", "p0", "failed"))
    sale.cancel("o2")
    sale.settle(("o2", "p3"))
    sale.now += 300_000
    sale.expire("o3", "o4", "o5")
    sale.settle(("o5", "p5", "succeeded", 150))
    sale.reserve(("o6", "bob", 1, "00-a-b-01"), ("o7", "dan", 4), ("o10", "eve", 1), ("o11", "eve", 2))
    sale.settle(("o10", "p10", "succeeded", 50), ("o11", "p11"))
    sale.take_back(("o10", True), ("o11", False))
    sale.restock("o10")
    sale.settle(("o7", "p7", "succeeded", 1))


async def test_emptied_redis_is_rebuilt_field_by_field(shop: Shop) -> None:
    lived(shop.sale)
    other, gone = shop.named("shoe"), shop.named("old")
    other.define(total=3, hold_seconds=60)
    other.retire("close")
    gone.define(total=1)
    gone.retire("close")
    gone.retire("remove")
    await shop.publish()
    before = [everything(sale) for sale in (shop.sale, other, gone)]
    shop.lose()
    report = await shop.rebuild()
    assert [everything(sale) for sale in (shop.sale, other, gone)] == before
    assert [(sale.sale_id, sale.orders, sale.written, sale.reserved, sale.sold) for sale in report.sales] == [
        ("iphone", 9, 9, 5, 7),
        ("shoe", 0, 0, 0, 0),
    ]
    assert (report.tombstones, report.strays, report.entries, report.broken, report.orphans) == (1, 1, 0, [], [])
    assert gone.redis.pttl(gone.keys.sale) > 29 * 24 * 3600 * 1000


async def test_repeat_of_a_stock_change_adds_nothing_after_a_rebuild(shop: Shop) -> None:
    shop.sale.define(total=10, request_id="r1", by="ann")
    older = shop.copy()
    shop.sale.define(add=5, request_id="r2", by="ann")
    await shop.publish()
    for lose in (shop.lose, lambda: shop.regress(older)):
        lose()
        await shop.rebuild()
        open_now(shop.client)
        repeats = [shop.sale.define(add=5, request_id=request)[0] for request in ("r1", "r2")]
        assert (repeats, shop.sale.stock()) == (["replayed", "replayed"], (15, 15, 0, 0))


async def test_repeated_rebuild_changes_nothing(shop: Shop) -> None:
    lived(shop.sale)
    await shop.publish()
    shop.lose()
    await shop.rebuild(grace_ms=600_000)
    once = shop.sale.snapshot()
    report = await shop.rebuild(grace_ms=600_000)
    assert (shop.sale.snapshot(), [sale.written for sale in report.sales]) == (once, [0])


class KilledError(Exception):
    """The process ended here."""


async def test_killed_rebuild_ends_the_same_when_it_is_repeated(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    lived(shop.sale)
    other = shop.named("shoe")
    other.define(total=3)
    await shop.publish()
    execute, left, count = shop.redis.execute_command, -1, 0

    async def kill(*args: Any, **options: Any) -> Any:
        nonlocal left, count
        if args[0] == "EVALSHA":
            count += 1
            left -= 1
            if left == -1:
                raise KilledError
        return await execute(*args, **options)

    monkeypatch.setattr(shop.redis, "execute_command", kill)
    shop.lose()
    await shop.rebuild()
    whole, calls = [everything(sale) for sale in (shop.sale, other)], count
    for point in range(calls):
        shop.lose()
        left = point
        with pytest.raises(KilledError):
            await rebuild(shop.context(), SHARDS)
        await shop.rebuild()
        assert [everything(sale) for sale in (shop.sale, other)] == whole
    assert calls >= 3


async def test_older_redis_joins_with_the_ledger(shop: Shop) -> None:
    """Redis came back as it was before the payments, and has an order that the ledger never received."""
    sale = shop.sale
    sale.define(total=10)
    sale.reserve(("o1", "ann", 2), ("o2", "bob", 1), ("o3", "cem", 1))
    await shop.publish()
    sale.reserve(("lost", "dan", 1))
    sale.cancel("o3")
    shop.client.delete(sale.shard.outbox)
    old = shop.copy()
    sale.settle(("o1", "p1"))
    sale.reserve(("o4", "eve", 3))
    await shop.publish()
    shop.regress(old)
    report = await shop.rebuild()
    assert {name: record.state for name, record in sale.records().items()} == {"o1": P, "o2": R, "o3": C, "lost": R, "o4": R}
    assert (sale.stock(), sale.buyers(), sale.released()) == ((10, 3, 5, 2), {"ann": 2, "bob": 1, "dan": 1, "eve": 3}, {"cem": 1})
    assert set(sale.deadlines()) == {"o2", "lost", "o4"}
    assert (report.sales[0].lacking, report.entries, report.sales[0].conflicts) == (2, 2, [])
    await shop.publish()
    assert await shop.ledger.states() == {"o1": "paid", "o2": "reserved", "o3": "cancelled", "lost": "reserved", "o4": "reserved"}
    # What the outbox brought to the ledger is all that it lacked.
    assert (await shop.rebuild()).entries == 0


async def test_redis_that_lost_nothing_keeps_everything(shop: Shop) -> None:
    lived(shop.sale)
    shop.fence()
    before = everything(shop.sale)
    report = await shop.rebuild()
    assert everything(shop.sale) == before
    assert (report.sales[0].written, report.sales[0].orders) == (0, 9)
    await shop.publish()
    shop.lose()
    await shop.rebuild()
    assert everything(shop.sale) == before


async def test_units_that_were_sold_twice_end_the_youngest_holds(shop: Shop) -> None:
    """The cancellation of o1 is lost, and its units were sold to o4."""
    sale = shop.sale
    sale.define(total=4)
    sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))
    sale.settle(("o2", "p2"))
    sale.now += 1_000
    sale.reserve(("o3", "cem", 2))
    await shop.publish()
    sale.cancel("o1")
    shop.client.delete(sale.shard.outbox)
    sale.now += 1_000
    sale.reserve(("o4", "dan", 1))
    await shop.publish()
    shop.lose()
    planned = await plan_rebuild(shop.context(), SHARDS)
    assert shop.client.exists(sale.keys.sale) == 0
    report = await shop.rebuild()
    assert (
        [(name, hold.order_id) for name, hold in report.broken] == [("iphone", "o4")] == [(name, h.order_id) for name, h in planned.broken]
    )
    assert (sale.stock(), sale.records()["o4"].state, sale.released()) == ((4, 0, 3, 1), X, {"dan": 1})
    await shop.publish()
    assert (await shop.ledger.states())["o4"] == "expired"
    assert (await shop.rebuild()).broken == []


async def test_overdue_holds_are_broken_before_younger_ones(shop: Shop) -> None:
    sale = shop.sale
    sale.define(total=2, hold_seconds=60)
    sale.reserve(("overdue", "ann", 1))
    sale.now += 50_000
    sale.reserve(("o2", "bob", 1))
    await shop.publish()
    sale.now += 11_000
    sale.expire("overdue")
    shop.client.delete(sale.shard.outbox)
    sale.reserve(("o3", "cem", 1))
    await shop.publish()
    shop.lose()
    report = await shop.rebuild(grace_ms=100_000)
    assert [hold.order_id for _, hold in report.broken] == ["overdue"]
    assert sale.deadlines() == dict.fromkeys(("o2", "o3"), sale.now + 100_000)


async def test_paid_units_beyond_the_stock_are_kept_and_reported(shop: Shop) -> None:
    sale = shop.sale
    sale.define(total=2)
    sale.reserve(("o1", "ann", 2))
    sale.settle(("o1", "p1"))
    await shop.publish()
    # A copy without o1 sold the same units again, as no fence had stopped it.
    records = shop.client.hgetall(sale.keys.orders)
    shop.client.hdel(sale.keys.orders, *records)
    shop.client.hset(sale.keys.sale, mapping={"available": 2, "sold": 0})
    sale.reserve(("o2", "bob", 1), ("o3", "cem", 1))
    sale.settle(("o2", "p2"))
    await shop.publish()
    shop.lose()
    report = await shop.rebuild()
    assert ([hold.order_id for _, hold in report.broken], report.sales[0].oversold, report.sales[0].available) == (["o3"], 1, 0)
    assert (sale.stock(), shop.client.hget(sale.keys.sale, "oversold")) == ((3, 0, 0, 3), b"1")
    # The audit judges only what is open.
    shop.client.hset(sale.shard.fence, "state", "open")
    async with connect(shop.stores()) as (reader, ledger_reader):
        findings = (await Audit(reader, ledger_reader, Options(["iphone"])).until_settled(0)).findings
    assert {Kind.OVERSOLD, Kind.COUNTERS_UNBALANCED} <= set(findings.counts)
    await shop.publish()
    total = await shop.ledger.connection.fetchval("select total from sales")
    shop.lose()
    assert (total, (await shop.rebuild()).sales[0].oversold) == (2, 1)
    shop.client.hset(sale.shard.fence, "state", "open")
    assert (sale.settle(("o2", "p9"))[0][0], sale.reserve(("o9", "eve", 1))[0][0]) == ("refund_due", "out_of_stock")
    # The owner covers what was oversold, and Redis comes back from before that: a unit that is returned then is for sale.
    old = shop.copy()
    sale.define(total=5)
    await shop.publish()
    shop.regress(old)
    assert (await shop.rebuild()).sales[0].oversold == 0
    shop.client.hset(sale.shard.fence, "state", "open")
    sale.take_back(("o2", True))
    sale.restock("o2")
    assert sale.stock() == (5, 3, 0, 2)


async def test_sale_that_the_ledger_lacks_is_announced_and_kept(shop: Shop) -> None:
    lived(shop.sale)
    before = everything(shop.sale)
    for shard in SHARDS:
        shop.client.delete(shard_keys(shard).outbox)
    shop.fence()
    report = await shop.rebuild()
    assert everything(shop.sale) == before
    assert {(conflict.order, conflict.payment_id) for conflict in report.sales[0].conflicts} == {
        ("iphone.o1", "p1"), ("iphone.o1", "p2"), ("iphone.o2", "p3"), ("iphone.o5", "p5"), ("iphone.o7", "p7"),
        ("iphone.o10", "p10"), ("iphone.o11", "p11"),
    }  # fmt: skip
    await shop.publish()
    states = {name: record.state.value for name, record in shop.sale.records().items()}
    assert (await shop.ledger.states(), (await shop.rebuild()).entries) == (states, 0)
    # The ledger alone is enough now.
    shop.lose()
    await shop.rebuild()
    assert everything(shop.sale)["records"] == before["records"]


async def test_confirmed_sale_sells_what_only_redis_knew_once_the_ledger_can_know_it(shop: Shop) -> None:
    shop.sale.define(total=4, durability="confirmed")
    await shop.publish()
    shop.sale.define(total=10)
    shop.client.delete(shop.sale.shard.outbox)
    shop.fence()
    await shop.rebuild()
    shop.client.hset(shop.sale.shard.fence, "state", "open")
    # A second loss now would leave the ledger with 4 units.
    assert [shop.sale.reserve_confirmed((name, "ann", 4))[0][0] for name in ("o1", "o2")] == ["accepted", "broker_away"]
    await shop.publish()
    assert shop.sale.reserve_confirmed(("o2", "ann", 4))[0][0] == "accepted"


async def test_later_sale_of_a_name_replaces_the_one_that_came_back(shop: Shop) -> None:
    sale = shop.sale
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1))
    await shop.publish()
    sale.reserve(("lost", "bob", 1))
    shop.client.delete(sale.shard.outbox)
    old = shop.copy()
    sale.now += 300_000
    sale.expire("o1")
    sale.retire("close")
    sale.expire("lost")
    sale.retire("remove")
    sale.define(total=7)
    sale.reserve(("o1", "ann", 2))
    await shop.publish()
    before = everything(sale)
    shop.regress(old)
    await shop.rebuild()
    assert everything(sale) == {**before, "deadlines": {**before["deadlines"], "lost": sale.deadlines()["lost"]}}
    shop.client.hset(sale.shard.fence, "state", "open")
    sale.expire("lost")
    await shop.publish()
    assert everything(sale) == before
    epochs = await shop.ledger.connection.fetch("select state from orders where order_id = 'lost'")
    assert [row["state"] for row in epochs] == ["expired"]


@pytest.mark.parametrize("is_defined_again", [True, False])
async def test_unreadable_record_of_a_sale_that_is_over_closes_no_later_sale(shop: Shop, is_defined_again: bool) -> None:
    sale = shop.sale
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1))
    await shop.publish()
    sale.reserve(("o2", "bob", 1))
    held = shop.client.dump(sale.shard.outbox)
    shop.client.delete(sale.shard.outbox)
    shop.client.hset(sale.keys.orders, mapping={"o1": b"\xc1", "o2": b"\xc1"})
    epoch, old = int(shop.client.hget(sale.keys.sale, "epoch")), shop.copy()
    sale.retire("close")
    # As if both holds had ended, whose records nobody can read.
    shop.client.hset(sale.keys.sale, mapping={"reserved": 0, "available": 5})
    sale.retire("remove")
    if is_defined_again:
        sale.now += 1
        sale.define(total=7)
    await shop.publish()
    shop.regress(old)
    planned, report = await plan_rebuild(shop.context(), SHARDS), await shop.rebuild()
    for each in (planned, report):
        assert ([repair.doubtful_orders for repair in each.repairs], each.closed) == ([["iphone.o2"]], {})
    kept = {f"iphone|o2|{epoch}".encode(): b"\xc1"}
    assert (shop.client.hgetall(sale.shard.quarantine), shop.client.exists(sale.keys.orders)) == (kept, 0)
    # The next sale of the name goes on through another rebuild, which still names the record.
    shop.client.hset(sale.shard.fence, "state", "open")
    sale.define(total=9)
    sale.reserve(("o3", "cem", 2))
    shop.fence()
    report = await shop.rebuild()
    assert (sale.stock(), report.closed) == ((9, 7, 2, 0), {})
    assert [order for repair in report.repairs for order in repair.doubtful_orders] == ["iphone.o2"]
    # Once the ledger has the order, the record is of no more use.
    shop.client.restore(sale.shard.outbox, 0, held, replace=True)
    await shop.publish()
    await shop.rebuild()
    assert not shop.client.exists(sale.shard.quarantine)


async def test_refund_of_a_sale_that_is_over_proves_what_became_of_its_order(shop: Shop) -> None:
    sale = shop.sale
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))
    sale.cancel("o2")
    sale.settle(("o2", "p2"))
    await shop.publish()
    old = shop.copy()
    # The ledger never gets the cancellation of o1, but the refund that it caused.
    sale.cancel("o1")
    shop.client.delete(sale.shard.outbox)
    sale.settle(("o1", "p1"))
    sale.retire("close")
    sale.retire("remove")
    await shop.publish()
    shop.regress(old)
    await shop.rebuild()
    assert await shop.publish() == 1
    assert await shop.ledger.states() == {"o1": "cancelled", "o2": "cancelled"}
    # What the ledger has is not sent again, or a copy that came back would be announced in each rebuild.
    shop.regress(old)
    await shop.rebuild()
    assert await shop.publish() == 0


async def test_name_of_orders_without_any_definition_stays_closed(shop: Shop) -> None:
    """Whoever defined it again would sell the units of these orders once more. A person who knows the stock brings the sale back."""
    sale = shop.sale
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1), ("o2", "bob", 1))
    sale.settle(("o2", "p2"))
    await shop.publish()
    await shop.ledger.connection.execute("delete from sales")
    shop.lose()
    # A second rebuild must not take what the first one left for a definition.
    for _ in range(2):
        report = await shop.rebuild()
        assert report.closed.keys() == {"iphone"}
        assert report.sales == []
    shop.client.hset(sale.shard.fence, "state", "open")
    with pytest.raises(RedisError, match="INVARIANT"):
        sale.define(total=5)
    for refused in (sale.reserve(("o3", "cem", 1)), sale.settle(("o1", "p1"))):
        assert "".join(refused).startswith("INVARIANT")  # type: ignore[arg-type] # the error of the whole sale
    assert await shop.publish() == 0
    page = (LUA.parent / "docs" / "runbook" / "flashsale-oversold.md").read_text()
    statement = re.search("insert into sales.*?;", page, re.DOTALL)
    assert statement is not None
    await shop.ledger.connection.execute(statement[0].replace("shoe", "iphone").replace("1000", "5"))
    shop.fence()
    report = await shop.rebuild()
    assert (report.closed, report.orphans) == ({}, [])
    assert sale.stock() == (5, 3, 1, 1)
    assert {order_id: record.state for order_id, record in sale.records().items()} == {"o1": R, "o2": P}


async def test_order_whose_hold_the_ledger_never_received_gets_it(shop: Shop) -> None:
    sale = shop.sale
    sale.define(total=5)
    await shop.publish()
    sale.reserve(("o1", "ann", 1))
    shop.client.delete(sale.shard.outbox)
    sale.cancel("o1")
    await shop.publish()
    shop.lose()
    assert (await shop.rebuild()).entries == 1
    await shop.publish()
    assert await shop.ledger.connection.fetchval("select reserved_at is not null from orders")
    assert (await shop.rebuild()).entries == 0


async def test_only_the_shards_that_were_named_are_rebuilt(shop: Shop) -> None:
    lived(shop.sale)
    await shop.publish()
    shop.lose()
    others = [shard for shard in SHARDS if shard != shard_of("iphone")]
    assert (await rebuild(shop.context(), others)).sales == []
    assert shop.client.exists(shop.sale.keys.sale) == 0


async def test_fence_that_another_recovery_took_stops_the_rebuild(shop: Shop) -> None:
    lived(shop.sale)
    await shop.publish()
    shop.lose()
    shop.client.hset(shop.sale.shard.fence, "incarnation", 3)
    with pytest.raises(RedisError, match="FENCED changed"):
        await rebuild(shop.context(), SHARDS)
    assert shop.client.exists(shop.sale.keys.orders) == 0


@pytest.mark.parametrize("damage", ["deadline", "sale", "removed", "later"])
async def test_verify_refuses_a_shard_that_is_not_whole(shop: Shop, damage: str) -> None:
    await rebuilt(shop)
    client, ledger = shop.client, shop.ledger.connection
    if damage in ("removed", "later"):
        await ledger.execute({"removed": "update sales set state = 'removed'", "later": "update sales set epoch = epoch + 1"}[damage])
    elif damage == "deadline":
        client.zrem(shop.sale.shard.deadlines, "iphone|o6")
    else:
        client.delete(shop.sale.keys.sale)
    with pytest.raises(VerifyError):
        await verify(shop.context(), SHARDS)


@pytest.mark.parametrize("damage", ["order", "state", "counter", "buyer", "terms", "record"])
async def test_sale_that_is_not_whole_stays_closed_and_its_shard_opens(shop: Shop, damage: str) -> None:
    await rebuilt(shop)
    sale, keys, client = shop.sale, shop.sale.keys, shop.client
    {
        "order": lambda: client.hdel(keys.orders, "o4"),
        "state": lambda: client.hset(keys.orders, "o1", client.hget(keys.orders, "o6")),
        "counter": lambda: client.hset(keys.sale, mapping={"reserved": 4, "available": 16}),
        "buyer": lambda: client.hset(keys.buyers, "ann", 9),
        "terms": lambda: client.hset(keys.sale, "hold_seconds", 7),
        "record": lambda: client.hset(keys.orders, "o3", b"\xc1"),
    }[damage]()
    client.hset(sale.shard.fence, "state", "verifying")
    faulty = (await verify(shop.context(), SHARDS)).faulty
    assert list(faulty) == ["iphone"]
    await close_sales(shop.context(), faulty)
    assert (await verify(shop.context(), SHARDS)).faulty == {}
    client.hset(sale.shard.fence, "state", "open")
    untouched = sale.snapshot()
    refused = reserve_many((sale, [("o9", "eve", 1)]))[0][0], settle_many((sale, [("o7", "p7")]))[0][0]
    assert all("INVARIANT" in answer for answer in refused)
    assert sale.snapshot() == untouched


async def test_buyers_that_redis_returns_twice_close_no_sale(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """As it may while it resizes the hash. Only a great sale is read in pages."""
    await rebuilt(shop)
    pages, is_first = Surviving.buyer_pages, True

    async def twice(self: Surviving, sale_id: str) -> AsyncIterator[Mapping[bytes, bytes]]:
        nonlocal is_first
        async for page in pages(self, sale_id):
            for _ in range(1 + is_first):
                yield page
            is_first = False

    monkeypatch.setattr(Surviving, "buyer_pages", twice)
    assert await verify(shop.context(), SHARDS) == (9, {})


async def rebuilt(shop: Shop) -> None:
    lived(shop.sale)
    await shop.publish()
    shop.lose()
    await shop.rebuild()
    assert await verify(shop.context(), SHARDS) == (9, {})


# No value of MessagePack, a letter that is no state, and a quantity that is no number.
UNREADABLE = [b"\xc1", b"\x94\xa1Z\xa3ann\x01\x00", b"\x94\xa1R\xa3ann\xa1x\x00"]


@pytest.mark.parametrize("record", UNREADABLE)
async def test_unreadable_record_comes_from_the_ledger(shop: Shop, record: bytes) -> None:
    lived(shop.sale)
    await shop.publish()
    before = everything(shop.sale)
    shop.client.hset(shop.sale.keys.orders, "o1", record)
    shop.fence()
    planned = await plan_rebuild(shop.context(), SHARDS)
    report = await shop.rebuild()
    assert (
        [repair.unreadable_orders for repair in report.repairs] == [["iphone.o1"]] == [each.unreadable_orders for each in planned.repairs]
    )
    assert everything(shop.sale) == before
    assert (report.closed, planned.closed) == ({}, {})


async def test_unreadable_record_that_the_ledger_lacks_closes_only_its_sale(shop: Shop) -> None:
    sale, other = shop.sale, shop.named(same_shard("iphone"))
    for each in (sale, other):
        each.define(total=5)
        each.reserve(("o1", "ann", 1), ("o2", "bob", 2))
    await shop.publish()
    sale.reserve(("o3", "cem", 1))
    outbox = shop.client.dump(sale.shard.outbox)
    shop.client.delete(sale.shard.outbox)
    shop.client.hset(sale.keys.orders, "o3", b"\xc1")
    shop.fence()
    assert list((await plan_rebuild(shop.context(), SHARDS)).closed) == ["iphone"]
    for _ in range(2):
        report = await shop.rebuild()
        assert (list(report.closed), [repair.doubtful_orders for repair in report.repairs]) == (["iphone"], [["iphone.o3"]])
    epoch = shop.client.hget(sale.keys.sale, "epoch")
    assert shop.client.hgetall(sale.shard.quarantine) == {b"iphone|o3|" + epoch: b"\xc1"}
    shop.client.hset(sale.shard.fence, "state", "open")
    assert [status for status, *_ in other.reserve(("o4", "eve", 1))] == ["accepted"]
    assert "INVARIANT" in reserve_many((sale, [("o4", "eve", 1)]))[0][0]
    # The entry was in an outbox: once the ledger has it, the next rebuild opens the sale.
    shop.client.delete(sale.shard.outbox)
    shop.client.restore(sale.shard.outbox, 0, outbox)
    await shop.publish()
    shop.fence()
    assert (await shop.rebuild()).closed == {}
    assert (sale.stock(), sale.buyers(), shop.client.exists(sale.shard.quarantine)) == ((5, 1, 4, 0), {"ann": 1, "bob": 2, "cem": 1}, 0)


@pytest.mark.parametrize("count", [b"9", b"many", b"-1", None])
async def test_wrong_count_of_a_buyer_is_counted_again(shop: Shop, count: bytes | None) -> None:
    sale = shop.sale
    sale.define(total=9, late_payment="reacquire")
    sale.reserve(("o1", "ann", 1), ("o2", "bob", 2), ("o3", "bob", 1), ("o4", "ann", 1))
    sale.cancel("o3")
    sale.now += 300_000
    sale.expire("o4")
    sale.settle(("o4", "p4"))
    await shop.publish()
    before = everything(sale)
    if count is None:
        shop.client.delete(sale.keys.buyers)
    else:
        shop.client.hset(sale.keys.buyers, "bob", count)
    shop.fence()
    report = await shop.rebuild()
    assert (everything(sale), [repair.recounted for repair in report.repairs], report.closed) == (before, [True], {})


@pytest.mark.parametrize("key", ["sale", "orders", "buyers"])
async def test_key_of_a_wrong_type_comes_from_the_ledger(shop: Shop, key: str) -> None:
    sale = shop.sale
    sale.define(total=9)
    sale.reserve(("o1", "ann", 1), ("o2", "bob", 2))
    await shop.publish()
    before = everything(sale)
    shop.client.set(getattr(sale.keys, key), "x")
    shop.fence()
    report = await shop.rebuild()
    assert (everything(sale), report.repairs[0].wrong_types, report.closed) == (before, (key,), {})


async def test_name_with_something_else_than_a_sale_stays_closed_and_its_shard_opens(shop: Shop) -> None:
    sale = shop.sale
    shop.client.sadd(sale.shard.sales, sale.name)
    shop.client.set(sale.keys.sale, "not a hash")
    shop.fence()
    report = await shop.rebuild()
    assert report.closed.keys() == {"iphone"}
    shop.client.hset(sale.shard.fence, "state", "open")
    with pytest.raises(RedisError, match="INVARIANT"):
        sale.define(total=5)


@pytest.mark.parametrize("is_in_ledger", [True, False])
async def test_unreadable_definition_closes_a_sale_that_the_ledger_lacks(shop: Shop, is_in_ledger: bool) -> None:
    sale, other = shop.sale, shop.named(same_shard("iphone"))
    for each in (sale, other):
        each.define(total=5)
        each.reserve(("o1", "ann", 1))
    if is_in_ledger:
        await shop.publish()
    before = [everything(each) for each in (sale, other)]
    shop.client.hset(sale.keys.sale, "base", "x")
    shop.fence()
    report = await shop.rebuild()
    assert list(report.closed) == ([] if is_in_ledger else ["iphone"])
    assert everything(other) == before[1]
    if is_in_ledger:
        assert everything(sale) == before[0]
    else:
        shop.client.hset(sale.shard.fence, "state", "open")
        assert "INVARIANT" in reserve_many((sale, [("o4", "eve", 1)]))[0][0]


def same_shard(name: str) -> str:
    """Another sale's id in the shard of `name`."""
    return next(each for each in (f"other-{number}" for number in range(1000)) if shard_of(each) == shard_of(name))

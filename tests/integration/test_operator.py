"""The operator's reconciliation with a real Redis. tests/e2e covers the apiserver's part on a real cluster."""

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from flashsale_core.errors import Retryable
from flashsale_core.keys import reserve_keys, sale_keys, shard_keys, shard_of
from flashsale_core.records import sale_fields
from flashsale_core.scripts import Order, call, pack_orders, read_scripts
from flashsale_core.settings import Environment
from flashsale_operator import patience
from flashsale_operator.availability import Busy
from flashsale_operator.cache import ResourceCache
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.resource import FINALIZER, DeletionPolicy, Resource, read_resource
from flashsale_operator.sale_store import SaleStore
from flashsale_operator.settings import read_settings
from flashsale_operator.sweep import Sweep
from flashsale_operator.work_queue import WorkQueue
from flashsale_redis import open_redis
from flashsale_redis.fences import open_fences
from flashsale_timeout_worker.expiry import Expiry
from tests.fences import empty_redis
from tests.integration.stores import on_all_masters, redis_client
from tests.unit.operator.test_patience import LIMIT_SECONDS, slow_loop

WINDOWS = (60, 300)


def resource(name: str = "shoe", generation: int = 1, uid: str = "u1", epoch: int = 0, **spec: Any) -> Resource:
    wanted = {"stock": 10, "paymentWindowSeconds": 60, "productId": "shoe"} | spec
    metadata = {"namespace": "shop", "name": name, "uid": uid, "generation": generation, "finalizers": [FINALIZER]}
    return read_resource({"metadata": metadata, "spec": wanted, "status": {"epoch": epoch}})


def ready(status: Mapping[str, Any]) -> tuple[str, str]:
    (condition,) = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    return condition["status"], condition["reason"]


async def names_in(queue: WorkQueue, cache: ResourceCache) -> list[str]:
    """The resources in the queue, which is empty afterwards."""
    names = []
    while len(queue):
        uid, _ = await queue.take()
        queue.done(uid)
        cached = cache.get(uid)
        assert cached is not None
        names.append(cached.resource.name)
    return names


class Cluster:
    """Redis, and the operator's reconciler on it."""

    def __init__(self, infra: Mapping[str, str]) -> None:
        self.scripts = read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
        self.redis: Any = open_redis(infra["REDIS_URL"], 3, 16)
        self.reconciler = Reconciler(SaleStore(self.redis, self.scripts, 16, 3), WINDOWS)
        self.settings = read_settings(Environment(infra))

    async def __aenter__(self) -> "Cluster":
        await empty_redis(self.redis)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.redis.aclose()

    async def reserve(self, units: int) -> None:
        orders = [("shoe", [Order("o1", "ann", units)])]
        _, ((status, *_),), _, _ = await call(self.redis, self.scripts.reserve, reserve_keys(["shoe"]), pack_orders(orders), "")
        assert status == "accepted"

    async def sale(self) -> dict[str, str]:
        fields = await self.redis.hgetall(sale_keys("shoe").sale)
        return sale_fields(fields)


async def test_resource_is_loaded_changed_and_fenced(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        reconcile = cluster.reconciler.reconcile
        first = await reconcile(resource(), {})
        assert (ready(first), first["stock"]["available"]) == (("True", "Reconciled"), 10)
        await cluster.reserve(4)
        # The stock is raised, then lowered below the committed units: the rest of that change applies, and the sale continues.
        raised = await reconcile(resource(generation=2, stock=20), first)
        assert raised["stock"] == {"total": 20, "available": 16, "reserved": 4, "sold": 0}
        low = await reconcile(resource(generation=3, stock=3, maxPerUser=5), raised)
        assert (ready(low), low["stock"]["total"], (await cluster.sale())["max_per_user"]) == (("False", "BelowCommitted"), 20, "5")
        again = await reconcile(resource(generation=3, stock=3, maxPerUser=5), low)
        assert ready(again) == ("False", "BelowCommitted")
        # An older generation arrives late.
        await reconcile(resource(generation=2, stock=20), low)
        assert (await cluster.sale())["max_per_user"] == "5"
        # A payment window that is not installed, or no longer: the rest of the change applies as well.
        for change, paused in (
            (resource(generation=4, stock=20, paymentWindowSeconds=61, paused=True), "paused"),
            (resource(generation=5), "open"),
        ):
            stalled = await Reconciler(cluster.reconciler._sales, (300,)).reconcile(change, low)
            sale = await cluster.sale()
            assert (ready(stalled), sale["state"], sale["hold_seconds"]) == (("False", "WindowNotInstalled"), paused, "60")
        other = await reconcile(resource("other", uid="u2"), {})
        assert (ready(other), "stock" in other) == (("False", "NotOwner"), False)
        await cluster.redis.unlink(sale_keys("shoe").sale)
        lost = await reconcile(resource(generation=6, epoch=first["epoch"]), low)
        assert (ready(lost), await cluster.sale()) == (("False", "DataLost"), {})


async def test_broken_data_is_reported_and_nothing_is_written(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        await cluster.reconciler.reconcile(resource(), {})
        await cluster.redis.hset(sale_keys("shoe").sale, "available", 11)
        broken = await cluster.reconciler.reconcile(resource(generation=2, stock=20), {})
        assert (ready(broken), (await cluster.sale())["total"]) == (("False", "Inconsistent"), "10")
        await cluster.redis.unlink(sale_keys("shoe").sale)
        await cluster.redis.set(sale_keys("shoe").sale, "not a hash")
        assert ready(await cluster.reconciler.reconcile(resource(), {})) == ("False", "Inconsistent")


async def test_drain_waits_for_holds_and_retain_releases_ownership(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        await cluster.reconciler.reconcile(resource(), {})
        await cluster.reserve(4)
        waiting = await cluster.reconciler.retire(resource(), {})
        assert waiting is not None
        assert (waiting["phase"], ready(waiting)) == ("Draining", ("False", "Draining"))
        assert (await cluster.sale())["state"] == "closed"
        kept = replace(resource(), deletion_policy=DeletionPolicy.RETAIN)
        assert await cluster.reconciler.retire(kept, {}) is None
        assert (await cluster.sale())["owner"] == "shop//"
        await empty_redis(cluster.redis)
        await cluster.reconciler.reconcile(resource(), {})
        assert await cluster.reconciler.retire(resource("other", uid="u2"), {}) is None
        assert (await cluster.sale())["state"] == "open"
        assert await cluster.reconciler.retire(resource(), {}) is None
        assert await cluster.sale() == {}


async def test_orphaned_sale_is_adopted_by_the_next_resource_of_its_name(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        await cluster.reconciler.reconcile(resource(generation=5), {})
        await cluster.reserve(4)
        # The finalizer was removed by hand, and the resource was created again.
        again = await cluster.reconciler.reconcile(resource(uid="u2", stock=12), {})
        assert (ready(again), again["stock"]) == (("True", "Reconciled"), {"total": 12, "available": 8, "reserved": 4, "sold": 0})
        assert (await cluster.sale())["owner"] == "shop/shoe/u2"
        # The old resource does not take the sale back.
        old = await cluster.reconciler.reconcile(resource(generation=5, epoch=again["epoch"]), {})
        assert (ready(old), (await cluster.sale())["owner"]) == (("False", "NotOwner"), "shop/shoe/u2")
        # The owner disappeared while the sale drained, so it stays closed; the next resource of its name can end it.
        await cluster.reconciler.retire(resource(uid="u2"), {})
        closed = await cluster.reconciler.reconcile(resource(uid="u3"), {})
        assert ready(closed) == ("False", "Closed")
        assert await cluster.reconciler.retire(resource(uid="u3"), {}) is not None
        await cluster.redis.hset(sale_keys("shoe").sale, mapping={"available": 12, "reserved": 0})
        assert await cluster.reconciler.retire(resource(uid="u3"), {}) is None
        assert await cluster.sale() == {}


async def test_absent_redis_is_reported(infra: Mapping[str, str]) -> None:
    redis = open_redis("redis://127.0.0.1:1/0", 1, 16)
    reconciler = Reconciler(SaleStore(redis, read_scripts(Path(infra["FLASHSALE_LUA_DIR"])), 16, 1), WINDOWS)
    assert ready(await reconciler.reconcile(resource(), {})) == ("False", "RedisUnavailable")
    waiting = await reconciler.retire(resource(), {})
    assert waiting is not None
    assert ready(waiting) == ("False", "RedisUnavailable")
    await redis.aclose()


async def test_reconciliations_that_wait_for_a_connection_do_not_find_redis_away(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        # All together take longer than one may wait.
        impatient = Reconciler(SaleStore(cluster.redis, cluster.scripts, 16, 0.2), WINDOWS)
        await impatient.check_durability()
        sales = [resource(f"p{number}", uid=f"p{number}", productId=f"p{number}") for number in range(600)]
        answers = await asyncio.gather(*[impatient.reconcile(sale, {}) for sale in sales], return_exceptions=True)
        reasons = {"Busy" if isinstance(answer, Busy) else ready(cast("Any", answer))[1] for answer in answers}
        assert reasons <= {"Reconciled", "Busy"}


async def test_slow_event_loop_does_not_find_redis_away(infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "TICK_SECONDS", 0.01)
    scripts = read_scripts(Path(infra["FLASHSALE_LUA_DIR"]))
    async with Cluster(infra), open_redis(infra["REDIS_URL"], 30, 16) as redis, slow_loop():
        # To open a connection and load a sale takes some 40 turns of the loop, and more than this limit.
        reconciler = Reconciler(SaleStore(redis, scripts, 16, LIMIT_SECONDS), WINDOWS)
        assert ready(await reconciler.reconcile(resource(), {})) == ("True", "Reconciled")


async def test_sweep_wakes_only_resources_whose_sales_drifted(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        cache, queue, names = ResourceCache(), WorkQueue(), [f"p{number}" for number in range(600)]
        for name in names:
            sale = resource(name, uid=name, productId=name)
            status = await cluster.reconciler.reconcile(sale, {})
            cache.get_or_add(replace(sale, epoch=status["epoch"]), status)
        sweep = Sweep(cluster.reconciler, cache, queue, replace(cluster.settings, status_seconds=0))
        await sweep.sweep()
        assert len(queue) == 0
        await cluster.redis.hset(sale_keys("p7").sale, "max_per_user", 9)
        await cluster.redis.unlink(sale_keys("p8").sale)
        await cluster.redis.unlink(sale_keys("p9").sale)
        await cluster.redis.set(sale_keys("p9").sale, "no hash")
        await cluster.redis.hset(sale_keys("p599").sale, mapping={"available": 9, "reserved": 1})
        await sweep.sweep()
        assert await names_in(queue, cache) == ["p7", "p8", "p9", "p599"]


async def test_no_sale_is_ready_on_a_redis_that_may_lose_writes(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        cache, queue = ResourceCache(), WorkQueue()
        first = await cluster.reconciler.reconcile(resource(), {})
        cached = cache.get_or_add(resource(epoch=first["epoch"]), first)
        sweep = Sweep(cluster.reconciler, cache, queue, cluster.settings)
        try:
            await cluster.redis.config_set("maxmemory-policy", "allkeys-lru")
            await sweep.sweep()
            assert await names_in(queue, cache) == [cached.resource.name]
            status = await cluster.reconciler.reconcile(resource(epoch=first["epoch"]), first)
            assert (ready(status), status["phase"]) == (("False", "RedisNotDurable"), "Stalled")
            assert "set `maxmemory-policy noeviction`" in status["conditions"][0]["message"]
            assert status["stock"]["available"] == 10
            # A fault of the sale itself comes first, and a new operator checks durability before it writes Ready.
            restarted = Reconciler(SaleStore(cluster.redis, cluster.scripts, 16, 3), WINDOWS)
            assert ready(await restarted.reconcile(resource("other", uid="u2"), {})) == ("False", "NotOwner")
            assert ready(await restarted.reconcile(resource(), {})) == ("False", "RedisNotDurable")
            lax = Reconciler(SaleStore(cluster.redis, cluster.scripts, 16, 3), WINDOWS, require_durable=False)
            assert ready(await lax.reconcile(resource(), {})) == ("True", "Reconciled")
        finally:
            await cluster.redis.config_set("maxmemory-policy", "noeviction")
        await sweep.sweep()
        assert ready(await cluster.reconciler.reconcile(resource(epoch=first["epoch"]), status)) == ("True", "Reconciled")


async def test_recovery_stalls_a_sale_and_the_sale_heals_by_itself(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        cache, queue, reconciler = ResourceCache(), WorkQueue(), cluster.reconciler
        first = await reconciler.reconcile(resource(), {})
        known = resource(epoch=first["epoch"])
        cached = cache.get_or_add(known, first)
        sweep = Sweep(reconciler, cache, queue, cluster.settings)
        fence = shard_keys(shard_of("shoe")).fence
        await cluster.redis.hset(fence, "state", "restoring")
        await sweep.sweep()
        assert await names_in(queue, cache) == [cached.resource.name]
        stalled = await reconciler.reconcile(known, first)
        assert (ready(stalled), stalled["phase"], stalled["stock"]) == (("False", "Recovering"), "Stalled", first["stock"])
        waiting = await reconciler.retire(known, stalled)
        assert waiting is not None
        assert (ready(waiting), await cluster.sale() == {}) == (("False", "Draining"), False)
        # An emptied Redis has no fence either: the sale is not lost, and a resource that is new does not create it.
        await cluster.redis.flushall()
        assert ready(await reconciler.reconcile(known, stalled)) == ("False", "Recovering")
        assert ready(await reconciler.reconcile(resource(), {})) == ("False", "Recovering")
        assert await cluster.sale() == {}
        await empty_redis(cluster.redis)
        lost = await reconciler.reconcile(known, stalled)
        assert (ready(lost), "runbook: FlashsaleStalled" in lost["conditions"][0]["message"]) == (("False", "DataLost"), True)
        restored = {
            **resource().definition,
            **first["stock"],
            "owner": known.owner,
            "generation": 1,
            "epoch": first["epoch"],
            "reserved": 0,
        }
        await cluster.redis.hset(sale_keys("shoe").sale, mapping=restored)
        assert ready(await reconciler.reconcile(known, lost)) == ("True", "Reconciled")


async def test_redis_of_another_installation_is_refused(infra: Mapping[str, str]) -> None:
    async with Cluster(infra) as cluster:
        foreign = Reconciler(SaleStore(cluster.redis, cluster.scripts, 16, 3, "mine"), WINDOWS)
        fewer = SaleStore(cluster.redis, cluster.scripts, 8, 3)
        expiry = Expiry(cluster.redis, cluster.scripts, 16, 3, 1, "mine")
        await cluster.redis.hset(shard_keys(0).fence, mapping={"installation": "theirs", "shards": 16})
        status = await foreign.reconcile(resource(), {})
        assert (ready(status), await cluster.sale()) == (("False", "RedisUnavailable"), {})
        assert "Redis belongs to the installation 'theirs'" in status["conditions"][0]["message"]
        with pytest.raises(Retryable, match="belongs to the installation"):
            await expiry.ping()
        await cluster.redis.hset(shard_keys(0).fence, "installation", "flashsale")
        with pytest.raises(Retryable, match="16 shards, and FLASHSALE_SHARDS is 8"):
            await fewer.read("shoe")
        assert ready(await cluster.reconciler.reconcile(resource(), {})) == ("True", "Reconciled")


async def test_redis_whose_settings_cannot_be_read_counts_as_durable(infra: Mapping[str, str], caplog: pytest.LogCaptureFixture) -> None:
    with redis_client(infra["REDIS_URL"]) as servers:
        async with Cluster(infra) as cluster:
            servers.acl_setuser(
                "managed",
                enabled=True,
                passwords=["+secret"],
                keys=["*"],
                categories=["+@all"],
                commands=["-info"],
                **on_all_masters(servers),
            )
            url = urlsplit(infra["REDIS_URL"])
            login = url._replace(netloc=f"managed:secret@{url.netloc.rpartition('@')[2]}").geturl()
            async with open_redis(login, 3, 4) as redis:
                # A server on which nobody may run INFO: its fences have no history.
                await open_fences(redis, cluster.scripts)
                reconciler = Reconciler(SaleStore(redis, cluster.scripts, 16, 3), WINDOWS)
                for _ in range(2):
                    await reconciler.check_durability()
                assert ready(await reconciler.reconcile(resource(), {})) == ("True", "Reconciled")
            servers.acl_deluser("managed", **on_all_masters(servers))
    assert [record.message for record in caplog.records] == ["redis.durability_unknown"]


async def test_sale_that_cannot_be_judged_does_not_hide_the_others(infra: Mapping[str, str]) -> None:
    class Blind(Reconciler):
        def judge(self, resource: Resource, sale: Mapping[str, str] | None, previous: Mapping[str, Any]) -> dict[str, Any] | None:
            if resource.name == "p0":
                raise ValueError("unforeseen")
            return super().judge(resource, sale, previous)

    async with Cluster(infra) as cluster:
        cache, queue, reconciler = ResourceCache(), WorkQueue(), Blind(SaleStore(cluster.redis, cluster.scripts, 16, 3), WINDOWS)
        for name in ("p0", "p1", "p2"):
            sale = resource(name, uid=name, productId=name)
            status = await reconciler.reconcile(sale, {})
            cache.get_or_add(replace(sale, epoch=status["epoch"]), status)
        await cluster.redis.hset(sale_keys("p1").sale, "base", "x")
        await cluster.redis.unlink(sale_keys("p2").sale)
        await Sweep(reconciler, cache, queue, cluster.settings).sweep()
        assert await names_in(queue, cache) == ["p1", "p2"]
        broken = await reconciler.reconcile(resource("p1", uid="p1", productId="p1"), {})
        assert ready(broken) == ("False", "Inconsistent")

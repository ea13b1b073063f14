"""Redis under Sentinel: the services follow the master when the old one dies, hangs, is demoted, or does not know of its successor."""

import asyncio
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError, RedisError

from flashsale_local_stack import Stack, private_stack, wait_until
from flashsale_local_stack.redis_sentinels import Failover, failover
from flashsale_redis import Health, infos, now_ms, one_slot_groups, open_redis, refuse_replica
from flashsale_redis.followed import WATCH_EVERY_SECONDS, Followed
from tests.integration.broker import until
from tests.integration.client import Client
from tests.integration.promotions import HOLD_SECONDS, STOCK, stale_promotion
from tests.integration.storm import storm
from tests.integration.test_chaos import UNITS, prove

WAIT_SECONDS = 60.0
"""How long a failover may take on a machine that is busy with other things."""
WINDOW_SECONDS = 5
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def redis() -> Iterator[Failover]:
    with failover() as servers:
        yield servers


@pytest.fixture(scope="module")
def shop_stack(redis: Failover) -> Iterator[Stack]:
    # What a promotion costs is rebuilt, and buyers then have this long to pay their holds.
    with private_stack(extra_env={"REDIS_URL": redis.url, "FLASHSALE_KEEPER_GRACE_SECONDS": str(WINDOW_SECONDS)}) as stack:
        yield stack


@pytest.fixture
def shop(shop_stack: Stack, redis: Failover) -> Client:
    """The gateway, with the master and both replicas running."""
    redis.heal()
    client = Client(shop_stack.env())
    assert wait_until(lambda: client.get("/readyz").status == 200, WAIT_SECONDS)
    return client


def new_sale(shop: Client) -> str:
    return shop.new_sale(UNITS, paymentWindowSeconds=WINDOW_SECONDS)


async def test_client_of_sentinels_is_like_that_of_a_single_server(redis: Failover) -> None:
    redis.heal()
    async with open_redis(redis.url, 5, 4) as client:
        assert one_slot_groups(client, ["a", "b"]) == [["a", "b"]]
        assert (await client.set("a", "x"), await client.get("a")) == (True, b"x")
        async with client.pipeline(transaction=False) as pipe:
            pipe.get("a")
            pipe.get("b")
            assert await pipe.execute() == [b"x", None]
        assert abs(await now_ms(client, "a") - time.time() * 1000) < 1000 * WAIT_SECONDS
        assert (await infos(client))[""]["role"] == "master"
        assert await Health(client).faults() == (None, None)
        await refuse_replica(client)


async def test_server_that_sentinels_name_must_be_a_master(redis: Failover, monkeypatch: pytest.MonkeyPatch) -> None:
    redis.heal()
    master = redis.master()
    replica = next(port for port in redis.servers if port != master)
    async with open_redis(redis.url, 5, 4) as client:
        assert isinstance(client, Followed)

        async def replica_address() -> tuple[str, int]:
            return "127.0.0.1", replica

        with monkeypatch.context() as wrong:
            wrong.setattr(client._sentinels, "master", replica_address)
            with pytest.raises(ReadOnlyError):
                await client.get("a")
            with pytest.raises(ReadOnlyError):
                await refuse_replica(client)
        await client.get("a")


async def test_commands_leave_a_master_that_does_not_know_it_was_replaced(redis: Failover, caplog: pytest.LogCaptureFixture) -> None:
    redis.heal()
    old = redis.master()
    async with open_redis(redis.url, WAIT_SECONDS, 4) as client:
        await client.set("k", "old")
        waiting = asyncio.create_task(_blocked(client))
        await asyncio.to_thread(redis.hide, old)
        await asyncio.to_thread(redis.wait_for_other_master, old)
        with redis.client(redis.master()) as new:
            await until(lambda: _written(new))
        await until(lambda: _reads(client, b"new"))
        # Its late answer would count for nothing.
        async with asyncio.timeout(WAIT_SECONDS / 2):
            with pytest.raises(RedisConnectionError):
                await waiting
    with redis.client(old, hidden=True) as demoted:
        assert (demoted.info()["role"], demoted.get("k")) == ("master", b"old")
    assert "redis.master_moved" in [record.message for record in caplog.records]


async def _blocked(client: Any) -> Any:
    return await client.blpop("list", timeout=0)


async def _reads(client: Any, value: bytes) -> bool:
    return bool(await client.get("k") == value)


def _written(new: Any) -> bool:
    try:
        return bool(new.set("k", "new"))
    except RedisError:
        return False


def test_orders_go_on_at_the_new_master_after_the_old_one_was_killed(
    shop_stack: Stack, redis: Failover, shop: Client, tmp_path: Path
) -> None:
    sale = new_sale(shop)
    with storm(shop.env["FLASHSALE_URL"], sale) as crowd:
        time.sleep(2)
        old, started = redis.master(), time.monotonic()
        redis.kill(old)
        redis.wait_for_other_master(old)
        assert wait_until(lambda: shop.order(sale, f"probe{time.monotonic()}").status == 200, WAIT_SECONDS)
        log.info("orders were refused for %.1f s", time.monotonic() - started)
        time.sleep(1)
        redis.start_server(old)
        time.sleep(1)
    prove(shop_stack, shop, sale, crowd, tmp_path)
    assert shop.get("/readyz").status == 200


def test_services_leave_a_demoted_master_that_runs_on(shop_stack: Stack, redis: Failover, shop: Client, tmp_path: Path) -> None:
    """What the old master accepted between the promotion and its demotion is lost, so the audited sale gets no order meanwhile."""
    url, audited, other = shop.env["FLASHSALE_URL"], new_sale(shop), new_sale(shop)
    with storm(url, audited, 12) as before:
        time.sleep(1)
    with storm(url, other, 12) as crowd:
        old = redis.master()
        assert redis.users(old) > 0
        redis.promote()
        redis.heal()
        assert wait_until(lambda: redis.users(old) == 0, WAIT_SECONDS)
        assert wait_until(lambda: shop.order(other, f"probe{time.monotonic()}").status == 200, WAIT_SECONDS)
        crowd.wait_until_answered()
        refused = crowd.outcomes["503"]
        with storm(url, audited, 12) as after:
            time.sleep(2)
        # Nothing is refused any more, although the old master runs.
        assert (crowd.outcomes["503"], after.outcomes["503"]) == (refused, 0)
        with redis.client(old) as demoted:
            assert demoted.info()["role"] == "slave"
        assert redis.users(old) == 0
    after.accepted |= before.accepted
    prove(shop_stack, shop, audited, after, tmp_path)


def test_orders_go_on_while_the_old_master_hangs_and_after_it_wakes(
    shop_stack: Stack, redis: Failover, shop: Client, tmp_path: Path
) -> None:
    sale = new_sale(shop)
    with storm(shop.env["FLASHSALE_URL"], sale) as crowd:
        time.sleep(1)
        old = redis.master()
        redis.pause(old)
        try:
            redis.wait_for_other_master(old)
            assert wait_until(lambda: shop.order(sale, f"probe{time.monotonic()}").status == 200, WAIT_SECONDS)
            # Until its clients have noticed, a late answer of the old master would be believed, and its order lost.
            time.sleep(2 * WATCH_EVERY_SECONDS)
        finally:
            redis.resume(old)
        assert wait_until(lambda: redis.users(old) == 0, WAIT_SECONDS)
        time.sleep(1)
    prove(shop_stack, shop, sale, crowd, tmp_path)


def test_orders_that_a_promoted_replica_lacks_are_reported(shop_stack: Stack, redis: Failover, shop: Client, tmp_path: Path) -> None:
    fsync, confirmed = (shop.new_sale(STOCK, paymentWindowSeconds=HOLD_SECONDS, durability=name) for name in ("fsync", "confirmed"))
    replica = next(port for port in redis.servers if port != redis.master())
    with stale_promotion(shop_stack, (fsync, confirmed), lambda: redis.cut_off(replica), redis.promote, tmp_path):
        assert redis.master() == replica
        # While the master has no replica again, or the gateway leaves the old one, it answers not_ready.
        assert wait_until(lambda: refusal(shop, fsync) == "recovering", WAIT_SECONDS)


def refusal(shop: Client, sale: str) -> str | None:
    """The code with which a closed shop refuses a change of the stock, which it must never make."""
    answer = shop.admin({"productId": sale, "stock": 2 * STOCK})
    assert answer.status == 503, answer
    return answer.code


def test_gateway_is_not_ready_while_the_master_lacks_its_replicas(redis: Failover, shop: Client) -> None:
    sale, sold_out, master = new_sale(shop), shop.new_sale(1), redis.master()
    assert [shop.order(sold_out, name).status for name in ("ann", "bob")] == [200, 409]
    for port in redis.servers:
        if port != master:
            redis.kill(port)
    assert wait_until(lambda: shop.get("/readyz").status == 503, WAIT_SECONDS)
    assert "0 of 1 required replicas" in shop.get("/readyz").body["detail"]
    # Its successor may have units of what is sold out here.
    assert [shop.order(name, "cem").status for name in (sale, sold_out)] == [503, 503]
    redis.heal()
    assert wait_until(lambda: shop.get("/readyz").status == 200, WAIT_SECONDS)
    assert shop.order(sale, "ann").status == 200

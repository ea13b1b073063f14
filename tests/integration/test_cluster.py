"""A Redis Cluster of three masters with one, two and four gateways: no promise depends on their numbers."""

import asyncio
import logging
import os
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from redis import Redis
from redis.exceptions import RedisError

from flashsale_core.keys import SHARDS_DEFAULT, shard_keys, shard_of
from flashsale_local_stack import Stack, free_ports, private_stack, wait_until
from flashsale_local_stack.binaries import redis_server
from flashsale_local_stack.configs import redis_conf
from flashsale_local_stack.state import RedisNode, load
from flashsale_redis.slots import SLOTS, slot_of
from tests.integration.client import Client, until_answered
from tests.integration.gateways import further_gateways
from tests.integration.promotions import HOLD_SECONDS, STOCK, stale_promotion
from tests.integration.storm import Storm, storm
from tests.integration.test_chaos import UNITS, pay, prove, wait_for_stock

MASTERS = 3
WINDOW_SECONDS = 5
TAKE_OVER_SECONDS = 60.0
RUSH_SECONDS = 120.0
TRIES_MAX = 5
log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Stack]:
    with private_stack(redis_masters=MASTERS) as stack:
        yield stack


@pytest.fixture(scope="module")
def shop(cluster: Stack) -> Client:
    return Client(cluster.env())


@pytest.fixture(scope="module")
def promised() -> list[str]:
    """Orders for which a client received a 200, for the audit at the end."""
    return []


def master_of(sale: str) -> int:
    """1, 2 or 3: each master has an equal part of the slots."""
    return 1 + slot_of(shard_keys(shard_of(sale)).outbox) * MASTERS // SLOTS


def new_sale_on(
    shop: Client, masters: Sequence[int], stock: int = UNITS, window_seconds: int = WINDOW_SECONDS, durability: str = "fsync"
) -> str:
    while True:
        sale = f"t-{uuid.uuid4().hex[:12]}"
        if master_of(sale) in masters:
            terms = {"productId": sale, "stock": stock, "paymentWindowSeconds": window_seconds, "durability": durability}
            until_answered(partial(shop.admin, terms))
            return sale


def test_stack_runs_three_masters_as_a_cluster(cluster: Stack) -> None:
    assert cluster.running
    assert [status.name for status in cluster.status()][:4] == ["redis-1", "redis-2", "redis-3", "rabbitmq"]
    assert cluster.env()["REDIS_URL"].startswith("redis+cluster://")


def test_orders_of_all_shards_are_paid_cancelled_and_expired(shop: Client, promised: list[str]) -> None:
    sales: dict[int, str] = {}
    while len(sales) < SHARDS_DEFAULT:
        name = f"t-{uuid.uuid4().hex[:12]}"
        sales.setdefault(shard_of(name), name)
    for sale in sales.values():
        assert shop.admin({"productId": sale, "stock": 3, "paymentWindowSeconds": WINDOW_SECONDS}).status == 201
        sold, cancelled, unpaid, late = [shop.order(sale, f"u{number}", request=f"r{number}") for number in range(4)]
        assert [order.status for order in (sold, cancelled, unpaid, late)] == [200, 200, 200, 409]
        promised += [order.body["orderId"] for order in (sold, cancelled, unpaid)]
        assert shop.order(sale, "u0", request="r0").body["orderId"] == sold.body["orderId"]
        assert pay(shop, sold.body["orderId"]) == "paid"
        assert shop.send("DELETE", f"/orders/{cancelled.body['orderId']}").status == 200
    shown = {sale["productId"] for sale in shop.get("/sales?limit=100").body["sales"]}
    assert set(sales.values()) <= shown
    for sale in sales.values():
        wait_for_stock(shop, sale, (3, 2, 0, 1))
    spread = Counter(master_of(sale) for sale in sales.values())
    assert min(spread[number] for number in (1, 2, 3)) >= 3, spread


@pytest.mark.parametrize("clock", ["CONSUME", "SWEEP"])
def test_queue_or_sweep_alone_releases_units_on_every_master(cluster: Stack, shop: Client, clock: str) -> None:
    other = {"CONSUME": "SWEEP", "SWEEP": "CONSUME"}[clock]
    cluster.stop("timeout-worker")
    cluster.up(extra_env={f"FLASHSALE_TIMEOUT_WORKER_{other}": "false"})
    try:
        sales = [new_sale_on(shop, [master], 5) for master in (1, 2, 3)]
        for sale in sales:
            assert shop.order(sale, "ann", 5).status == 200
        for sale in sales:
            wait_for_stock(shop, sale, (5, 5, 0, 0))
    finally:
        cluster.stop("timeout-worker")
        cluster.up(extra_env={})


def test_killed_master_loses_nothing_and_stops_no_other_sale(cluster: Stack, shop: Client, tmp_path: Path) -> None:
    url = shop.env["FLASHSALE_URL"]
    struck, spared = new_sale_on(shop, [1]), new_sale_on(shop, [2, 3])
    with storm(url, struck, 12) as on_struck, storm(url, spared, 12) as on_spared:
        time.sleep(2)
        cluster.kill("redis-1")
        time.sleep(1)
        before = len(on_spared.accepted)
        time.sleep(WINDOW_SECONDS)
        during = len(on_spared.accepted) - before
        # The sale on the other masters goes on: orders are accepted and units released.
        assert during > 100, during
        assert shop.get("/readyz").status == 200
        assert sum(shop.stock(spared)[2:]) < len(on_spared.accepted)
        assert shop.order(struck, "late", request="late").status == 503
        # The gateway stays ready, so only its gauge shows the dead master.
        assert b"\nflashsale_redis_up 0.0\n" in shop.get("/metrics").raw
        cluster.start("redis-1")
        time.sleep(1.5)
    assert b"\nflashsale_redis_up 1.0\n" in shop.get("/metrics").raw
    assert on_struck.outcomes["503"] > 0
    assert on_spared.outcomes["503"] == 0, on_spared.outcomes
    prove(cluster, shop, struck, on_struck, tmp_path)
    prove(cluster, shop, spared, on_spared, tmp_path)


def test_every_master_must_be_durable(cluster: Stack, shop: Client) -> None:
    state = load(cluster.home)
    assert state is not None
    node = state.redis_nodes[-1]
    with Redis(port=node.port, password=state.secrets.redis) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        try:
            refused = shop.get("/readyz")
            assert refused.status == 503
            assert f"127.0.0.1:{node.port}: Redis may evict" in refused.raw.decode()
        finally:
            redis.config_set("maxmemory-policy", "noeviction")
    assert shop.get("/readyz").status == 200


async def test_one_two_and_four_gateways_sell_exactly_the_stock(cluster: Stack, shop: Client, promised: list[str], tmp_path: Path) -> None:
    busy: list[tuple[str, Storm]] = []
    for gateways in (1, 2, 4):
        with further_gateways(cluster, gateways - 1, tmp_path) as urls:
            promised += await sell_out(cluster, shop, urls, stock=300)
            busy.append(keep_buying(urls, new_sale_on(shop, [1, 2, 3])))
    for sale, crowd in busy:
        prove(cluster, shop, sale, crowd, tmp_path)


async def sell_out(cluster: Stack, shop: Client, urls: Sequence[str], stock: int) -> list[str]:
    """Four buyers for each unit order at the same time. Returns the ids of the orders."""
    # No hold expires before the stock is compared, however long the buyers take.
    sale, buyers = new_sale_on(shop, [len(urls) % MASTERS + 1], stock, window_seconds=1800), 4 * stock
    answers = await rush(urls, sale, buyers)
    orders = [order_id for status, order_id in answers if status == 200]
    assert Counter(status for status, _ in answers) == {200: stock, 409: buyers - stock}
    assert len(set(orders)) == stock
    # All gateways return the same stock.
    assert [Client(cluster.env() | {"FLASHSALE_URL": url}).stock(sale) for url in urls] == [(stock, 0, stock, 0)] * len(urls)
    return orders


def keep_buying(urls: Sequence[str], sale: str) -> tuple[str, Storm]:
    """Order through all gateways at the same time. Returns the sale and the buyers as one crowd."""
    with ExitStack() as storms:
        crowds = [storms.enter_context(storm(url, sale, 24 // len(urls))) for url in urls]
        time.sleep(2)
    first, *others = crowds
    for crowd in others:
        first.accepted |= crowd.accepted
        first.outcomes += crowd.outcomes
        first.contradictions += crowd.contradictions
    return sale, first


def test_audit_of_all_tests_is_clean(cluster: Stack, promised: list[str], tmp_path: Path) -> None:
    """Audits the sales of all tests above."""
    accepted = tmp_path / "accepted"
    accepted.write_text("\n".join(promised) + "\n")
    command = [sys.executable, "-m", "flashsale_cli", "audit", "--wait-seconds", "60", "--expect-accepted", str(accepted)]
    done = subprocess.run(command, env={**os.environ, **cluster.env()}, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def pair(cluster: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Any]]:
    """The first master and a replica of it; the tests that use them change their roles."""
    state = load(cluster.home)
    assert state is not None
    node, folder = RedisNode(*free_ports(2)), tmp_path_factory.mktemp("replica")
    conf = folder / "replica.conf"
    conf.write_text(redis_conf(state, str(folder), node))
    process = subprocess.Popen([redis_server(state.redis_server or None), str(conf)], cwd=folder, stdout=subprocess.DEVNULL)
    master = state.redis_nodes[0]
    try:
        with Redis(port=node.port, password=state.secrets.redis) as replica, Redis(port=master.port, password=state.secrets.redis) as first:

            def replicates() -> bool:
                """Repeated, because a node replicates only a master that it has met."""
                try:
                    replica.execute_command("CLUSTER MEET", "127.0.0.1", str(master.port), str(master.bus_port))
                    replica.execute_command("CLUSTER REPLICATE", first.execute_command("CLUSTER MYID").decode())
                except RedisError:
                    return False
                return True

            assert wait_until(replicates, TAKE_OVER_SECONDS)
            assert wait_until(lambda: follows(replica), TAKE_OVER_SECONDS)
            yield first, replica
    finally:
        process.terminate()
        process.wait(10)


def follows(server: Any) -> bool:
    """Whether it is a replica that is linked to its master."""
    try:
        return bool(server.info("replication").get("master_link_status") == "up")
    except RedisError:
        return False


@pytest.mark.usefixtures("pair")
def test_orders_go_on_at_the_replica_of_a_killed_master(cluster: Stack, shop: Client, tmp_path: Path) -> None:
    """After the others, because the masters change here and below."""
    url, sale = shop.env["FLASHSALE_URL"], new_sale_on(shop, [1])
    with storm(url, sale, 12) as crowd:
        time.sleep(2)
        cluster.kill("redis-1")
        started = time.monotonic()
        assert wait_until(lambda: shop.order(sale, f"probe{time.monotonic()}").status == 200, TAKE_OVER_SECONDS)
        log.info("orders were refused for %.1f s", time.monotonic() - started)
        cluster.start("redis-1")
        crowd.wait_until_answered()
        refused = crowd.outcomes["503"]
        time.sleep(2)
        # The old master is a replica, which redirects, and the other sales never stopped.
        assert crowd.outcomes["503"] == refused
        crowd.stopping = True
        prove(cluster, shop, sale, crowd, tmp_path)


def test_orders_that_a_stale_replica_lacks_are_reported(cluster: Stack, shop: Client, pair: tuple[Any, Any], tmp_path: Path) -> None:
    sales = new_sale_on(shop, [1], STOCK, HOLD_SECONDS), new_sale_on(shop, [1], STOCK, HOLD_SECONDS, "confirmed")
    spared = new_sale_on(shop, [2, 3])
    assert wait_until(lambda: any(map(follows, pair)), TAKE_OVER_SECONDS)
    replica = next(server for server in pair if follows(server))
    password = replica.config_get("masterauth")["masterauth"]

    def cut_off() -> None:
        replica.config_set("masterauth", "wrong")
        replica.client_kill_filter(_type="master")

    with stale_promotion(cluster, sales, cut_off, lambda: replica.execute_command("CLUSTER FAILOVER", "TAKEOVER"), tmp_path):
        assert replica.info("replication")["role"] == "master"
        # The shards of the other masters go on.
        assert shop.order(spared, "ann").status == 200
        replica.config_set("masterauth", password)


async def rush(urls: Sequence[str], sale: str, buyers: int) -> list[tuple[int, str]]:
    """(status, order id) of one order per buyer, all at the same time and spread over the gateways; half of the buyers use two gateways."""
    timeout = aiohttp.ClientTimeout(total=RUSH_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as session:

        async def buy(buyer: int, at: int) -> tuple[int, str]:
            url = f"{urls[at % len(urls)]}/order"
            body = {"userId": f"u{buyer}", "productId": sale, "quantity": 1, "requestId": f"r{buyer}"}
            for _ in range(TRIES_MAX):
                # On a slow machine, a buyer among 1,800 may open a connection long before it can send: the gateway closes silent ones.
                with suppress(aiohttp.ClientConnectionError):
                    return await send(url, body)
            raise AssertionError(f"buyer {buyer} got no answer")

        async def send(url: str, body: dict[str, object]) -> tuple[int, str]:
            async with session.post(url, json=body) as answer:
                return answer.status, (await answer.json()).get("orderId", "")

        first, again = await asyncio.gather(
            asyncio.gather(*[buy(buyer, buyer) for buyer in range(buyers)]),
            asyncio.gather(*[buy(buyer, buyer + 1) for buyer in range(0, buyers, 2)]),
        )
        # The same request at another gateway gets the same order or the same refusal.
        assert [first[2 * number] for number in range(len(again))] == list(again)
        return list(first)

"""Redis is restarted, replaced by an old copy of itself or emptied: the keeper opens it again, and nothing is sold twice."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from flashsale_core.keys import SHARDS_DEFAULT, sale_keys, shard_keys, shard_of
from flashsale_core.messages import positions_in
from flashsale_core.settings import Environment
from flashsale_keeper import metrics
from flashsale_keeper.ledger_watch import LedgerWatch
from flashsale_keeper.settings import read_settings
from flashsale_local_stack import Stack, free_ports, private_stack, wait_until
from flashsale_local_stack.state import port_taken
from flashsale_redis import open_redis
from tests.integration.client import Client
from tests.integration.losses import lost_entries, orders_in_ledger
from tests.integration.stores import redis_client

WAIT_SECONDS = 60.0


class Shop:
    """A stack, and what a test asks of it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = Client(stack.env())

    @property
    def data(self) -> Path:
        return self.stack.home / "redis" / "data"

    def redis(self) -> Any:
        return redis_client(self.stack.env()["REDIS_URL"])

    def incarnations(self) -> set[int]:
        with self.redis() as redis:
            return {int(redis.hget(shard_keys(shard).fence, "incarnation") or 0) for shard in range(SHARDS_DEFAULT)}

    def sell(self, sale: str, buyers: range) -> list[str]:
        """The ids of the orders that were accepted, one for each buyer."""
        answers = [self.client.order(sale, f"u{number}") for number in buyers]
        return [answer.body["orderId"] for answer in answers if answer.status == 200]

    def wait_until_open(self) -> None:
        """Wait until keeper and gateway know that all shards are open."""
        keeper = Client({"FLASHSALE_URL": f"http://127.0.0.1:{self.stack.env()['FLASHSALE_KEEPER_PROBE_PORT']}"})
        assert wait_until(self.is_open, WAIT_SECONDS), keeper.get("/readyz").raw
        assert wait_until(lambda: keeper.get("/readyz").status == self.client.get("/readyz").status == 200, WAIT_SECONDS)

    def is_open(self) -> bool:
        with self.redis() as redis:
            replid = redis.info("replication")["master_replid"].encode()
            fences = [redis.hmget(shard_keys(shard).fence, "state", "replid") for shard in range(SHARDS_DEFAULT)]
            return fences == [[b"open", replid]] * SHARDS_DEFAULT

    def wait_for_ledger(self) -> None:
        """Wait until nothing is on its way to the ledger."""
        assert wait_until(lambda: self.in_outbox() == 0, WAIT_SECONDS)

    def in_outbox(self) -> int:
        with self.redis() as redis:
            keys = map(shard_keys, range(SHARDS_DEFAULT))
            return sum(int(redis.xlen(stream)) for shard in keys for stream in (shard.direct, shard.outbox))

    def unpublished(self) -> set[tuple[int, int, int]]:
        """The positions of the entries in the outboxes."""
        with self.redis() as redis:
            streams = [stream for shard in map(shard_keys, range(SHARDS_DEFAULT)) for stream in (shard.direct, shard.outbox)]
            return {position for stream in streams for _, fields in redis.xrange(stream) for position in positions_in(fields[b"b"])}

    def lost_entries(self) -> int:
        """How many entries the keeper has reported as lost so far."""
        return asyncio.run(lost_entries(self.stack.env()["DATABASE_URL"]))

    def has_in_ledger(self, sale: str, orders: list[str]) -> bool:
        """Whether the ledger has these orders of the sale, and no other."""
        return asyncio.run(orders_in_ledger(self.stack.env()["DATABASE_URL"], sale)) == len(orders)

    def fences(self) -> list[dict[bytes, bytes]]:
        with self.redis() as redis:
            return [redis.hgetall(shard_keys(shard).fence) for shard in range(SHARDS_DEFAULT)]

    def empty_redis(self) -> None:
        with self.redis() as redis:
            redis.flushall()

    def reached(self, state: str) -> bool:
        return all(fence.get(b"state") == state.encode() for fence in self.fences())

    def recover(self, *options: str, **env: str) -> "subprocess.CompletedProcess[str]":
        return self._command("recover", *options, **env)

    def audit(self, orders: list[str], folder: Path) -> None:
        """All stores agree, and contain these orders."""
        expected = folder / "orders"
        expected.write_text("\n".join(orders))
        done = self._command("audit", "--wait-seconds", "60", "--json", "--expect-accepted", str(expected))
        assert done.returncode == 0, json.loads(done.stdout or "{}").get("findings", done.stdout) or done.stderr

    def _command(self, *words: str, **more: str) -> "subprocess.CompletedProcess[str]":
        env = {**os.environ, **self.stack.env(), **more}
        command = [sys.executable, "-m", "flashsale_cli", *words]
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)

    def death_of_a_keeper(self, point: str) -> int:
        """The exit status of a keeper that dies at the first pass of `point`. It does not wait for gateways: they hold nothing."""
        (port,) = free_ports(1)
        env = {**os.environ, **self.stack.env(), "FLASHSALE_PROBE_PORT": str(port), "FLASHSALE_CRASH": f"{point}:1"}
        env |= {"FLASHSALE_KEEPER_ATTEST_SECONDS": "0.2", "FLASHSALE_CONFIRM_TIMEOUT_SECONDS": "0.1"}
        command = [sys.executable, "-m", "flashsale_keeper"]
        return subprocess.run(command, env=env, capture_output=True, timeout=WAIT_SECONDS, check=False).returncode

    @contextmanager
    def another_keeper(self) -> Iterator[Client]:
        """The probes of a second keeper, which runs until the block ends."""
        with self._another("flashsale_keeper") as (probes, _):
            yield probes

    @contextmanager
    def another_order_worker(self) -> Iterator[int]:
        """The process id of a second order-worker, which runs until the block ends."""
        with self._another("flashsale_order_worker") as (probes, pid):
            assert wait_until(lambda: probes.get("/readyz").status == 200, WAIT_SECONDS)
            yield pid

    @contextmanager
    def _another(self, module: str) -> Iterator[tuple[Client, int]]:
        (port,) = free_ports(1)
        env = {**os.environ, **self.stack.env(), "FLASHSALE_PROBE_PORT": str(port)}
        process = subprocess.Popen([sys.executable, "-m", module], env=env, stderr=subprocess.DEVNULL)
        probes = Client({"FLASHSALE_URL": f"http://127.0.0.1:{port}"})
        try:
            assert wait_until(lambda: port_taken(port), WAIT_SECONDS)
            yield probes, process.pid
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    with private_stack() as stack:
        yield Shop(stack)


def test_restarted_redis_sells_again_in_the_same_incarnation(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(100)
    before, orders = shop.incarnations(), shop.sell(sale, range(10))
    shop.stack.kill("redis")
    shop.stack.start("redis")
    shop.wait_until_open()
    orders += shop.sell(sale, range(10, 20))
    assert len(orders) == 20
    assert shop.incarnations() == before
    shop.audit(orders, tmp_path)


def test_restart_without_rabbitmq_goes_on_in_a_new_incarnation(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(100)
    before, orders = max(shop.incarnations()), shop.sell(sale, range(10))
    shop.stack.stop("rabbitmq")
    shop.stack.kill("redis")
    shop.stack.start("redis")
    assert wait_until(shop.is_open, WAIT_SECONDS)
    orders += shop.sell(sale, range(10, 20))
    assert (len(orders), shop.incarnations()) == (20, {before + 1})
    shop.stack.start("rabbitmq")
    shop.wait_until_open()
    shop.audit(orders, tmp_path)


def test_entries_from_before_a_reopening_are_reported_once_when_they_are_lost(shop: Shop) -> None:
    sale = shop.client.new_sale(100)
    shop.wait_for_ledger()
    reported = shop.lost_entries()
    shop.stack.stop("rabbitmq")
    shop.sell(sale, range(10))
    shop.stack.kill("redis")
    shop.stack.start("redis")
    assert wait_until(shop.is_open, WAIT_SECONDS)
    shop.sell(sale, range(10, 20))
    unpublished = shop.unpublished()
    assert (len({incarnation for _, incarnation, _ in unpublished}), len(unpublished)) == (2, 20)
    shop.empty_redis()
    shop.stack.start("rabbitmq")
    shop.wait_until_open()
    assert shop.lost_entries() == reported + 20
    shop.wait_for_ledger()
    shop.empty_redis()
    shop.wait_until_open()
    assert shop.lost_entries() == reported + 20


def test_old_copy_of_redis_sells_nothing_before_it_is_rebuilt(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(60)
    orders = shop.sell(sale, range(20))
    before = max(shop.incarnations())
    shop.stack.stop("redis")
    copy = tmp_path / "copy"
    shutil.copytree(shop.data, copy)
    shop.stack.start("redis")
    shop.wait_until_open()
    orders += shop.sell(sale, range(20, 60))
    assert len(orders) == 60
    # What is only in an outbox goes down with the disk; `fsync` promises no more.
    shop.wait_for_ledger()
    shop.stack.kill("redis")
    shutil.rmtree(shop.data)
    shutil.copytree(copy, shop.data)
    shop.stack.start("redis")
    shop.wait_until_open()
    # All units were sold: a Redis that had gone on from its copy would accept 40 orders.
    assert shop.sell(sale, range(60, 120)) == []
    assert shop.client.stock(sale) == (60, 0, 60, 0)
    assert shop.incarnations() == {before + 1}
    shop.audit(orders, tmp_path)


def test_emptied_redis_is_rebuilt_before_anybody_defines_a_sale(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(50)
    orders = shop.sell(sale, range(30))
    paid = shop.client.pay(orders[0], "p-emptied")
    assert paid.status == 200, paid
    before = max(shop.incarnations())
    shop.wait_for_ledger()
    shop.stack.stop("order-worker")
    shop.empty_redis()
    # The queue cannot be drained without an order-worker, so the shards stay closed.
    refused = shop.client.admin({"productId": sale, "stock": 50})
    assert (refused.status, refused.code) == (503, "recovering")
    assert shop.sell(sale, range(30, 40)) == []
    assert wait_until(lambda: shop.reached("draining"), WAIT_SECONDS)
    planned = shop.recover("--plan", "--json")
    assert (planned.returncode, json.loads(planned.stdout)["servers"][0]["step"]) == (1, "recover"), planned.stderr
    refused_run = shop.recover("--run")
    assert (refused_run.returncode, "the keeper acts" in refused_run.stderr) == (3, True)
    shop.stack.start("order-worker")
    shop.wait_until_open()
    assert shop.client.stock(sale) == (50, 20, 29, 1)
    orders += shop.sell(sale, range(30, 60))
    assert len(orders) == 50
    assert shop.incarnations() == {before + 1}
    shop.audit(orders, tmp_path)


def test_order_that_only_a_frozen_worker_has_is_not_forgotten(shop: Shop, tmp_path: Path) -> None:
    """Gateway, keeper and Redis are lost as well, so nobody knows the position of the order's entry, and no hole shows it."""
    sale = shop.client.new_sale(50, durability="confirmed")
    shop.wait_for_ledger()
    reported = shop.lost_entries()
    with shop.another_keeper(), shop.another_order_worker() as worker:
        os.kill(worker, signal.SIGSTOP)
        orders: list[str] = []
        while wait_until(partial(shop.has_in_ledger, sale, orders), 0.5):
            orders += shop.sell(sale, range(len(orders), len(orders) + 1))
        for service in ("gateway", "keeper"):
            shop.stack.kill(service)
        shop.empty_redis()
        assert wait_until(shop.is_open, WAIT_SECONDS)
        assert (shop.has_in_ledger(sale, orders), shop.lost_entries()) == (True, reported)
        os.kill(worker, signal.SIGCONT)
    for service in ("keeper", "gateway"):
        shop.stack.start(service)
    shop.wait_until_open()
    assert shop.client.stock(sale) == (50, 50 - len(orders), len(orders), 0)
    shop.audit(orders, tmp_path)


def test_record_that_cannot_be_read_keeps_no_shard_closed(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(10)
    orders = shop.sell(sale, range(4))
    shop.wait_for_ledger()
    with shop.redis() as redis:
        redis.hset(sale_keys(sale).orders, orders[0].partition(".")[2], b"\xc1")
        redis.hset(sale_keys(sale).buyers, "u1", "many")
        redis.hset(shard_keys(shard_of(sale)).fence, "state", "fenced")
    shop.wait_until_open()
    assert shop.client.stock(sale) == (10, 6, 4, 0)
    shop.audit(orders, tmp_path)


# Those at which something was written since the one before; chaos has the others as well. `closing` is inside a transaction.
DEATHS = (
    "incarnation.added", "incarnation.moved", "script.answered.seal", "marker.confirmed", "incarnation.closing", "incarnation.closed",
    "script.answered.restore", "rebuild.verified", "incarnation.opened",
)  # fmt: skip


def test_keepers_that_die_at_each_step_end_the_same(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(40)
    orders = shop.sell(sale, range(20))
    assert shop.client.pay(orders[0], "p-deaths").status == 200
    shop.wait_for_ledger()
    before = max(shop.incarnations())
    shop.stack.kill("keeper")
    shop.empty_redis()
    for point in DEATHS:
        assert shop.death_of_a_keeper(point) == -signal.SIGKILL, point
        assert not shop.is_open(), point
    shop.stack.start("keeper")
    shop.wait_until_open()
    assert shop.client.stock(sale) == (40, 20, 19, 1)
    # A death between the notes of a step in the ledger and in Redis costs the shards that it separates an incarnation more.
    assert min(shop.incarnations()) > before
    orders += shop.sell(sale, range(20, 60))
    assert len(orders) == 40
    shop.audit(orders, tmp_path)


async def test_keeper_that_has_lost_its_lock_reports_no_loss_for_ever(shop: Shop) -> None:
    """Postgres failed over, and the other keeper was quicker: it reads in the ledger what the last hour lost."""
    async with open_redis(shop.stack.env()["REDIS_URL"], 5, 4) as redis:
        watch = LedgerWatch(redis, read_settings(Environment(shop.stack.env())))
        metrics.LATELY_LOST.set(7)
        assert (await watch.read(), watch.standby) == (None, True)
        watch.close()
    (family,) = metrics.LATELY_LOST.collect()
    assert [sample.value for sample in family.samples] == [0]


def test_second_keeper_waits_and_takes_over(shop: Shop) -> None:
    with shop.another_keeper() as second:
        assert wait_until(lambda: second.get("/readyz").status == 200, WAIT_SECONDS)
        assert b"flashsale_keeper_active 0.0" in second.get("/metrics").raw
        shop.stack.kill("keeper")
        assert wait_until(lambda: b"flashsale_keeper_active 1.0" in second.get("/metrics").raw, WAIT_SECONDS)
        shop.stack.kill("redis")
        shop.stack.start("redis")
        assert wait_until(shop.is_open, WAIT_SECONDS), second.get("/readyz").raw
    shop.stack.start("keeper")


def test_redis_of_another_ledger_is_refused_in_words(shop: Shop) -> None:
    shop.stack.stop("keeper")
    key = shard_keys(3).fence
    with shop.redis() as redis:
        ours = redis.hget(key, "ledger")
        redis.hset(key, mapping={"ledger": "another", "state": "fenced"})
        before = shop.fences()
        with shop.another_keeper() as keeper:
            assert wait_until(lambda: b"belongs to the ledger another" in keeper.get("/readyz").raw, WAIT_SECONDS), keeper.get(
                "/readyz"
            ).raw
            assert keeper.get("/readyz").status == 503
        run = shop.recover("--run")
        assert (run.returncode, "belongs to the ledger another" in run.stdout) == (1, True), run
        # Nothing was written, and all other shards are as they were.
        assert shop.fences() == before
        redis.hset(key, "ledger", ours)
    shop.stack.start("keeper")
    shop.wait_until_open()


def test_gateways_that_were_killed_long_ago_are_forgotten(shop: Shop) -> None:
    shop.wait_until_open()
    key = shard_keys(5).gateways
    with shop.redis() as redis:
        alive = redis.hkeys(key)
        seconds, _ = redis.time()
        redis.hset(key, mapping={"old": f"0:0:{(seconds - 700) * 1000}", "new": f"0:0:{(seconds - 60) * 1000}"})
        # A keeper that has just started goes by the times in Redis.
        shop.stack.kill("keeper")
        shop.stack.start("keeper")
        assert wait_until(lambda: not redis.hexists(key, "old"), WAIT_SECONDS)
        assert sorted(redis.hkeys(key)) == sorted([*alive, b"new"])


def test_sale_that_redis_lost_is_rebuilt_by_a_command(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(10)
    orders = shop.sell(sale, range(4))
    shop.wait_for_ledger()
    keys = sale_keys(sale)
    shop.stack.stop("order-worker")
    unfinished = shop.recover("--rebuild", "--wait-seconds", "1")
    assert (unfinished.returncode, "rebuilt" in unfinished.stdout, "has not opened it yet" in unfinished.stdout) == (1, False, True)
    shop.stack.start("order-worker")
    shop.wait_until_open()
    for stop in ((), ("keeper",)):
        shop.stack.stop(*stop) if stop else None
        with shop.redis() as redis:
            redis.delete(keys.sale, keys.orders, keys.buyers)
            redis.srem(shard_keys(shard_of(sale)).sales, sale)
        run = shop.recover("--rebuild", "--sale", sale)
        assert (run.returncode, "rebuilt" in run.stdout) == (0, True), run
        assert [line for line in run.stdout.splitlines() if "closed by hand" in line or "is fenced" in line] == [
            f"  shard {shard_of(sale)}: {'the fence is fenced' if stop else 'it was closed by hand, to be rebuilt'}"
        ], run
        assert shop.is_open()
        assert shop.client.stock(sale) == (10, 6, 4, 0)
    other = shop.recover("--plan", FLASHSALE_INSTALLATION="other")
    assert (other.returncode, "FLASHSALE_INSTALLATION is 'other'" in other.stdout) == (1, True), other
    shop.stack.start("keeper")
    shop.wait_until_open()
    shop.audit(orders, tmp_path)


def test_recovery_by_hand_does_what_the_keeper_does(shop: Shop, tmp_path: Path) -> None:
    sale = shop.client.new_sale(10)
    orders = shop.sell(sale, range(4))
    shop.wait_for_ledger()
    shop.stack.stop("keeper")
    assert shop.recover("--plan").returncode == 0
    shop.empty_redis()
    early = shop.recover("--run", "--wait-seconds", "0")
    assert (early.returncode, "rebuilt" in early.stdout, "nothing was opened" in early.stdout) == (1, False, True), early
    away = shop.recover("--run", "--wait-seconds", "3", AMQP_URL="amqp://x:y@127.0.0.1:1/")
    assert (away.returncode, "rebuilt" in away.stdout, "nothing was opened" in away.stdout) == (1, False, True), away
    assert not shop.is_open()
    run = shop.recover("--run")
    assert (run.returncode, "rebuilt" in run.stdout, "0 outbox entries are lost" in run.stdout) == (0, True, True), run
    assert shop.is_open()
    rebuilt = shop.incarnations()
    shop.stack.start("keeper")
    shop.wait_until_open()
    assert (shop.incarnations(), shop.client.stock(sale)) == (rebuilt, (10, 6, 4, 0))
    shop.audit(orders, tmp_path)

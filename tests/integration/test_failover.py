"""A server's address moves to a new one while the old one still runs and refuses writes: clients leave the old one by themselves."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from flashsale_audit.connect import connect
from flashsale_cli.audit.stores import stores_of
from flashsale_cli.environment import CliEnvironment
from flashsale_core.errors import Retryable
from flashsale_core.keys import define_keys, sale_keys, shard_keys
from flashsale_core.scripts import call, pack
from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway.outbox import monitor
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.outbox.monitor import Lag, Monitor
from flashsale_local_stack import Stack, wait_until
from flashsale_operator.sale_store import SaleStore
from flashsale_order_worker.plan import plan
from flashsale_order_worker.repository import Repository
from flashsale_redis import open_redis
from flashsale_redis.single import LEAVE_EVERY_SECONDS
from flashsale_timeout_worker.expiry import Expiry
from tests.fences import empty, open_now
from tests.integration.broker import until
from tests.integration.client import Client
from tests.integration.forwarder import Forwarder, forwarding
from tests.integration.gateways import gateway_on
from tests.integration.ledger import open_ledger
from tests.integration.order_events import reserved
from tests.integration.test_watch import settings_of
from tests.lua.servers import SCRIPTS, found_servers, running

WAIT_SECONDS = 30.0
BUYERS = 8


def port_of(server: Any) -> int:
    return int(server.connection_pool.connection_kwargs["port"])


class Pair:
    """Two Redis servers, and an address that leads to the first."""

    def __init__(self, old: Any, new: Any, address: Forwarder) -> None:
        self.old, self.new, self.address = old, new, address
        self.url = f"redis://127.0.0.1:{address.port}/0"

    def demote(self) -> None:
        """Make the new server the master, with everything that the old one had, and the old one its replica."""
        assert wait_until(lambda: self.old.execute_command("WAIT", 1, 1000) == 1, WAIT_SECONDS)
        self.new.replicaof("NO", "ONE")
        self.old.replicaof("127.0.0.1", port_of(self.new))
        open_now(self.new)
        # Until it has the new fence too, the old server may refuse scripts because of its history, not because it is a replica.
        assert wait_until(lambda: self.new.execute_command("WAIT", 1, 1000) == 1, WAIT_SECONDS)

    async def cut_off_and_move(self) -> None:
        """Demote the old server, which keeps its old data because it does not reach its master, and move the address."""
        await asyncio.to_thread(self.demote)
        await asyncio.to_thread(self.old.replicaof, "127.0.0.1", 1)
        self.move()

    def move(self) -> None:
        self.address.move(port_of(self.new))


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[Any, Any]]:
    with running(found_servers()[0]) as old, running(found_servers()[0]) as new:
        for server in (old, new):
            server.config_set("repl-diskless-sync-delay", 0)
        yield old, new


@pytest.fixture
def pair(servers: tuple[Any, Any]) -> Iterator[Pair]:
    old, new = servers
    old.replicaof("NO", "ONE")
    empty(old)
    new.replicaof("127.0.0.1", port_of(old))
    assert wait_until(lambda: new.info("replication")["master_link_status"] == "up", WAIT_SECONDS)
    # The first replica gives its master a new replication id.
    open_now(old)
    with forwarding(port_of(old)) as address:
        yield Pair(old, new, address)


async def test_no_command_is_refused_after_the_address_moved(pair: Pair, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flashsale_redis"):
        async with open_redis(pair.url, WAIT_SECONDS, 2 * BUYERS) as redis:

            async def define(number: int) -> Any:
                asked = pack({"owner": "shop", "generation": 0, "total": 5})
                return (await call(redis, SCRIPTS.define, define_keys(f"s{number}"), f"s{number}", asked, ""))[1]

            async def written(number: int) -> Any:
                async with redis.pipeline(transaction=False) as pipe:
                    pipe.set(f"k{number}", number)
                    pipe.get(f"k{number}")
                    return await pipe.execute()

            async def read_blocking() -> Any:
                return await redis.xread({"s": "0"}, block=20_000)

            blocked = asyncio.create_task(read_blocking())
            before = await asyncio.gather(*[define(number) for number in range(BUYERS)])
            pair.move()
            await asyncio.to_thread(pair.demote)
            after = await asyncio.gather(*[define(number) for number in range(BUYERS, 2 * BUYERS)], *[written(n) for n in range(BUYERS)])
            await asyncio.to_thread(pair.new.xadd, "s", {"k": "v"})
            read = await blocked
    assert (before, after[:BUYERS]) == (["created"] * BUYERS, ["created"] * BUYERS)
    assert after[BUYERS:] == [[True, str(number).encode()] for number in range(BUYERS)]
    assert len(read) == 1
    assert [record.message for record in caplog.records] == ["redis.wrong_server"]


async def test_worker_is_not_ready_while_its_redis_is_a_replica(pair: Pair) -> None:
    async with open_redis(pair.url, 5, 4) as redis:
        expiry = Expiry(redis, SCRIPTS, 16, 5, 1)
        await expiry.ping()
        await asyncio.to_thread(pair.demote)
        with pytest.raises(Retryable, match="takes no writes: look at where REDIS_URL leads"):
            await expiry.ping()
        pair.move()
        # The address is checked at most ten times a second.
        await asyncio.sleep(2 * LEAVE_EVERY_SECONDS)
        await expiry.ping()


async def test_sweep_that_only_reads_leaves_a_demoted_redis(pair: Pair) -> None:
    async with open_redis(pair.url, 5, 4) as redis:
        expiry = Expiry(redis, SCRIPTS, 16, 5, 1)
        assert (await expiry.overdue(range(16), 0)).shards == []
        await pair.cut_off_and_move()
        await asyncio.to_thread(pair.new.zadd, shard_keys(3).deadlines, {"sale|order": 1})

        async def finds_the_order() -> bool:
            try:
                return (await expiry.overdue(range(16), 0)).shards == [3]
            except Retryable:
                return False

        await until(finds_the_order)


async def test_operators_sweep_leaves_a_demoted_redis(pair: Pair) -> None:
    async with open_redis(pair.url, 5, 4) as redis:
        sales = SaleStore(redis, SCRIPTS, 16, 5)
        assert await sales.read_many(["shoe"]) == [{}]
        await pair.cut_off_and_move()
        await asyncio.to_thread(pair.new.hset, sale_keys("shoe", 16).sale, "total", 5)

        async def reads_the_sale() -> bool:
            try:
                return await sales.read_many(["shoe"]) == [{"total": "5"}]
            except Retryable:
                return False

        await until(reads_the_sale)


async def test_audit_refuses_a_replica(pair: Pair, infra: Mapping[str, str]) -> None:
    await asyncio.to_thread(pair.demote)
    environment = CliEnvironment({**infra, "REDIS_URL": pair.url})
    with pytest.raises(Retryable, match="leads to a replica"):
        async with connect(stores_of(environment)):
            pass


async def test_gateway_that_only_reads_also_leaves_a_demoted_redis(
    pair: Pair, infra: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MEASURE_EVERY_SECONDS", 0.01)
    async with open_redis(pair.url, 5, 4) as redis, open_redis(pair.url, 5, 4) as reading:
        watching = asyncio.create_task(Monitor((redis, reading), cast("DirectOutbox", None), settings_of(infra), Lag(1000)).run())
        try:
            assert [await client.get("k") for client in (redis, reading)] == [None, None]
            await pair.cut_off_and_move()
            await asyncio.to_thread(pair.new.set, "k", "new")
            async with asyncio.timeout(WAIT_SECONDS):
                while [await client.get("k") for client in (redis, reading)] != [b"new"] * 2:  # noqa: ASYNC110 - a server that changes
                    await asyncio.sleep(0.01)
        finally:
            await cancel_and_wait(watching)


def test_gateway_recovers_when_its_redis_was_demoted(pair: Pair, infra_stack: Stack, tmp_path: Path) -> None:
    log = tmp_path / "gateway.log"
    env = infra_stack.env() | {"REDIS_URL": pair.url, "FLASHSALE_REQUIRE_DURABLE_REDIS": "false"}
    with gateway_on(env, log) as running, ThreadPoolExecutor(BUYERS) as buyers:
        client = Client(env | {"FLASHSALE_URL": running.url})
        sale = client.new_sale(1000)

        def orders(name: str) -> list[int]:
            return list(buyers.map(lambda number: client.order(sale, f"{name}{number}").status, range(100)))

        assert orders("a") == [200] * 100
        pair.demote()
        refused, ready = client.order(sale, "b"), client.get("/readyz")
        assert (refused.status, refused.code, ready.status) == (503, "not_ready", 503)
        # Buyers do not see a server's error about scripts.
        assert "detail" not in refused.body
        assert "look at where REDIS_URL leads" in ready.body["detail"]
        pair.move()
        assert wait_until(lambda: client.order(sale, "c").status == 200, WAIT_SECONDS)
        # Another connection may still lead to the old server, and connections are ended at most ten times a second.
        time.sleep(2 * LEAVE_EVERY_SECONDS)
        assert orders("d") == [200] * 100
        assert wait_until(lambda: client.get("/readyz").status == 200, WAIT_SECONDS)
        assert client.stock(sale) == (1000, 1000 - 201, 201, 0)
    warnings = [line for line in log.read_text().splitlines() if '"redis.wrong_server"' in line]
    # One for each client: for orders, for reads and of the relay.
    assert 1 <= len(warnings) <= 3, log.read_text()


@asynccontextmanager
async def writable_again(connection: Any) -> AsyncIterator[None]:
    """`refuse_writes` inside the block ends with it."""
    try:
        yield
    finally:
        await connection.execute("set default_transaction_read_only = off")
        await connection.execute("alter system reset default_transaction_read_only")
        await connection.execute("alter role current_user reset default_transaction_read_only")
        await connection.execute("select pg_reload_conf()")


async def refuse_writes(connection: Any) -> None:
    """Only connections from before are read-only then, as on a primary that became a standby."""
    await connection.execute("alter role current_user set default_transaction_read_only = off")
    await connection.execute("alter system set default_transaction_read_only = on")
    await connection.execute("select pg_reload_conf()")


async def test_ledger_leaves_a_server_that_refuses_writes(infra: Mapping[str, str]) -> None:
    url, faults = infra["DATABASE_URL"], []
    async with open_ledger(url) as ledger, writable_again(ledger.connection):
        repository = Repository(url, WAIT_SECONDS, 0.01)
        try:
            await repository.write(plan([("1-0", reserved("o1"))]))
            await refuse_writes(ledger.connection)
            for number in range(200):
                try:
                    await repository.check_schema()
                    await repository.write(plan([("2-0", reserved(f"o{number + 2}"))]))
                except Retryable as error:
                    faults.append(str(error))
                    break
                await asyncio.sleep(0.05)
            await repository.check_schema()
            await repository.write(plan([("3-0", reserved("last"))]))
        finally:
            await repository.close()
    (fault,) = faults
    assert "takes no writes: look at where DATABASE_URL leads" in fault


async def test_refunds_are_not_counted_on_a_server_that_refuses_writes(infra: Mapping[str, str]) -> None:
    url = infra["DATABASE_URL"]
    async with open_ledger(url) as ledger, writable_again(ledger.connection):
        repository = Repository(url, WAIT_SECONDS, 0.01)
        try:
            await repository.open_refunds()
            await refuse_writes(ledger.connection)

            async def refuses_to_count() -> bool:
                try:
                    await repository.open_refunds()
                except Retryable as error:
                    return "takes no writes" in str(error)
                return False

            await until(refuses_to_count)
            # The next connection leads to the new primary.
            assert (await repository.open_refunds())[0] >= 0
        finally:
            await repository.close()

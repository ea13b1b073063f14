"""The chart's Redis users: each may call its scripts and connect as its service does, and none can stop the server."""

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis

from flashsale_core.keys import INSTALLATION_DEFAULT, SHARDS_DEFAULT, attest_keys, reclaim_keys, shard_of
from flashsale_core.scripts import load_scripts, pack, read_script
from flashsale_redis.client import open_redis
from flashsale_storefront.source import Source
from tests.lua.servers import SCRIPTS, Sale

LUA = Path(__file__).parents[2] / "lua"
TEMPLATE = Path(__file__).parents[2] / "deploy/helm/flashsale/templates/redis.yaml"
PASSWORD = "0123456789"
FAILOVER_TEMPLATE = TEMPLATE.with_name("_redis-failover.tpl")
CALLERS = {
    "gateway": ("reserve", "settle", "cancel", "return_order", "restock", "define", "retire", "reclaim", "prune_consumers", "attest"),
    "timeout-worker": ("expire", "retire"),
    "operator": ("define", "retire", "attest"),
    "keeper": ("attest", "seal", "restore", "look", "scan", "restock"),
    "audit": ("look", "scan"),
}
RECOVERY = {"keeper": ("attest", "seal", "restore")}


def rules(template: Path = TEMPLATE, file: str = "acl-rules") -> dict[str, list[str]]:
    """The ACL rules of each user, as the chart gives them."""
    (block,) = re.findall(rf"^{file}: \|\n((?:  .*\n)+)", template.read_text(), re.MULTILINE)
    return {line.split()[0]: line.split()[1:] for line in block.splitlines()}


USERS = sorted(rules())


def connected(server: Any, user: str) -> Any:
    """A client of the server as `user` of the chart."""
    words = {**rules(), **rules(FAILOVER_TEMPLATE, "replication-acl-rules")}[user]
    if server.info()["redis_version"].startswith("7.0") and "valkey_version" not in server.info():
        # Redis lacks a command of the rule and would refuse it. The chart brings Valkey.
        words = [word for word in words if word != "+client|setinfo"]
    server.execute_command("ACL", "SETUSER", user, "reset", "on", f">{PASSWORD}", *words)
    return redis.Redis(port=server.connection_pool.connection_kwargs["port"], username=user, password=PASSWORD)


def test_each_script_runs_as_its_caller(server: Any, sale: Sale) -> None:
    gateway, worker, operator, keeper, audit = (Sale(connected(server, user)) for user in CALLERS)
    assert operator.define(total=5, owner="shop")[0] == "created"
    assert gateway.define(total=6)[0] == "not_owner"
    assert [result[0] for result in gateway.reserve(("o1", "ann", 1), ("o2", "bob", 1), ("o3", "cem", 1))] == ["accepted"] * 3
    assert gateway.settle(("o1", "p1"))[0][0] == "paid"
    assert gateway.take_back(("o1", True))[0][0] == "returned"
    assert gateway.restock("o1") == 1
    assert gateway.cancel("o2")[0][0] == "cancelled"
    worker.now += 10_000_000
    assert worker.expire("o3")[0][0] == "expired"
    assert operator.retire("close", "shop")[0] == "closed"
    assert operator.retire("remove", "shop")[0] == "removed"
    assert b"total" not in server.hgetall(sale.keys.sale)
    assert gateway.define(total=1, ends_ms=gateway.now + 1)[0] == "created"
    assert (worker.redis.sscan(worker.shard.sales), worker.prune(0)) == ((0, [b"iphone"]), "removed")
    assert gateway.define(total=1)[0] == "created"
    keys = reclaim_keys(shard_of(sale.name))
    gateway.redis.eval(SCRIPTS.reclaim.source, len(keys), *keys, "0", "10", str(sale.now))
    look_keys = (sale.keys.sale, sale.keys.orders, sale.keys.buyers, sale.shard.deadlines, sale.shard.fence)
    for caller in (keeper, audit):
        looked = caller.redis.eval(read_script(LUA, "look").source, 5, *look_keys, sale.name, "0", "10", pack([]), pack([]), "")
        assert looked[1] == b"known"
    fence_keys = attest_keys(shard_of(sale.name))
    for caller, name in ((gateway, "pod-1"), (operator, ""), (keeper, "")):
        attested = msgspec.msgpack.decode(caller.redis.eval(SCRIPTS.attest.source, 2, *fence_keys, name, "0", "0", ""))
        assert attested[1] == "open"
    sealed = keeper.redis.eval(SCRIPTS.seal.source, 1, fence_keys[0], "1", "open", pack({"state": "fenced"}), "1", "")
    assert msgspec.msgpack.decode(sealed)[1] == "sealed"
    for caller in (gateway, worker, operator, keeper, audit):
        caller.redis.close()


@pytest.mark.parametrize(("user", "script"), [(user, script) for user, scripts in {**CALLERS, **RECOVERY}.items() for script in scripts])
def test_caller_may_run_every_command_of_its_script(user: str, script: str) -> None:
    commands = {name.lower() for name in re.findall(r"redis\.p?call\('(\w+)'", read_script(LUA, script).source)}
    assert commands <= {word.removeprefix("+").split("|")[0] for word in rules()[user]}


@pytest.mark.parametrize("user", USERS)
async def test_service_connects_without_a_refusal(server: Any, user: str) -> None:
    connected(server, user).close()
    server.execute_command("ACL", "LOG", "RESET")
    port = server.connection_pool.connection_kwargs["port"]
    async with open_redis(f"redis://{user}:{PASSWORD}@127.0.0.1:{port}/0", timeout_seconds=5, connections_max=2) as client:
        assert await client.ping()
        # The audit is a command: it loads its only script with the call.
        if "+script|load" in rules()[user]:
            await load_scripts(client, SCRIPTS)
    # The probe is valkey-cli in the server's own pod: it sends no HELLO or CLIENT, and needs only PING.
    assert [entry["object"] for entry in server.acl_log() if user != "probe"] == []


@pytest.mark.parametrize("user", USERS)
def test_no_user_can_pause_the_server_or_close_other_connections(server: Any, user: str) -> None:
    client = connected(server, user)
    for words in (
        ("CLIENT", "PAUSE", "1"),
        ("CLIENT", "KILL", "TYPE", "normal"),
        ("CLIENT", "LIST"),
        ("CLIENT", "UNBLOCK", "1"),
        ("CLIENT", "NO-EVICT", "on"),
        ("CONFIG", "SET", "save", ""),
        ("SHUTDOWN", "NOSAVE"),
        ("FLUSHALL",),
        ("GET", "other"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)
    client.close()


def test_only_the_gateway_may_read_the_server_settings(server: Any) -> None:
    asked = {user for user in USERS if "+config|get" in rules()[user]}
    assert asked == {"gateway"}
    client = connected(server, "gateway")
    assert client.config_get("appendfsync") in ({"appendfsync": "always"}, {"appendfsync": "everysec"})
    client.close()


async def test_storefront_reads_sales_and_fences_and_no_order(server: Any, sale: Sale) -> None:
    """It is the one service that everybody may reach: with its password nobody sees who ordered, and nobody changes anything."""
    connected(server, "gateway").close()
    sale.define(total=5)
    sale.reserve(("o1", "ann", 1))
    client = connected(server, "storefront")
    for words in (
        ("HGETALL", sale.keys.orders),
        ("HGETALL", sale.keys.buyers),
        ("HGETALL", sale.shard.gateways),
        ("HSET", sale.keys.sale, "total", "9"),
        ("EVAL", "return 1", "0"),
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.execute_command(*words)
    client.close()
    port = server.connection_pool.connection_kwargs["port"]
    async with open_redis(f"redis://storefront:{PASSWORD}@127.0.0.1:{port}/0", timeout_seconds=5, connections_max=2) as reader:
        reading = await Source(reader, INSTALLATION_DEFAULT, SHARDS_DEFAULT, 5).read([sale.name, "other"])
    assert (reading.fields[sale.name] or {})["total"] == "5"


def test_sentinel_may_change_the_master_and_reads_no_sale(server: Any, sale: Sale) -> None:
    """As Sentinel does it: https://redis.io/docs/latest/operate/oss_and_stack/management/sentinel/."""
    sale.define(total=5)
    sentinel = connected(server, "sentinel")
    assert sentinel.info()["role"] == "master"
    assert sentinel.publish("__sentinel__:hello", "x") == 0
    with sentinel.pipeline(transaction=True) as pipe:
        pipe.execute_command("SLAVEOF", "NO", "ONE")
        pipe.execute_command("CONFIG REWRITE")
        pipe.execute_command("CLIENT KILL", "TYPE", "pubsub")
        *_, killed = pipe.execute(raise_on_error=False)
    assert killed == 0
    for words in (("HGETALL", sale.keys.sale), ("FLUSHALL",), ("CONFIG", "SET", "appendonly", "no"), ("PUBLISH", "x", "y"), ("SHUTDOWN",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            sentinel.execute_command(*words)
    sentinel.close()


def test_replica_may_copy_and_send_no_other_command(server: Any) -> None:
    replica = connected(server, "replica")
    assert replica.execute_command("REPLCONF", "capa", "eof") == b"OK"
    for words in (("GET", "x"), ("INFO",), ("CONFIG", "GET", "*"), ("FLUSHALL",)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            replica.execute_command(*words)
    replica.close()

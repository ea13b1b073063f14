"""A dump of the ledger brings everything back, and Redis brings back what an old dump lacks (docs/backups.md)."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flashsale_core.keys import SHARDS_DEFAULT, shard_keys
from flashsale_local_stack import Stack, binaries, private_stack, wait_until
from tests.integration.client import Client
from tests.integration.stores import redis_client

SALE, STOCK = "shoe", 12
BUYERS = [f"u{number}" for number in range(8)]
PAID, CANCELLED, HELD = BUYERS[:3], BUYERS[3], BUYERS[4:]
TIMEOUT_SECONDS = 120
KEPT = ("FLASHSALE_ORDER_ID_KEY", "FLASHSALE_WEBHOOK_SECRET", "FLASHSALE_ADMIN_TOKEN")
"""The secrets that a backup has to contain besides the dump."""


@dataclass
class Restored:
    """A new installation that was restored from the dump of a lost one."""

    stack: Stack
    dump: Path
    orders: Mapping[str, str]
    """Buyer -> the order that the lost installation accepted."""


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Restored]:
    dump = tmp_path_factory.mktemp("backup") / "ledger.dump"
    with private_stack() as lost:
        env = lost.env()
        orders = sold(Client(env))
        assert audit(env, SALE) == []
        postgres("pg_dump", "--format=custom", "--no-owner", "--no-privileges", "--file", dump, env["DATABASE_URL"])
    with private_stack(services=False, extra_env={name: env[name] for name in KEPT}) as new:
        restore(new, dump)
        new.up(gateway_port=0)
        yield Restored(new, dump, orders)


def sold(client: Client) -> dict[str, str]:
    """A sale with orders that are paid, cancelled and held; returns the orders by buyer."""
    assert client.admin({"productId": SALE, "stock": STOCK, "paymentWindowSeconds": 900}).status == 201
    orders = {user: client.order(SALE, user).body["orderId"] for user in BUYERS}
    for user in PAID:
        assert client.pay(orders[user], f"p-{user}").status == 200
    assert client.send("DELETE", f"/orders/{orders[CANCELLED]}").status == 200
    assert client.stock(SALE) == (STOCK, 5, 4, 3)
    return orders


def restore(stack: Stack, dump: Path) -> None:
    options = ("--clean", "--if-exists", "--no-owner", "--no-privileges", "--single-transaction")
    postgres("pg_restore", *options, "--dbname", stack.env()["DATABASE_URL"], dump)


def postgres(program: str, *words: object) -> None:
    command = [binaries.postgres(program), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    assert done.returncode == 0, done.stderr


def audit(env: Mapping[str, str], sale: str, wait_seconds: int = 60) -> list[Any]:
    """The differences between Redis and the ledger."""
    command = [sys.executable, "-m", "flashsale_cli", "audit", sale, "--wait-seconds", str(wait_seconds), "--json"]
    done = subprocess.run(command, env=os.environ | env, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, check=False)
    return list(json.loads(done.stdout)["differences"])


def test_dump_of_the_ledger_brings_a_sale_into_a_new_installation(restored: Restored) -> None:
    client = Client(restored.stack.env())
    assert client.stock(SALE) == (STOCK, 5, 4, 3)
    # Repeated requests get their first answers, and nothing is sold or refunded twice.
    assert [client.order(SALE, user).body["orderId"] for user in HELD] == [restored.orders[user] for user in HELD]
    assert client.pay(restored.orders[PAID[0]], f"p-{PAID[0]}").status == 200
    assert client.pay(restored.orders[HELD[0]], "p-late").status == 200
    assert client.stock(SALE) == (STOCK, 5, 3, 4)
    answers = [client.order(SALE, f"new{number}") for number in range(8)]
    assert [answer.status for answer in answers].count(200) == 5, [answer.code for answer in answers if answer.status != 200]
    assert client.stock(SALE) == (STOCK, 0, 8, 4)
    assert audit(restored.stack.env(), SALE) == []


def test_redis_brings_back_what_an_older_dump_lacks(restored: Restored) -> None:
    env = restored.stack.env()
    client = Client(env)
    sale = client.new_sale(5)
    orders = [client.order(sale, user).body["orderId"] for user in BUYERS[:3]]
    assert client.pay(orders[0], "p-hat").status == 200
    assert audit(env, sale) == []
    for service in ("keeper", "order-worker"):
        restored.stack.kill(service)
    restore(restored.stack, restored.dump)
    for service in ("order-worker", "keeper"):
        restored.stack.start(service)
    assert audit(env, sale, wait_seconds=0) != []
    with redis_client(env["REDIS_URL"]) as redis:
        for shard in range(SHARDS_DEFAULT):
            redis.hset(shard_keys(shard).fence, "state", "fenced")
    assert wait_until(lambda: client.order(sale, "last").status == 200, TIMEOUT_SECONDS)
    assert client.stock(sale) == (5, 1, 3, 1)
    assert audit(env, sale) == []

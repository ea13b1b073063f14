"""Real, private Redis and Valkey servers for the script tests, and the scripts on them with a clock that the test sets."""

import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import redis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from flashsale_core.keys import (
    SaleKeys,
    ShardKeys,
    define_keys,
    order_keys,
    reserve_keys,
    restock_keys,
    return_keys,
    sale_keys,
    settle_keys,
    shard_keys,
    shard_of,
)
from flashsale_core.messages import Message, decode
from flashsale_core.records import OrderRecord, unpack_record
from flashsale_core.scripts import Cancel, Order, Payment, pack, pack_orders, pack_payments, read_scripts
from flashsale_local_stack import free_ports
from tests.fences import open_now

ROOT = Path(__file__).parents[2]
SCRIPTS = read_scripts(ROOT / "lua")
START_TIMEOUT_SECONDS = 60
FAR = next(name for number in range(1000) if shard_of(name := f"far-{number}") != shard_of("iphone"))
"""A sale in another shard than `iphone`."""
FENCED = sorted(path.stem for path in (ROOT / "lua").glob("*.lua") if "require_open(" in path.read_text())
"""The scripts that write only while the fence of their shard is open."""
UNFENCED = {
    "attest": "it notes what a gateway was answered, and closes a fence that has less",
    "prune_consumers": "it removes idle consumers, and no entry",
    "restore": "it writes only while recovery keeps the fence closed",
    "seal": "it opens and closes the fence",
}
"""Every other script that writes, and why it does not need an open fence."""


def found_servers() -> list[str]:
    """Every server this machine has: at least one, or the tests cannot run."""
    candidates = ["redis-server", "valkey-server", str(ROOT / ".bootstrap/valkey/usr/bin/valkey-server")]
    servers = {Path(path).name: path for name in candidates if (path := shutil.which(name))}
    if not servers:
        raise RuntimeError("neither redis-server nor valkey-server is installed; run `make test`, or scripts/servers.sh test")
    return sorted(servers.values())


@contextmanager
def running(binary: str) -> Iterator[Any]:
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory(prefix="flashsale-lua-") as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        client: Any = redis.Redis(port=port)
        try:
            _wait(client)
            yield client
        finally:
            client.close()
            process.terminate()
            process.wait(10)


def _wait(client: Any) -> None:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        try:
            client.ping()
            return
        except redis.ConnectionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def empty(client: Any) -> None:
    """A server as a new installation has it: no data, and an open fence in each shard."""
    client.flushdb()
    open_now(client)


def run_life(binary: str, life: type[RuleBasedStateMachine], examples: int, steps: int) -> None:
    """Run random lives, which find their server as the attribute `client`."""
    with running(binary) as client:
        run_state_machine_as_test(
            type(life.__name__, (life,), {"client": client}),
            settings=settings(
                max_examples=examples, stateful_step_count=steps, deadline=None, derandomize=True, database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )  # fmt: skip


class Sale:
    """One sale and its scripts. `now` is the clock, in ms: nothing here waits."""

    def __init__(self, client: Any, name: str = "iphone") -> None:
        self.redis = client
        self.name = name
        self.now = 1_000_000_000_000
        self.keys: SaleKeys = sale_keys(name)
        self.shard: ShardKeys = shard_keys(shard_of(name))

    def define(self, **fields: Any) -> tuple[str, dict[str, str]]:
        wanted = {"owner": "admin", "generation": 0, **fields}
        _, status, flat, _ = self._call("define", define_keys(self.name), self.name, pack(wanted))
        return status, dict(zip(flat[::2], flat[1::2], strict=True))

    def confirm_definition(self) -> None:
        """Delete the entry of the last definition, as a gateway does once the broker has confirmed it."""
        self.redis.xdel(self.shard.outbox, self.redis.hget(self.keys.sale, "announced"))

    def reserve(self, *orders: tuple[Any, ...]) -> list[list[Any]]:
        """Orders as (id, user, quantity) or (id, user, quantity, traceparent)."""
        return list(reserve_many((self, orders))[0][0])

    def reserve_confirmed(self, *orders: tuple[Any, ...]) -> list[list[Any]]:
        """As `reserve`, for a caller that waits for the broker's confirm."""
        return list(reserve_many((self, orders), confirms=True)[0][0])

    def settle(self, *payments: tuple[Any, ...]) -> list[list[Any]]:
        """Payments as (order id, payment id) or with kind, amount, currency and traceparent."""
        return list(settle_many((self, payments))[0][0])

    def settle_confirmed(self, *payments: tuple[Any, ...]) -> list[list[Any]]:
        """As `settle`, for a caller that waits for the broker's confirm."""
        return list(settle_many((self, payments), confirms=True)[0][0])

    def expire(self, *order_ids: str) -> list[list[Any]]:
        return list(self._call("expire", order_keys(self.name), self.name, pack(order_ids))[1])

    def cancel(self, *order_ids: str, owner: str = "") -> list[list[Any]]:
        return list(self._call("cancel", order_keys(self.name), self.name, pack([Cancel(order_id, owner) for order_id in order_ids]))[1])

    def take_back(self, *orders: tuple[str, bool] | tuple[str, bool, str], confirms: bool = False) -> list[list[Any]]:
        """Return orders, each (id, restock), or with who asks for it."""
        return list(self._take_back(orders, "1" if confirms else "")[0])

    def _take_back(self, orders: Sequence[tuple[str, bool] | tuple[str, bool, str]], confirms: str) -> tuple[list[Any], list[Any]]:
        _, results, entries, _ = self._call("return_order", return_keys(self.name), self.name, pack(orders), confirms)
        return results, entries

    def restock(self, *order_ids: str) -> int:
        """How many units are for sale again."""
        return int(self._call("restock", restock_keys(self.name), self.name, pack(order_ids))[2])

    def prune(self, retention_ms: int) -> str:
        return str(self._call("retire", define_keys(self.name), self.name, "prune", "admin", clock_and=(str(retention_ms),))[1])

    def retire(self, action: str, owner: str = "admin") -> list[Any]:
        return list(self._call("retire", define_keys(self.name), self.name, action, owner)[1:3])

    def stock(self) -> tuple[int, ...]:
        """(total, available, reserved, sold)"""
        return tuple(int(value or 0) for value in self.redis.hmget(self.keys.sale, "total", "available", "reserved", "sold"))

    def records(self) -> dict[str, OrderRecord]:
        return {order_id.decode(): unpack_record(packed) for order_id, packed in self.redis.hgetall(self.keys.orders).items()}

    def buyers(self) -> dict[str, int]:
        return {user: units for user, units in self._counts().items() if not user.startswith("#")}

    def released(self) -> dict[str, int]:
        """Orders that expired or were cancelled, by user."""
        return {user[1:]: orders for user, orders in self._counts().items() if user.startswith("#")}

    def _counts(self) -> dict[str, int]:
        return {user.decode(): int(count) for user, count in self.redis.hgetall(self.keys.buyers).items()}

    def deadlines(self) -> dict[str, int]:
        members = self.redis.zrange(self.shard.deadlines, 0, -1, withscores=True)
        return {member.decode().removeprefix(f"{self.name}|"): int(score) for member, score in members}

    def outbox(self) -> list[tuple[str, bytes]]:
        """(routing key, body) of every entry, oldest first."""
        return [(fields[b"k"].decode(), fields[b"b"]) for _, fields in self.redis.xrange(self.shard.outbox)]

    def terms(self) -> list[Any]:
        """The values of records.TERMS in the packed terms."""
        script = "return cjson.encode({cmsgpack.unpack(redis.call('HGET', KEYS[1], 'terms'))})"
        return list(json.loads(self.redis.eval(script, 1, self.keys.sale)))

    def snapshot(self) -> dict[bytes, Any]:
        """Everything in the server but the fences, comparable."""
        return {key: self.redis.dump(key) for key in sorted(self.redis.keys()) if not key.endswith(b":fence")}

    def _call(self, script: str, keys: Sequence[str], *args: Any, clock_and: Sequence[str | bytes] = ()) -> Any:
        source = getattr(SCRIPTS, script).source
        return msgspec.msgpack.decode(self.redis.eval(source, len(keys), *keys, *args, str(self.now), *clock_and))


Some = tuple[Sale, Sequence[tuple[Any, ...]]]
"""A sale and its orders or payments."""


def reserve_many(*asked: Some, confirms: bool = False) -> tuple[list[Any], list[Any]]:
    """One call for several sales: (the results of each, the entries). The first sale's clock counts."""
    keys = reserve_keys([sale.name for sale, _ in asked])
    packed = pack_orders([(sale.name, [Order(*order) for order in orders]) for sale, orders in asked], confirms=confirms)
    _, results, entries, _ = asked[0][0]._call("reserve", keys, packed)
    return _by_sale(asked, results), entries


def settle_many(*asked: Some, confirms: bool = False) -> tuple[list[Any], list[Any]]:
    """As `reserve_many`."""
    defaults = ("succeeded", 100, "EUR", "")
    keys = settle_keys([sale.name for sale, _ in asked])
    packed = pack_payments(
        [(sale.name, [Payment(*payment, *defaults[len(payment) - 2 :]) for payment in payments]) for sale, payments in asked],
        confirms=confirms,
    )
    _, results, entries, _ = asked[0][0]._call("settle", keys, packed)
    return _by_sale(asked, results), entries


def _by_sale(asked: Sequence[Some], results: list[Any]) -> list[Any]:
    """The results of each sale; only its reason, once, if the sale could not be decided."""
    by_sale: list[Any] = []
    for _, items in asked:
        own, results = results[: len(items)], results[len(items) :]
        reasons = {result for result in own if isinstance(result, str)}
        assert len(reasons) + all(isinstance(result, list) for result in own) == 1
        by_sale.append(reasons.pop() if reasons else own)
    return by_sale


def unplaced(body: bytes) -> Message:
    """The message of a body, without its position."""
    return msgspec.structs.replace(decode(body), seq=None)

"""The Lua scripts: loaded from `lua/`, registered by SHA-1, called by EVALSHA, loaded again when the server has forgotten them.

The module imports no client: `Redis` below is the part of redis-py's asyncio client that it needs.
"""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

import msgspec

from flashsale_core import crash
from flashsale_core.errors import SettingsError

NAMES = (
    "reserve",
    "settle",
    "expire",
    "cancel",
    "return_order",
    "restock",
    "define",
    "retire",
    "reclaim",
    "prune_consumers",
    "attest",
    "seal",
    "restore",
)
_INCLUDE = re.compile(r"^-- @include (\S+)$", re.MULTILINE)


# Structs as arrays, because one is made for each order: they take a quarter of a NamedTuple's time, and are packed like tuples.
class Order(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order for `reserve`."""

    order_id: str
    user_id: str
    quantity: int
    traceparent: str = ""
    """Empty if the order is not traced."""
    other_id: str = ""
    """What the order would be called by the other key of order ids; empty while there is one key. All orders of a call have it, or none."""


class Payment(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A payment for `settle`."""

    order_id: str
    payment_id: str
    kind: str
    """succeeded or failed"""
    amount_minor: int
    currency: str
    traceparent: str = ""
    """Empty if the payment is not traced."""


class Cancel(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order for `cancel`."""

    order_id: str
    owner: str = ""
    """The only buyer whose order it may be; empty for any."""


class Return(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """An order for `return_order`."""

    order_id: str
    restock: bool
    """Whether its units are for sale again."""
    by: str = ""
    """Who asks for it."""


STATUS, STATE, DEADLINE_MS, RETRY_AFTER_MS, ROUTING_KEY, ORDER_ID = range(6)
"""Positions in the result of `reserve` for one order. Trailing fields may be missing, and others empty.

The routing key names the entry to be confirmed; the order id is that of an order that was found by its other id.
"""


class Redis(Protocol):
    async def execute_command(self, *args: Any, **options: Any) -> Any: ...


@dataclass(frozen=True, slots=True)
class Script:
    name: str
    source: str
    sha: str


@dataclass(frozen=True, slots=True)
class Scripts:
    reserve: Script
    settle: Script
    expire: Script
    cancel: Script
    return_order: Script
    restock: Script
    define: Script
    retire: Script
    reclaim: Script
    prune_consumers: Script
    attest: Script
    seal: Script
    restore: Script

    def __iter__(self) -> Any:
        return iter([getattr(self, name) for name in NAMES])


def read_scripts(lua_dir: Path) -> Scripts:
    """All scripts of `lua_dir`. Raises SettingsError when one is missing: a service without its scripts must not start."""
    return Scripts(**{name: read_script(lua_dir, name) for name in NAMES})


def read_script(lua_dir: Path, name: str) -> Script:
    """One script. Raises SettingsError when it is missing."""
    path = lua_dir / f"{name}.lua"
    try:
        # A shebang without flags is for editors. A server that saw it would refuse the whole script while it is full, replays included.
        text = path.read_text().removeprefix("#!lua\n")
        source = _INCLUDE.sub(lambda match: (lua_dir / match[1]).read_text().rstrip(), text)
    except FileNotFoundError as error:
        raise SettingsError(f"FLASHSALE_LUA_DIR has no {error.filename}; point it to the lua/ folder") from None
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


async def load_scripts(redis: Redis, scripts: Scripts) -> None:
    """Load all scripts into the server."""
    for script in scripts:
        await redis.execute_command("SCRIPT LOAD", script.source)


async def scripts_loaded(redis: Redis, scripts: Scripts) -> bool:
    return all(await redis.execute_command("SCRIPT EXISTS", *[script.sha for script in scripts]))


async def call(redis: Redis, script: Script, keys: Sequence[str], *args: Any) -> Any:
    """Run `script` and unpack its cmsgpack answer.

    Only a NOSCRIPT answer leads to a second call, because then the first one did nothing. Every other error is raised.
    """
    crash.point("script.calling", script.name)
    try:
        packed = await redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    except Exception as error:
        if not _is_noscript(error):
            raise
        packed = await redis.execute_command("EVAL", script.source, len(keys), *keys, *args)
    crash.point("script.answered", script.name)
    return msgspec.msgpack.decode(packed)


def pack_orders(sales: Sequence[tuple[str, Sequence[Order]]], *, confirms: bool = False) -> bytes:
    """The argument of `reserve`, in columns, because the script works with columns. `sales` has at least one order.

    `confirms`: the caller answers orders of confirmed sales after the broker's confirm; without it, the script refuses them.
    """
    orders = list(chain.from_iterable([orders for _, orders in sales]))
    ids, users = [order.order_id for order in orders], [order.user_id for order in orders]
    columns = (*_sales(sales), ids, users, [order.quantity for order in orders], confirms)
    traces = [order.traceparent for order in orders]
    if orders[0].other_id:
        return pack((*columns, traces, [order.other_id for order in orders]))
    return pack((*columns, traces) if any(traces) else columns)


def pack_payments(sales: Sequence[tuple[str, Sequence[Payment]]], *, confirms: bool = False) -> bytes:
    """The argument of `settle`; `confirms`: the caller answers after the broker's confirm, so its entry also has the replayed payments."""
    return pack((*_sales(sales), list(chain.from_iterable([payments for _, payments in sales])), confirms))


def _sales(sales: Sequence[tuple[str, Sequence[Any]]]) -> tuple[list[str], list[int]]:
    return [sale_id for sale_id, _ in sales], [len(items) for _, items in sales]


def _is_noscript(error: Exception) -> bool:
    return type(error).__name__ == "NoScriptError" or str(error).startswith("NOSCRIPT")


pack = msgspec.msgpack.Encoder().encode

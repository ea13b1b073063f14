"""The Lua scripts: loaded from `lua/`, registered by SHA-1, called by EVALSHA, loaded again when the server has forgotten them.

The module is given a client and imports none. `Redis` below is the little it needs of redis-py's asyncio client.
"""

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import msgspec

from flashsale_core.errors import SettingsError

NAMES = ("reserve", "settle", "expire", "cancel", "define", "retire", "rescue", "dismiss")
_INCLUDE = re.compile(r"^-- @include (\S+)$", re.MULTILINE)


Order = tuple[str, str, int, str]
"""(order id, user id, quantity, traceparent)"""


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
    define: Script
    retire: Script
    rescue: Script
    dismiss: Script

    def __iter__(self) -> Any:
        return iter([getattr(self, name) for name in NAMES])


def read_scripts(lua_dir: Path) -> Scripts:
    """All scripts of `lua_dir`. Raises SettingsError when one is missing: a service without its scripts must not start."""
    return Scripts(**{name: _read(lua_dir, name) for name in NAMES})


def _read(lua_dir: Path, name: str) -> Script:
    path = lua_dir / f"{name}.lua"
    try:
        # The shebang is for editors; EVAL takes `#!lua` only from Redis 7 on and gains nothing by it.
        text = path.read_text().removeprefix("#!lua\n")
        source = _INCLUDE.sub(lambda match: (lua_dir / match[1]).read_text().rstrip(), text)
    except FileNotFoundError as error:
        raise SettingsError(f"FLASHSALE_LUA_DIR has no {error.filename}; point it to the lua/ folder") from None
    return Script(name, source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


async def load_scripts(redis: Redis, scripts: Scripts) -> None:
    """Make the server know all scripts."""
    for script in scripts:
        await redis.execute_command("SCRIPT LOAD", script.source)


async def scripts_loaded(redis: Redis, scripts: Scripts) -> bool:
    return all(await redis.execute_command("SCRIPT EXISTS", *[script.sha for script in scripts]))


async def call(redis: Redis, script: Script, keys: Sequence[str], *args: Any) -> Any:
    """Run `script` and unpack its cmsgpack answer.

    Only a NOSCRIPT answer leads to a second call: then the first has done nothing. Every other error is the caller's to judge.
    """
    try:
        packed = await redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *args)
    except Exception as error:
        if not _is_noscript(error):
            raise
        packed = await redis.execute_command("EVAL", script.source, len(keys), *keys, *args)
    return msgspec.msgpack.decode(packed)


def pack_orders(sales: Iterable[tuple[str, Sequence[Order]]]) -> bytes:
    """The sales of a `reserve` call: columns instead of rows, which the script would have to turn."""
    return pack([_columns(sale_id, orders) for sale_id, orders in sales])


def _columns(sale_id: str, orders: Sequence[Order]) -> tuple[Any, ...]:
    ids, users, quantities, traces = zip(*orders, strict=True)
    return (sale_id, ids, users, quantities, traces) if any(traces) else (sale_id, ids, users, quantities)


def _is_noscript(error: Exception) -> bool:
    return type(error).__name__ == "NoScriptError" or str(error).startswith("NOSCRIPT")


pack = msgspec.msgpack.Encoder().encode

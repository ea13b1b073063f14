"""Calls of one script in one round trip."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from flashsale_core.scripts import Script, Scripts, load_scripts

Calls = Sequence[tuple[Sequence[str], Sequence[str]]]
"""The keys and the arguments of each call."""


async def call_each(redis: Redis, scripts: Scripts, script: Script, calls: Callable[[], Calls]) -> list[Any]:
    """The answers of a script that may be called twice: if a server has forgotten it, `calls` is asked again and all calls are repeated.

    Raises what the first refused call raised.
    """
    try:
        return await _pipelined(redis, script, calls())
    except NoScriptError:
        await load_scripts(redis, scripts)
        return await _pipelined(redis, script, calls())


async def _pipelined(redis: Redis, script: Script, calls: Calls) -> list[Any]:
    async with redis.pipeline(transaction=False) as pipe:
        for keys, arguments in calls:
            pipe.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        return [msgspec.msgpack.decode(answer) for answer in await pipe.execute()]

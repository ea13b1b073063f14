"""Notes when Redis came back without writes that it had."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flashsale_chaos.bench import Bench
from flashsale_chaos.servers.ask import asked
from flashsale_core.keys import SHARDS_DEFAULT, shard_keys


@asynccontextmanager
async def noted_loss(bench: Bench, before: tuple[int, str], after: tuple[int, str]) -> AsyncIterator[None]:
    """Compares the positions of two servers, by port and password: the one before the block, and the one that replaces it in the block.

    It is a loss if any shard has fewer. Nobody can write in the block; a server that does not answer is not compared.
    """
    known = await _positions(*before)
    yield
    at = time.monotonic()
    if any(now < was for was, now in zip(known, await _positions(*after), strict=False)):
        bench.losses.append(at)


async def _positions(port: int, password: str) -> list[int]:
    """The position of each shard; none if the server does not answer."""
    positions: list[int] = []

    async def read(client: Any) -> bool:
        positions.extend([int(await client.hget(shard_keys(shard).fence, "seq") or 0) for shard in range(SHARDS_DEFAULT)])
        return True

    return positions if await asked(port, password, read) else []

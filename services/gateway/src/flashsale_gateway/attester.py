"""Writes what this gateway knows of each shard into Redis, and reads whether the shard is open.

The keeper reopens a Redis that was restarted once the gateways have attested: then it knows whether Redis lost what they were answered.
"""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from math import nan
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core import crash
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import attest_keys, shard_keys
from flashsale_core.scripts import Scripts
from flashsale_core.tasks import cancel_and_wait
from flashsale_gateway import metrics
from flashsale_gateway.history import History
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.settings import Settings
from flashsale_redis import one_slot_groups
from flashsale_redis.fences import read_fence
from flashsale_redis.script_calls import Calls, call_each

OPEN_PAUSE_SECONDS = 1.0
FENCED_PAUSE_SECONDS = 0.1
log = logging.getLogger(__name__)


class Attester:
    """The gateway's own entry in each shard's hash of gateways, kept up to date."""

    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings, history: History, outbox: DirectOutbox, name: str) -> None:
        """`name` is unlike that of any other gateway, now or later."""
        self._redis = redis
        self._scripts = scripts
        self._timeout_seconds = settings.redis_timeout_seconds
        self._history = history
        self._outbox = outbox
        self._name = name
        numbers = {shard_keys(shard).fence: shard for shard in range(settings.shards)}
        self._groups = [[numbers[key] for key in keys] for keys in one_slot_groups(redis, numbers)]
        self._wakes = [asyncio.Event() for _ in self._groups]
        self._silent = {shards[0] for shards in self._groups}
        self._reason: str | None = None
        history.on_fenced = self._wake

    async def run(self) -> None:
        """Attest until cancelled: every second while shards are open, and at once after a script was refused.

        Each slot group by itself: a master of a cluster that hangs must not make this gateway look silent to the others.
        """
        loops = [asyncio.create_task(self._attest_on(shards, wake)) for shards, wake in zip(self._groups, self._wakes, strict=True)]
        try:
            ended, _ = await asyncio.wait(loops, return_when=asyncio.FIRST_COMPLETED)
            # None of them ends by itself: the supervisor starts all of them again.
            next(iter(ended)).result()
        finally:
            await cancel_and_wait(*loops)

    async def _attest_on(self, shards: Sequence[int], wake: asyncio.Event) -> None:
        while True:
            attested = await self._attest(shards)
            self._measure(shards, attested)
            self._log_change()
            wake.clear()
            if attested and self._history.are_open(shards):
                with suppress(TimeoutError):
                    await asyncio.wait_for(wake.wait(), OPEN_PAUSE_SECONDS)
            else:
                await asyncio.sleep(FENCED_PAUSE_SECONDS)

    def _wake(self) -> None:
        for wake in self._wakes:
            wake.set()

    async def leave(self) -> None:
        """Delete the gateway's entries, once it holds nothing. Those that stay are ignored after a while."""
        with suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(self._timeout_seconds):
                for shards in self._groups:
                    async with self._redis.pipeline(transaction=False) as pipe:
                        for shard in shards:
                            pipe.hdel(shard_keys(shard).gateways, self._name)
                        await pipe.execute()

    async def _attest(self, shards: Sequence[int]) -> bool:
        """Returns whether Redis answered."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                answers = await self._call(shards)
                for shard, (_, status, *_) in zip(shards, answers, strict=True):
                    self._history.observe(shard, status)
                self._history.check(await read_fence(self._redis, shards[0]))
        except (RedisError, OSError, TimeoutError) as error:
            # It may come back with another history, so the next try follows soon. Orders fail by themselves until then.
            log.debug("attest.failed", extra={"shards": len(shards), "reason": describe_error(Server.REDIS, error)})
            return False
        return True

    async def _call(self, shards: Sequence[int]) -> list[Any]:
        return await call_each(self._redis, self._scripts, self._scripts.attest, lambda: self._calls(shards))

    def _calls(self, shards: Sequence[int]) -> Calls:
        held, old_calls = self._outbox.held(), self._history.old_calls
        crash.point("attestation.sending")
        return [
            (attest_keys(shard), (self._name, str(self._history.known[shard]), str(held[shard_keys(shard).direct] + old_calls), ""))
            for shard in shards
        ]

    def _measure(self, shards: Sequence[int], attested: bool) -> None:
        """Redis is up once it has answered for every slot group."""
        (self._silent.discard if attested else self._silent.add)(shards[0])
        metrics.REDIS_UP.set(not self._silent)
        answering = [shard for group in self._groups if group[0] not in self._silent for shard in group]
        # What a server said before it fell silent is no longer known, and would raise the alert of another fault.
        metrics.FENCED_SHARDS.set(self._history.count_closed(answering) if answering else nan)

    def _log_change(self) -> None:
        reason = self._history.fault
        if reason == self._reason:
            return
        self._reason = reason
        if reason is None:
            log.info("fence.open")
        else:
            log.warning("fence.closed", extra={"reason": reason})

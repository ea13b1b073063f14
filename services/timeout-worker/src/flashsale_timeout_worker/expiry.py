"""Asking Redis to expire orders. The script decides; a hold that is not due, or no hold any more, stays as it is.

Many sales are asked for at once: their calls travel together, in one round trip to each server.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import order_keys, shard_keys, shard_of
from flashsale_core.scripts import Scripts, load_scripts, pack
from flashsale_redis import one_slot_groups, refuse_replica
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.calls import Call, by_sale, calls, rounds

ROUND_TRIPS_MAX = 16
"""Most that are under way at once: on a cluster each slot has its own, and those to a master that hangs must leave room for the others'."""
# How an error begins that speaks of one sale's data or of the script, not of the server: asking again gives the same answer.
# A full or read-only server begins with another word, inside a script too.
_OF_THE_SALE = ("INVARIANT", "WRONGTYPE", "user_script")
Fault = Rejected | Retryable


@dataclass(frozen=True, slots=True)
class Expired:
    order_id: str
    quantity: int
    lateness_ms: int
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a sale's orders."""

    expired: Sequence[Expired]
    fault: Fault | None = None
    """Why not all of them were asked for: Retryable when Redis is away, Rejected when this sale's data is broken."""
    not_due: Mapping[str, int] = field(default_factory=dict)
    """Holds whose deadline lies ahead, and how far, in ms."""


@dataclass(frozen=True, slots=True)
class Overdue:
    shards: Sequence[int]
    latest_ms: int
    """A deadline up to here is overdue, by the clock that set it."""


Page = Mapping[str, Sequence[str]]
"""Orders by sale."""


class Expiry:
    def __init__(self, redis: Redis, scripts: Scripts, shards: int, timeout_seconds: float, retry_seconds: float) -> None:
        self._redis = redis
        self._scripts = scripts
        self._shards = shards
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._turns = asyncio.Semaphore(ROUND_TRIPS_MAX)
        numbers = {shard_keys(shard).deadlines: shard for shard in range(shards)}
        self.groups: list[list[int]] = [[numbers[key] for key in keys] for keys in one_slot_groups(redis, numbers)]
        """All shards, in groups of one server and clock: what goes wrong in one takes nothing from the others."""
        self._group_of = {shard: number for number, group in enumerate(self.groups) for shard in group}

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        """Expire what is due among `orders`, ids by sale; repeating it is harmless. A fault is its sale's alone: nothing is raised."""
        groups: dict[int, dict[str, Sequence[str]]] = {}
        for sale_id, order_ids in orders.items():
            groups.setdefault(self._group_of[shard_of(sale_id, self._shards)], {})[sale_id] = order_ids
        parts = await asyncio.gather(*[self._expire_group(group, source) for group in groups.values()])
        return {sale_id: outcome for part in parts for sale_id, outcome in part.items()}

    async def overdue(self, shards: Sequence[int], grace_ms: int) -> Overdue:
        """Those of a group's shards that have a deadline more than `grace_ms` ago by Redis' clock, in one round trip. Raises Retryable."""

        def ask(pipe: Any) -> None:
            pipe.time()
            for shard in shards:
                # Not ZRANGE, though it says the same: a user that may run what pages need may run this.
                pipe.zrangebyscore(shard_keys(shard).deadlines, "-inf", "+inf", start=0, num=1, withscores=True)

        clock, *heads = await self._together(ask, 1 + len(shards))
        if isinstance(clock, Exception):
            raise Retryable(describe_error(Server.REDIS, clock), self._retry_seconds) from clock
        seconds, micros = clock
        latest_ms = int(seconds) * 1000 + int(micros) // 1000 - grace_ms
        return Overdue([shard for shard, head in zip(shards, heads, strict=True) if is_overdue(head, latest_ms)], latest_ms)

    async def pages(self, skips: Mapping[int, int], latest_ms: int, limit: int) -> dict[int, Page | Fault]:
        """Up to `limit` overdue orders of each shard, after as many as `skips` says, or why there is no telling; in one round trip."""

        def ask(pipe: Any) -> None:
            for shard, skip in skips.items():
                pipe.zrangebyscore(shard_keys(shard).deadlines, "-inf", latest_ms, start=skip, num=limit)

        answers = await self._together(ask, len(skips))
        return {
            shard: self._fault(answer) if isinstance(answer, Exception) else by_sale(member.decode() for member in answer)
            for shard, answer in zip(skips, answers, strict=True)
        }

    async def ping(self) -> None:
        """Raises Retryable unless a Redis that takes writes answers; makes it know the scripts."""
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await refuse_replica(self._redis)
                await load_scripts(self._redis, self._scripts)
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(describe_error(Server.REDIS, error), self._retry_seconds) from error

    async def _expire_group(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        expired: dict[str, list[Expired]] = {sale_id: [] for sale_id in orders}
        not_due: dict[str, dict[str, int]] = {sale_id: {} for sale_id in orders}
        faults: dict[str, Fault] = {}
        silence: Exception | None = None
        for together in rounds(calls(orders)):
            # A server that did not answer is not asked for the rest: each further round would wait for its timeout.
            answers = await self._run(together) if silence is None else [silence] * len(together)
            for call, answer in zip(together, answers, strict=True):
                if isinstance(answer, Exception):
                    faults.setdefault(call.sale_id, self._fault(answer))
                    silence = silence if isinstance(answer, ResponseError) else answer
                else:
                    found = read(call, answer)
                    measure(found, source)
                    expired[call.sale_id] += found
                    not_due[call.sale_id] |= read_not_due(call, answer)
        return {sale_id: Outcome(found, faults.get(sale_id), not_due[sale_id]) for sale_id, found in expired.items()}

    async def _run(self, together: Sequence[Call]) -> list[Any]:
        """The answer to each call, or its error. Calls that find the server without the script have done nothing, and are made again."""
        answers = await self._together(partial(self._put, together), len(together))
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            ask = partial(self._put, [together[place] for place in unknown], with_source=True)
            for place, answer in zip(unknown, await self._together(ask, len(unknown)), strict=True):
                answers[place] = answer
        return answers

    def _put(self, together: Sequence[Call], pipe: Any, *, with_source: bool = False) -> None:
        """`with_source`: the first call brings the script; those behind it go to the same server and find it there."""
        script = self._scripts.expire
        for place, call in enumerate(together):
            keys = order_keys(call.sale_id, self._shards)
            named = ("EVAL", script.source) if with_source and place == 0 else ("EVALSHA", script.sha)
            pipe.execute_command(*named, len(keys), *keys, call.sale_id, pack(call.order_ids), "")

    async def _together(self, ask: Callable[[Any], object], commands: int) -> list[Any]:
        """An answer or an error for each of the `commands` that `ask` puts into a pipeline, all of one group: one round trip."""
        try:
            async with self._turns, asyncio.timeout(self._timeout_seconds), self._redis.pipeline(transaction=False) as pipe:
                ask(pipe)
                return list(await pipe.execute(raise_on_error=False))
        except (RedisError, OSError, TimeoutError) as error:
            return [error] * commands

    def _fault(self, error: Exception) -> Fault:
        if isinstance(error, ResponseError) and str(error).startswith(_OF_THE_SALE):
            return Rejected(f"Redis: {error}")
        return Retryable(describe_error(Server.REDIS, error), self._retry_seconds)


def is_overdue(head: Any, latest_ms: int) -> bool:
    """By the lowest deadline of a shard. One that refuses to tell is looked into: its page says why, and holds up no other shard."""
    return isinstance(head, Exception) or any(deadline_ms <= latest_ms for _, deadline_ms in head)


def read(call: Call, packed: bytes) -> list[Expired]:
    """What expired, of the script's answer."""
    now_ms, results = msgspec.msgpack.decode(packed)
    return [
        Expired(order_id, int(quantity), int(now_ms - deadline_ms), *context)
        for order_id, (result, quantity, deadline_ms, *context) in zip(call.order_ids, results, strict=True)
        if result == "expired"
    ]


def read_not_due(call: Call, packed: bytes) -> dict[str, int]:
    """The holds that are not due, of the script's answer, with the time that is left in ms."""
    now_ms, results = msgspec.msgpack.decode(packed)
    return {
        order_id: int(deadline_ms - now_ms)
        for order_id, (result, _, deadline_ms, *_) in zip(call.order_ids, results, strict=True)
        if result == "not_due"
    }


def measure(expired: Sequence[Expired], source: str) -> None:
    metrics.EXPIRED_ORDERS.labels(source).inc(len(expired))
    metrics.EXPIRED_UNITS.labels(source).inc(sum(one.quantity for one in expired))
    for one in expired:
        metrics.LATENESS_SECONDS.observe(max(0, one.lateness_ms) / 1000)

"""Expires orders in Redis. The script decides: a hold that is not due, or an order that is no longer a hold, stays as it is.

The calls for many sales are sent together, in one round trip to each server.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError, ResponseError

from flashsale_core import crash
from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.keys import INSTALLATION_DEFAULT, order_keys, shard_keys, shard_of
from flashsale_core.scripts import Scripts, load_scripts, pack
from flashsale_redis import one_slot_groups, refuse_replica
from flashsale_redis.fences import refuse_other_installation
from flashsale_timeout_worker import metrics
from flashsale_timeout_worker.calls import Call, by_sale, round_trips, split_calls

ROUND_TRIPS_MAX = 16
"""Most round trips at the same time. On a cluster each slot has its own, and those to a hanging master must leave room for others."""
# Beginnings of errors that concern one sale's data or the script, not the server: a retry would fail in the same way.
# The errors of a full or read-only server begin with other words, also inside a script.
_SALE_ERRORS = ("INVARIANT", "WRONGTYPE", "user_script")
Fault = Rejected | Retryable


@dataclass(frozen=True, slots=True)
class Expired:
    """An order that the script expired."""

    order_id: str
    quantity: int
    lateness_ms: int
    """From the deadline to the expiry, by Redis' clock."""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for the orders of one sale."""

    expired: Sequence[Expired]
    fault: Fault | None = None
    """Why some orders were not processed: Retryable when Redis is away, Rejected when this sale's data is broken."""
    not_due: Mapping[str, int] = field(default_factory=dict)
    """The time left in ms of the holds whose deadline is in the future, by order id."""


@dataclass(frozen=True, slots=True)
class Overdue:
    """The shards that have overdue orders."""

    shards: Sequence[int]
    latest_ms: int
    """Deadlines up to this time are overdue; Unix ms of the Redis clock that set them."""


Page = Mapping[str, Sequence[str]]
"""Order ids by sale."""


class Expiry:
    def __init__(
        self,
        redis: Redis,
        scripts: Scripts,
        shards: int,
        timeout_seconds: float,
        retry_seconds: float,
        installation: str = INSTALLATION_DEFAULT,
    ) -> None:
        self._redis = redis
        self._installation = installation
        self._is_ours = False
        self._scripts = scripts
        self._shards = shards
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        self._round_trips = asyncio.Semaphore(ROUND_TRIPS_MAX)
        numbers = {shard_keys(shard).deadlines: shard for shard in range(shards)}
        self.slot_groups: list[list[int]] = [[numbers[key] for key in keys] for keys in one_slot_groups(redis, numbers)]
        """All shards, grouped by server and clock: a failure in one slot group does not affect the others."""
        self._slot_group_of = {shard: number for number, shards in enumerate(self.slot_groups) for shard in shards}

    async def expire(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        """Expire those of `orders`, given as ids by sale, that are due. A repeat is harmless.

        Raises nothing: a fault is part of its sale's outcome.
        """
        slot_groups: dict[int, dict[str, Sequence[str]]] = {}
        for sale_id, order_ids in orders.items():
            slot_groups.setdefault(self._slot_group_of[shard_of(sale_id, self._shards)], {})[sale_id] = order_ids
        outcomes = await asyncio.gather(*[self._expire_slot_group(group, source) for group in slot_groups.values()])
        return {sale_id: outcome for of_group in outcomes for sale_id, outcome in of_group.items()}

    async def overdue(self, shards: Sequence[int], grace_ms: int) -> Overdue:
        """Find the shards of a slot group with a deadline more than `grace_ms` ago by Redis' clock, in one round trip.

        Raises Retryable when Redis is away, or is a replica: an old master that is cut off shows nothing overdue for as long as it runs.
        """
        await self._refuse_replica()

        def add_commands(pipe: Any) -> None:
            pipe.time()
            for shard in shards:
                # Not ZRANGE, which would return the same: `pages` needs the right to run ZRANGEBYSCORE anyway.
                pipe.zrangebyscore(shard_keys(shard).deadlines, "-inf", "+inf", start=0, num=1, withscores=True)

        clock, *heads = await self._pipelined(add_commands, 1 + len(shards))
        if isinstance(clock, Exception):
            raise Retryable(describe_error(Server.REDIS, clock), self._retry_seconds) from clock
        seconds, micros = clock
        latest_ms = int(seconds) * 1000 + int(micros) // 1000 - grace_ms
        return Overdue([shard for shard, head in zip(shards, heads, strict=True) if is_overdue(head, latest_ms)], latest_ms)

    async def pages(self, offsets: Mapping[int, int], latest_ms: int, limit: int) -> dict[int, Page | Fault]:
        """Read up to `limit` overdue orders of each shard from its offset on, in one round trip.

        A shard that cannot be read has its fault in place of a page.
        """

        def add_commands(pipe: Any) -> None:
            for shard, offset in offsets.items():
                pipe.zrangebyscore(shard_keys(shard).deadlines, "-inf", latest_ms, start=offset, num=limit)

        answers = await self._pipelined(add_commands, len(offsets))
        return {
            shard: self._fault(answer) if isinstance(answer, Exception) else by_sale(member.decode() for member in answer)
            for shard, answer in zip(offsets, answers, strict=True)
        }

    async def ping(self) -> None:
        """Load the scripts. Raises Retryable unless a Redis of this installation that takes writes answers."""
        await self._refuse_replica()
        if not self._is_ours:
            await self._call(self._refuse_other_installation())
        await self._call(load_scripts(self._redis, self._scripts))

    async def _refuse_other_installation(self) -> None:
        self._is_ours = await refuse_other_installation(self._redis, self._installation, self._shards)

    async def _refuse_replica(self) -> None:
        await self._call(refuse_replica(self._redis))

    async def _call(self, awaitable: Awaitable[object]) -> None:
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await awaitable
        except (RedisError, OSError, TimeoutError) as error:
            raise Retryable(describe_error(Server.REDIS, error), self._retry_seconds) from error

    async def _expire_slot_group(self, orders: Mapping[str, Sequence[str]], source: str) -> dict[str, Outcome]:
        expired: dict[str, list[Expired]] = {sale_id: [] for sale_id in orders}
        not_due: dict[str, dict[str, int]] = {sale_id: {} for sale_id in orders}
        faults: dict[str, Fault] = {}
        no_answer: Exception | None = None
        for calls in round_trips(split_calls(orders)):
            # A server that did not answer gets no further calls: each further round trip would wait for its timeout.
            answers = await self._run(calls) if no_answer is None else [no_answer] * len(calls)
            for call, answer in zip(calls, answers, strict=True):
                if isinstance(answer, Exception):
                    faults.setdefault(call.sale_id, self._fault(answer))
                    no_answer = no_answer if isinstance(answer, ResponseError) else answer
                else:
                    newly_expired = read_expired(call, answer)
                    count_expired(newly_expired, source)
                    expired[call.sale_id] += newly_expired
                    not_due[call.sale_id] |= read_not_due(call, answer)
        return {sale_id: Outcome(orders_expired, faults.get(sale_id), not_due[sale_id]) for sale_id, orders_expired in expired.items()}

    async def _run(self, calls: Sequence[Call]) -> list[Any]:
        """The answer to each call, or its error. A call that failed because the server lacks the script is repeated with the script."""
        crash.point("expiry.calling")
        answers = await self._pipelined(partial(self._add_calls, calls), len(calls))
        crash.point("expiry.answered")
        unknown = [place for place, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
        if unknown:
            repeat = partial(self._add_calls, [calls[place] for place in unknown], with_source=True)
            for place, answer in zip(unknown, await self._pipelined(repeat, len(unknown)), strict=True):
                answers[place] = answer
        return answers

    def _add_calls(self, calls: Sequence[Call], pipe: Any, *, with_source: bool = False) -> None:
        """With `with_source` the first call contains the script; the later ones go to the same server, which has it by then."""
        script = self._scripts.expire
        for place, call in enumerate(calls):
            keys = order_keys(call.sale_id, self._shards)
            command = ("EVAL", script.source) if with_source and place == 0 else ("EVALSHA", script.sha)
            pipe.execute_command(*command, len(keys), *keys, call.sale_id, pack(call.order_ids), "")

    async def _pipelined(self, add_commands: Callable[[Any], object], commands: int) -> list[Any]:
        """Run the commands that `add_commands` adds to a pipeline, all for one slot group, in one round trip.

        Returns an answer or an error for each of the `commands`.
        """
        try:
            async with self._round_trips, asyncio.timeout(self._timeout_seconds), self._redis.pipeline(transaction=False) as pipe:
                add_commands(pipe)
                return list(await pipe.execute(raise_on_error=False))
        except (RedisError, OSError, TimeoutError) as error:
            return [error] * commands

    def _fault(self, error: Exception) -> Fault:
        if isinstance(error, ResponseError) and str(error).startswith(_SALE_ERRORS):
            return Rejected(f"Redis: {error}")
        return Retryable(describe_error(Server.REDIS, error), self._retry_seconds)


def is_overdue(head: Any, latest_ms: int) -> bool:
    """Whether a shard's lowest deadline is overdue.

    A shard that cannot be read counts as overdue: reading its page then returns the fault without holding up other shards.
    """
    return isinstance(head, Exception) or any(deadline_ms <= latest_ms for _, deadline_ms in head)


def read_expired(call: Call, packed: bytes) -> list[Expired]:
    """The orders that expired, from the script's answer."""
    now_ms, results, *_ = msgspec.msgpack.decode(packed)
    return [
        Expired(order_id, int(quantity), int(now_ms - deadline_ms), *context)
        for order_id, (result, quantity, deadline_ms, *context) in zip(call.order_ids, results, strict=True)
        if result == "expired"
    ]


def read_not_due(call: Call, packed: bytes) -> dict[str, int]:
    """The time left in ms of the holds that are not due, from the script's answer."""
    now_ms, results, *_ = msgspec.msgpack.decode(packed)
    return {
        order_id: int(deadline_ms - now_ms)
        for order_id, (result, _, deadline_ms, *_) in zip(call.order_ids, results, strict=True)
        if result == "not_due"
    }


def count_expired(expired: Sequence[Expired], source: str) -> None:
    metrics.EXPIRED_ORDERS.labels(source).inc(len(expired))
    metrics.EXPIRED_UNITS.labels(source).inc(sum(order.quantity for order in expired))
    for order in expired:
        metrics.LATENESS_SECONDS.observe(max(0, order.lateness_ms) / 1000)

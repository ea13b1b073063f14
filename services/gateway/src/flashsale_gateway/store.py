"""The sales in Redis, for the gateway: it calls the scripts with a timeout, and repeats a call once if its answer was lost."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from flashsale_core.fence import OPEN, fenced_reason
from flashsale_core.keys import (
    attest_keys,
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
from flashsale_core.records import Entry, OrderRecord, sale_fields, unpack_record
from flashsale_core.scripts import Cancel, Order, Payment, Return, Script, Scripts, call, pack, pack_orders, pack_payments
from flashsale_core.scripts import Redis as ScriptRedis
from flashsale_gateway import metrics
from flashsale_gateway.batching import Answers, Batch
from flashsale_gateway.errors import OutcomeUnknown, Recovering, StoreUnavailable
from flashsale_gateway.history import History, in_words
from flashsale_gateway.settings import Settings
from flashsale_redis import is_wrong_server, one_slot_groups
from flashsale_redis.script_calls import Calls, call_each

T = TypeVar("T")
Result = list[Any]
"""One item's answer; the header of its script describes it."""
ANNOUNCEMENT_POLL_SECONDS = 0.02
_LOST = (RedisConnectionError, RedisTimeoutError, TimeoutError, OSError)


class Decided(NamedTuple):
    """What one call decided."""

    answers: Answers[Result]
    """One for each item; StoreUnavailable for the items of a sale whose data is broken, and for a payment that cannot be decided yet."""
    entries: Sequence[Entry]
    """What the script noted in the outbox."""


@dataclass(frozen=True, slots=True)
class Definition:
    """The result of `define`: its status, and the sale as it is now."""

    status: str
    sale: Mapping[str, str]


class Store:
    def __init__(self, redis: Redis, reading: Redis, scripts: Scripts, settings: Settings, history: History) -> None:
        """`reading` has connections of its own for reads and cancellations, so that these never wait for those of orders and payments."""
        self._history = history
        self._reading: Redis = reading
        self._reading_runner: ScriptRedis = reading
        self._runner: ScriptRedis = redis
        self._scripts = scripts
        self._shards = settings.shards
        # On a single server one call may name the keys of all shards, on a cluster only those of one.
        self._lane_of_shard = len(one_slot_groups(redis, [shard_keys(shard).outbox for shard in range(settings.shards)])) > 1
        self._timeout_seconds = settings.redis_timeout_seconds

    def lane(self, sale_id: str) -> int:
        """The number of the sale's lane. Sales of one lane may share a call."""
        return shard_of(sale_id, self._shards) if self._lane_of_shard else 0

    async def reserve(self, sales: Batch[Order], *, direct: bool) -> Decided:
        """One result per order: [status, state, deadline_ms, retry_after_ms, routing_key, order_id], see lua/reserve.lua.

        The sales are of one lane. The script notes its entries in the direct outbox or in the shared one.
        Orders of confirmed sales need the direct one.
        """
        keys = reserve_keys([sale_id for sale_id, _ in sales], self._shards, direct)
        packed = pack_orders(sales, confirms=direct)
        return self._decided(sales, keys[0], await self._run(self._scripts.reserve, keys, packed, "", self._known(sales)))

    async def settle(self, sales: Batch[Payment], *, direct: bool) -> Decided:
        """One result per payment: [result, state, reason], see lua/settle.lua. The sales are of one lane, `direct` is as in `reserve`.

        An entry in the direct outbox has every payment of the call, also those that are replayed.
        """
        keys = settle_keys([sale_id for sale_id, _ in sales], self._shards, direct)
        return self._decided(
            sales, keys[0], await self._run(self._scripts.settle, keys, pack_payments(sales, confirms=direct), "", self._known(sales))
        )

    async def cancel(self, sale_id: str, cancels: Sequence[Cancel]) -> list[Result]:
        """One result per order: [result, quantity, deadline_ms], see lua/cancel.lua."""
        keys = order_keys(sale_id, self._shards)
        (results,) = await self._run_for_sale(self._reading_runner, self._scripts.cancel, keys, sale_id, pack(cancels), "")
        return list(results)

    async def return_orders(self, sale_id: str, orders: Sequence[Return], *, direct: bool) -> Decided:
        """One result per order: [result, state, quantity, deadline_ms, payment_id]; `direct` is as in `settle`."""
        keys = return_keys(sale_id, self._shards, direct)
        confirms = "1" if direct else ""
        results, entries = await self._run_for_sale(
            self._reading_runner, self._scripts.return_order, keys, sale_id, pack(orders), confirms, ""
        )
        outbox = shard_keys(shard_of(sale_id, self._shards))
        return Decided(results, _entries(outbox.direct if direct else outbox.outbox, entries))

    async def restock(self, sale_id: str, order_ids: Sequence[str]) -> None:
        """Put the units of returned orders on sale, now that the broker has confirmed their return."""
        keys = restock_keys(sale_id, self._shards)
        await self._run_for_sale(self._reading_runner, self._scripts.restock, keys, sale_id, pack(order_ids), "")

    async def define(self, sale_id: str, definition: Mapping[str, Any], by: str) -> Definition:
        """`by` is who asks for the change."""
        keys, wanted = define_keys(sale_id, self._shards), pack({**definition, "by": by})
        status, flat = await self._run_for_sale(self._runner, self._scripts.define, keys, sale_id, wanted, "")
        return Definition(status, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def wait_for_announcement(self, sale_id: str, timeout_seconds: float) -> None:
        """Wait until the broker has confirmed the sale's definition, or until the limit: a `confirmed` sale sells no new unit before."""
        outbox = shard_keys(shard_of(sale_id, self._shards)).outbox
        entry_id = await self._read(lambda: self._reading.hget(sale_keys(sale_id, self._shards).sale, "announced"))
        for _ in range(int(timeout_seconds / ANNOUNCEMENT_POLL_SECONDS) if entry_id else 0):
            if not await self._read(lambda: self._reading.xrange(outbox, entry_id, entry_id)):
                break
            await asyncio.sleep(ANNOUNCEMENT_POLL_SECONDS)

    async def retire(self, sale_id: str, action: str, owner: str, by: str) -> tuple[str, int]:
        """(status, units reserved) of closing or removing a sale, see lua/retire.lua. `by` is who asks for the change."""
        keys = define_keys(sale_id, self._shards)
        status, reserved = await self._run_for_sale(self._runner, self._scripts.retire, keys, sale_id, action, owner, "", "", after=(by,))
        return status, int(reserved)

    async def is_removed(self, sale_id: str) -> bool:
        """Whether the sale was removed in the last 30 days. Raises StoreUnavailable, as all reads do."""
        return await self._read(lambda: self._reading.hget(sale_keys(sale_id, self._shards).sale, "removed_ms")) is not None

    async def sale(self, sale_id: str) -> Mapping[str, str]:
        """The fields of a sale; empty if there is no such sale. Raises Recovering and StoreUnavailable."""
        return sale_fields(await self._read_or_refuse(sale_id, lambda: self._reading.hgetall(sale_keys(sale_id, self._shards).sale)))

    async def sale_names(self) -> list[str]:
        """The names of all sales, sorted. Raises StoreUnavailable, and Recovering unless every shard is open: Redis may lack some sales."""
        shards = range(self._shards)
        keys = [shard_keys(shard).sales for shard in shards]
        incarnations = await self._open_incarnations(shards)
        names_by_shard = await self._read(lambda: self._pipelined("SMEMBERS", keys))
        await self._require_unchanged(shards, incarnations)
        return sorted(name.decode() for names in names_by_shard for name in names)

    async def sales(self, names: Sequence[str]) -> list[Mapping[str, str]]:
        """The fields of each sale; empty if there is no such sale. Raises Recovering and StoreUnavailable."""
        keys = [sale_keys(name, self._shards).sale for name in names]
        hashes = await self._read(lambda: self._pipelined("HGETALL", keys))
        return [sale_fields(fields) if fields else await self.sale(name) for name, fields in zip(names, hashes, strict=True)]

    async def order(self, sale_id: str, order_id: str) -> OrderRecord | None:
        """None if there is no such order. Raises Recovering and StoreUnavailable."""
        packed = await self._read_or_refuse(sale_id, lambda: self._reading.hget(sale_keys(sale_id, self._shards).orders, order_id))
        return unpack_record(packed) if packed else None

    async def _read_or_refuse(self, sale_id: str, start: Callable[[], Awaitable[Any]]) -> Any:
        """What a read of a sale finds. Raises Recovering if that is nothing and the shard is not open: Redis may lack what it had."""
        if contents := await self._read(start):
            return contents
        # This process may stand still between two calls, so one look at the fence is not enough: no recovery may lie between the two.
        shards = [shard_of(sale_id, self._shards)]
        incarnations = await self._open_incarnations(shards)
        if contents := await self._read(start):
            return contents
        await self._require_unchanged(shards, incarnations)
        return contents

    async def _require_unchanged(self, shards: Sequence[int], incarnations: Sequence[int]) -> None:
        """Raises Recovering unless all shards may be written, still in these incarnations, and StoreUnavailable."""
        if await self._open_incarnations(shards) != incarnations:
            raise Recovering(in_words("fenced"))

    async def _open_incarnations(self, shards: Sequence[int]) -> list[int]:
        """The incarnation of each shard. Raises Recovering unless all of them may be written, and StoreUnavailable."""
        self._history.require_ours()

        def calls() -> Calls:
            # Without a name it attests nothing.
            return [(attest_keys(shard), ("", str(self._history.known[shard]), "", "")) for shard in shards]

        answers = await self._read(lambda: call_each(self._reading, self._scripts, self._scripts.attest, calls))
        for _, status, *_ in answers:
            if status != OPEN:
                self._history.on_fenced()
                raise Recovering(in_words(status))
        return [int(incarnation) for _, _, incarnation, _ in answers]

    async def _run(self, script: Script, keys: Sequence[str], *args: Any) -> Any:
        return await self._run_on(self._runner, script, keys, *args)

    async def _run_for_sale(
        self, runner: ScriptRedis, script: Script, keys: Sequence[str], sale_id: str, *args: Any, after: Sequence[str] = ()
    ) -> list[Any]:
        """Call a script of one sale with the highest known seq after `args`; returns its answer without the time and the seq."""
        shard, known = shard_of(sale_id, self._shards), self._history.known
        _, *answer, seq = await self._run_on(runner, script, keys, sale_id, *args, str(known[shard]), *after)
        known.learn(shard, seq)
        return list(answer)

    async def _run_on(self, runner: ScriptRedis, script: Script, keys: Sequence[str], *args: Any) -> Any:
        """Call a script, and once more if its answer was lost: that is safe, because a script gives a repeated item its first answer.

        Raises StoreUnavailable, Recovering and OutcomeUnknown.
        """
        self._history.require_ours()
        with self._history.calling():
            return await self._answer_of(runner, script, keys, *args)

    async def _answer_of(self, runner: ScriptRedis, script: Script, keys: Sequence[str], *args: Any) -> Any:
        started = perf_counter()
        try:
            return await self._with_timeout(lambda: call(runner, script, keys, *args))
        except (ResponseError, BusyLoadingError) as error:
            if (reason := fenced_reason(error)) is not None:
                self._history.on_fenced()
                raise Recovering(in_words(reason)) from error
            # Redis answered: out of memory, read-only or a broken invariant. The script has changed nothing.
            raise StoreUnavailable("" if is_wrong_server(error) else str(error)) from error
        except _LOST:
            metrics.SCRIPT_REPEATS.labels(script.name).inc()
        finally:
            metrics.SCRIPT_SECONDS.labels(script.name).observe(perf_counter() - started)
        try:
            return await self._with_timeout(lambda: call(runner, script, keys, *args))
        except (*_LOST, RedisError) as error:
            raise OutcomeUnknown from error

    def _known(self, sales: Batch[Any]) -> bytes:
        known = self._history.known
        return pack([known[shard_of(sale_id, self._shards)] for sale_id, _ in sales])

    def _decided(self, sales: Batch[Any], outbox: str, answer: Sequence[Any]) -> Decided:
        _, results, entries, seq = answer
        # The entries are in the outbox of the first sale's shard.
        self._history.known.learn(shard_of(sales[0][0], self._shards), seq)
        # A text instead of a result: its sale's data is broken, and nothing of it has changed.
        answers = [StoreUnavailable(result) if isinstance(result, str) else result for result in results]
        return Decided(answers, _entries(outbox, entries))

    async def _with_timeout(self, start: Callable[[], Awaitable[T]]) -> T:
        async with asyncio.timeout(self._timeout_seconds):
            return await start()

    async def _pipelined(self, command: str, keys: Sequence[str]) -> list[Any]:
        async with self._reading.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.execute_command(command, key)
            return await pipe.execute()

    async def _read(self, start: Callable[[], Awaitable[Any]]) -> Any:
        """Read, and once more if the answer was lost: after a restart of Redis, a pooled connection may be dead unnoticed."""
        try:
            return await self._with_timeout(start)
        except _LOST:
            pass
        except RedisError as error:
            raise StoreUnavailable(str(error)) from error
        try:
            return await self._with_timeout(start)
        except (*_LOST, RedisError) as error:
            raise StoreUnavailable("Redis does not answer") from error


def _entries(outbox: str, entries: Sequence[Sequence[str]]) -> list[Entry]:
    return [Entry(outbox, entry_id, routing_key, body.encode()) for entry_id, routing_key, body in entries]

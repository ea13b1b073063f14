"""Reads Redis page by page, so that memory does not grow with the sale. What must be of one moment is read by lua/look.lua."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from flashsale_audit.catch_up import History
from flashsale_audit.facts import Counted, Counters
from flashsale_audit.look import Look, parse_look
from flashsale_audit.records import Record, read_records, read_refunded, read_users
from flashsale_audit.scan import OrderPage, parse_scan
from flashsale_audit.skipped import ShardNotOpenError
from flashsale_core.fence import OPEN
from flashsale_core.keys import sale_keys, shard_keys, shard_of, split_deadline_member
from flashsale_core.scripts import Script, pack

PAGE = 2000
"""Entries of one scan: about 1.2 ms of Redis. While a crowd keeps the processors busy, any call costs the auditor 0.7 ms."""
SCAN_PAGE = 1000
"""Orders of one call of lua/scan.lua: about 1.4 ms of Redis, twice that when all processors are busy."""
LOOK_PAGE = 250
"""Orders of one look: Redis does nothing else for that time, about 1.5 ms when all processors are busy."""
LOOK_USERS = 1000
"""Buyers of one look."""
LOOK_WHOLE = LOOK_PAGE
"""A sale with at most this many orders is read in one look, so that its sums are of one moment."""
RELEASED = "#"
"""The field '#<user>' counts the released orders of the buyer. No name of a user begins so."""
FEW_USERS = 20


class RedisReader:
    def __init__(self, redis: Redis, shards: int, look: Script, scan: Script) -> None:
        """`redis` must return bytes."""
        # Its type stubs cover both bytes and text; this reader uses bytes.
        self._redis: Any = redis
        self._shards = shards
        self._look, self._scan_script = look, scan
        self.entries_read = 0
        """Fields and members that the passes of each round read, which is most of what an audit costs Redis."""

    async def sale_ids(self) -> list[str]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for shard in range(self._shards):
                pipe.smembers(shard_keys(shard).sales)
            by_shard = await pipe.execute()
        return sorted(name.decode() for members in by_shard for name in members)

    async def positions(self) -> dict[History, int]:
        """The position of the newest entry of each shard. Raises ShardNotOpenError unless all are open."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for shard in range(self._shards):
                pipe.hmget(shard_keys(shard).fence, "state", "incarnation", "seq")
            fences = dict(enumerate(await pipe.execute()))
        for shard, (state, _, _) in fences.items():
            if state != OPEN.encode():
                raise ShardNotOpenError(shard, (state or b"missing").decode())
        return {History(shard, int(incarnation)): int(seq) for shard, (_, incarnation, seq) in fences.items()}

    async def outbox_lengths(self) -> dict[str, int]:
        streams = self._streams()
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xlen(stream)
            return dict(zip(streams, await pipe.execute(), strict=True))

    async def oldest_entries(self) -> dict[str, bytes]:
        """The id of the oldest entry of each outbox that has one."""
        streams = self._streams()
        async with self._redis.pipeline(transaction=False) as pipe:
            for stream in streams:
                pipe.xrange(stream, count=1)
            return {stream: entries[0][0] for stream, entries in zip(streams, await pipe.execute(), strict=True) if entries}

    async def counters(self, sale_id: str) -> Counters | None:
        """Raises as `look` does."""
        return (await self.look(sale_id)).counters

    async def look(self, sale_id: str, order_ids: Sequence[str] = (), user_ids: Sequence[str] = ()) -> Look:
        """The named orders and users of a sale, at most 2,000 of each, and its counters, all of one moment. Raises ShardNotOpenError."""
        return await self._call(sale_id, "", 0, order_ids, user_ids)

    async def looks(self, sale_id: str, order_ids: Sequence[str]) -> AsyncIterator[Look]:
        """Looks at any number of orders, each at some of them."""
        for first in range(0, len(order_ids), LOOK_PAGE):
            yield await self.look(sale_id, order_ids[first : first + LOOK_PAGE])

    async def buyer_counts(self, sale_id: str, names: Sequence[str]) -> dict[str, Counted]:
        """What the sale counts in any number of fields, named as in `buyer_fields`. Raises ShardNotOpenError."""
        counts: dict[str, Counted] = {}
        for first in range(0, len(names), LOOK_USERS):
            look = await self.look(sale_id, user_ids=names[first : first + LOOK_USERS])
            counts |= {name: Counted(number, look.now_ms) for name, number in look.units.items()}
        return counts

    async def look_pages(self, sale_id: str) -> AsyncIterator[Look]:
        """All orders, each at least once. A page is of one moment, and so is a whole sale of at most LOOK_WHOLE orders."""
        cursor = 0
        while True:
            page = await self._call(sale_id, str(cursor), LOOK_PAGE)
            yield page
            cursor = page.cursor
            if cursor == 0:
                return

    async def order_pages(self, sale_id: str, overdue_before_ms: int) -> AsyncIterator[OrderPage]:
        """All orders, each at least once. Cheaper than looks: nothing else is of the moment of a page."""
        cursor = b"0"
        while True:
            page = await self._scan(sale_id, cursor, overdue_before_ms)
            if page is None and (page := await self._scan(sale_id, cursor, overdue_before_ms, strict="1")) is None:
                raise ValueError("an order has a character that no id can have")
            self.entries_read += page.columns.size + len(page.strange)
            yield page
            cursor = page.cursor
            if cursor == b"0":
                return

    async def _scan(self, sale_id: str, cursor: bytes, overdue_before_ms: int, strict: str = "") -> OrderPage | None:
        keys = (sale_keys(sale_id, self._shards).orders, shard_keys(shard_of(sale_id, self._shards)).deadlines)
        return parse_scan(await self._run(self._scan_script, keys, sale_id, cursor, SCAN_PAGE, overdue_before_ms, strict))

    async def user_pages(self, sale_id: str, users: Collection[str]) -> AsyncIterator[dict[bytes, str]]:
        """The buyers of all readable orders by order, each at least once. Pages without any of `users` may be empty."""
        names = [user.encode() for user in users] if len(users) <= FEW_USERS else [b""]
        async for fields in self._scan_hash(sale_keys(sale_id, self._shards).orders, counted=False):
            text = b"".join(fields.values())
            yield read_users(fields) if any(name in text for name in names) else {}

    async def orders(self, sale_id: str, order_ids: Sequence[str]) -> dict[str, Record]:
        """The named orders that are in Redis and readable."""
        return read_records(await self._packed(sale_id, order_ids))[0]

    async def refunded(self, sale_id: str, order_ids: Sequence[str]) -> dict[str, Sequence[str]]:
        """The payments that the named orders remember as refunded."""
        self.entries_read += len(order_ids)
        return read_refunded(await self._packed(sale_id, order_ids))

    async def known(self, sale_id: str, order_ids: Sequence[str]) -> set[str]:
        """The ids among those that are in Redis, readable or not."""
        return {order_id for order_id, packed in (await self._packed(sale_id, order_ids)).items() if packed is not None}

    async def deadline_pages(self, sale_ids: Iterable[str]) -> AsyncIterator[dict[str, list[str]]]:
        """The orders of the sales that have a deadline, by sale. Each shard is read once, whatever the number of its sales."""
        wanted = set(sale_ids)
        for key in sorted({shard_keys(shard_of(sale_id, self._shards)).deadlines for sale_id in wanted}):
            cursor = 0
            while True:
                cursor, members = await self._redis.zscan(key, cursor, count=PAGE)
                self.entries_read += 2 * len(members)
                page: dict[str, list[str]] = {}
                for member, _ in members:
                    sale_id, order_id = split_deadline_member(member.decode())
                    if sale_id in wanted:
                        page.setdefault(sale_id, []).append(order_id)
                yield page
                if cursor == 0:
                    break

    async def buyer_fields(self, sale_id: str) -> AsyncIterator[Mapping[bytes, bytes]]:
        """What the sale counts for all buyers, not decoded, each at least once: units by user, and released orders by RELEASED and user."""
        async for fields in self._scan_hash(sale_keys(sale_id, self._shards).buyers):
            yield fields

    def _streams(self) -> list[str]:
        return [stream for shard in map(shard_keys, range(self._shards)) for stream in (shard.outbox, shard.direct)]

    async def _packed(self, sale_id: str, order_ids: Sequence[str]) -> dict[str, bytes | None]:
        if not order_ids:
            return {}
        packed = await self._redis.hmget(sale_keys(sale_id, self._shards).orders, list(order_ids))
        return dict(zip(order_ids, packed, strict=True))

    async def _call(self, sale_id: str, cursor: str, count: int, order_ids: Sequence[str] = (), user_ids: Sequence[str] = ()) -> Look:
        sale, number = sale_keys(sale_id, self._shards), shard_of(sale_id, self._shards)
        shard = shard_keys(number)
        keys = (sale.sale, sale.orders, sale.buyers, shard.deadlines, shard.fence)
        answer = await self._run(self._look, keys, sale_id, cursor, count, pack(list(order_ids)), pack(list(user_ids)), "")
        look = parse_look(sale_id, answer)
        if look.closed:
            raise ShardNotOpenError(number, look.closed)
        return look

    async def _run(self, script: Script, keys: Sequence[str], *arguments: Any) -> Any:
        try:
            return await self._redis.execute_command("EVALSHA", script.sha, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self._redis.execute_command("EVAL", script.source, len(keys), *keys, *arguments)

    async def _scan_hash(self, key: str, *, counted: bool = True) -> AsyncIterator[Mapping[bytes, bytes]]:
        cursor = 0
        while True:
            cursor, fields = await self._redis.hscan(key, cursor, count=PAGE)
            self.entries_read += counted * len(fields)
            yield fields
            if cursor == 0:
                return

"""Puts the units of returned orders on sale that still wait for it, although the ledger has their return.

The gateway does that once the broker has confirmed a return (docs/decisions/0066). It may die before, its call may fail, and a failover
or an older copy of Redis may lose it: the step has no entry, so no position shows the loss. A return in the ledger was confirmed.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.exceptions import RedisError

from flashsale_core.errors import Retryable
from flashsale_core.keys import restock_keys, sale_keys
from flashsale_core.scripts import Scripts, call, pack
from flashsale_keeper import metrics
from flashsale_keeper.settings import Settings
from flashsale_recovery.session import ERRORS, Session

LOOK_SECONDS = 30.0
SETTLED = timedelta(seconds=10)
"""The gateway has at least this long, so that the keeper is not its rival."""
FIRST_BACK = timedelta(days=30)
"""How far the first look of a keeper goes back: finished sales leave Redis sooner."""
BACK = timedelta(days=1)
"""How far each later look goes back: the ledger may receive a return late, and a failover may undo what was done."""
PAGE = 256
PAGES_MAX = 400
"""Most pages of one look; the next one goes on behind them."""
log = logging.getLogger(__name__)

_RETURNED = """
    select r.created_at, r.refund_id, o.sale_id, o.epoch, o.order_id
      from refunds r join orders o using (sale_id, epoch, order_id)
     where r.state in ('due', 'sent', 'failed') and r.reason = 'returned' and o.restocked
       and (r.created_at, r.refund_id) > ($1::timestamptz, $2::bigint) and r.created_at < $3
     order by r.created_at, r.refund_id limit $4
"""


class Place(NamedTuple):
    """The place of a returned order among all, by its refund."""

    created_at: datetime
    refund_id: int = 0


class Restocks:
    def __init__(self, redis: Redis, scripts: Scripts, settings: Settings, is_active: Callable[[], bool]) -> None:
        """`is_active`: whether this keeper acts; the others wait to take over."""
        self._redis, self._scripts, self._shards = redis, scripts, settings.shards
        self._session = Session(settings.database_url, settings.statement_timeout_seconds, settings.statement_cache)
        self._is_active = is_active
        self._after: Place | None = None
        self._began: Place | None = None
        """Where the looks began that have not reached the newest return yet."""
        self._is_skipped = False
        """Whether Redis refused a sale since then."""

    async def run(self) -> None:
        """Look until cancelled. While a store is away, units go on waiting."""
        try:
            while True:
                await asyncio.sleep(LOOK_SECONDS)
                if self._is_active():
                    try:
                        await self.look(datetime.now(UTC))
                    except Retryable as error:
                        log.debug("restocks.waiting", extra={"reason": str(error)})
        finally:
            self.close()

    def close(self) -> None:
        self._session.close()

    async def look(self, now: datetime) -> int:
        """Returns how many units are for sale again by this look. Raises Retryable while Postgres is away."""
        after, units = self._after or Place(now - FIRST_BACK), 0
        began = self._began = self._began or after
        for _ in range(PAGES_MAX):
            rows = await self._read(after, now - SETTLED)
            for sale_id, epoch, order_ids in _by_sale(rows):
                units += await self._restock(sale_id, epoch, order_ids)
            if len(rows) < PAGE:
                # A closed Redis refuses every sale: what it was asked for is asked again, or a first look would be none.
                self._after = began if self._is_skipped else Place(now - BACK)
                self._began, self._is_skipped = None, False
                return units
            self._after = after = Place(rows[-1]["created_at"], rows[-1]["refund_id"])
        return units

    async def _read(self, after: Place, until: datetime) -> Sequence[Any]:
        ledger = await self._session.open()
        try:
            return list(await ledger.connection.fetch(_RETURNED, *after, until, PAGE))
        except ERRORS as error:
            raise self._session.lost(error) from error

    async def _restock(self, sale_id: str, epoch: int, order_ids: Sequence[str]) -> int:
        """The script passes by what does not wait. A sale that Redis no longer has, or cannot change now, is passed by as well."""
        try:
            in_redis = await self._redis.hget(sale_keys(sale_id, self._shards).sale, "epoch")
            if in_redis is not None and int(in_redis) != epoch:
                return 0
            # Also for a sale that is not there: only the script says that its shard is closed, and may have lost it.
            keys = restock_keys(sale_id, self._shards)
            _, _, units, *_ = await call(self._redis, self._scripts.restock, keys, sale_id, pack(order_ids), "")
        except RedisError as error:
            self._is_skipped = True
            log.info("restocks.skipped", extra={"sale_id": sale_id, "reason": str(error)})
            return 0
        if units:
            metrics.RESTOCKED_UNITS.inc(units)
            log.warning("restocks.repeated", extra={"sale_id": sale_id, "units": units})
        return int(units)


def _by_sale(rows: Sequence[Any]) -> Iterator[tuple[str, int, list[str]]]:
    key = itemgetter("sale_id", "epoch")
    for (sale_id, epoch), group in groupby(sorted(rows, key=key), key):
        yield sale_id, epoch, [row["order_id"] for row in group]

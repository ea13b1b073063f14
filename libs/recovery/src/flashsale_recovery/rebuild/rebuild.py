"""Rebuilds shards: joins the ledger with what Redis still has, breaks holds whose units were sold again, and writes the result to Redis.

Each step may be repeated, and a rebuild that was killed ends the same when it is repeated (decision 0030). The fences of the shards must be
in the state `restoring`, so nobody else writes. What Redis has is never deleted because the ledger does not have it.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from time import monotonic

from flashsale_core.keys import shard_of
from flashsale_recovery.rebuild.announcements import Counters, end_line, order_lines
from flashsale_recovery.rebuild.context import RebuildContext
from flashsale_recovery.rebuild.damage import Damage
from flashsale_recovery.rebuild.definitions import Present, present_sale
from flashsale_recovery.rebuild.facts import Definition, Stray, definition_in_redis
from flashsale_recovery.rebuild.inspection import Inspection
from flashsale_recovery.rebuild.join import join_order, without_hold
from flashsale_recovery.rebuild.ledger import SALES_AT_ONCE, SMALL_SALE, Ledger, Units
from flashsale_recovery.rebuild.mending import Mending
from flashsale_recovery.rebuild.report import Quarantined, RebuildReport
from flashsale_recovery.rebuild.restorer import Restorer, close_sales
from flashsale_recovery.rebuild.sale_restore import SaleRestore
from flashsale_recovery.rebuild.survey import SalePlan, Survey
from flashsale_recovery.rebuild.surviving import Surviving, decoded

STRAYS_MS = 7 * 24 * 3600 * 1000
"""How long Redis remembers a payment for an unknown order (lua/settle.lua)."""
STRAYS_A_CALL = 1000


async def rebuild(context: RebuildContext, shards: Sequence[int]) -> RebuildReport:
    """Write to Redis what ledger and Redis have together, and to the outbox what the ledger lacks.

    Raises RedisError (`FENCED`: another recovery took over), asyncpg's errors, OSError and TimeoutError; a repeat continues.
    """
    return await _Rebuild(context, shards).run(write=True)


async def plan_rebuild(context: RebuildContext, shards: Sequence[int]) -> RebuildReport:
    """What `rebuild` would do now; nothing is written. Raises as `rebuild` does."""
    return await _Rebuild(context, shards).run(write=False)


class _Rebuild:
    def __init__(self, context: RebuildContext, shards: Sequence[int]) -> None:
        self._context = context
        self._shards = frozenset(shards)
        self._ledger = Ledger(context.ledger)
        self._surviving = Surviving(context.redis, context.shard_count)
        self._survey = Survey(
            self._ledger, self._surviving, context.now_ms, context.now_ms if context.stopped_ms is None else context.stopped_ms
        )
        self._restorer = Restorer(context)
        self._report = RebuildReport()
        self._leaving: dict[str, Definition] = {}
        """The sales in Redis that are over, by name: they leave it."""
        self._unreadable_hashes: set[str] = set()
        self._without_hash: set[str] = set()
        """Names without a hash, or with something else in its place, that the ledger does not have either."""

    async def run(self, *, write: bool) -> RebuildReport:
        started = monotonic()
        try:
            async with self._ledger.snapshot():
                live = await self._run(write=write)
            await self._restorer.finish()
            if write:
                # Whoever defined a sale under such a name would sell its units once more. Redis may have an earlier sale of it.
                orphans = {each.sale_id for each in self._report.orphans}
                await close_sales(self._context, sorted(orphans), orphans - live)
        finally:
            await self._restorer.cancel()
        self._report.seconds = monotonic() - started
        return self._report

    async def _run(self, *, write: bool) -> Set[str]:
        """Returns the names of the sales that are restored."""
        definitions = await self._ledger.definitions(with_requests=True)
        in_ledger = {name: sale for name, sale in definitions.items() if self._is_mine(name)}
        presents, counts = await self._present_sales(in_ledger)
        counts = await self._mend(presents, counts, write=write)
        live = {name: present for name, present in presents.items() if not present.definition.is_removed}
        for name in sorted(presents):
            if write and name in self._leaving and counts[name]:
                await self._announce_leftovers(self._leaving[name])
            if name not in live:
                await self._restore_tombstone(presents[name], write=write)
        survivors = {name: 0 if name in self._leaving else counts[name] for name in live}
        await self._restore_sales(live, survivors, write=write)
        await self._restore_strays(write=write)
        # A sale that Redis defines is announced to the ledger, so its orders have a sale then.
        orphans = [each for each in await self._ledger.orphans() if self._is_mine(each.sale_id)]
        self._report.orphans = [
            each for each in orphans if each.sale_id not in presents or presents[each.sale_id].definition.epoch < each.epoch
        ]
        return live.keys()

    def _is_mine(self, sale_id: str) -> bool:
        return shard_of(sale_id, self._context.shard_count) in self._shards

    async def _present_sales(self, in_ledger: Mapping[str, Definition]) -> tuple[dict[str, Present], dict[str, int]]:
        """The present sale of each name, and how many orders Redis has under that name."""
        names = set(in_ledger).union(*[await self._surviving.sale_ids(shard) for shard in self._shards])
        hashes = await self._surviving.hashes(sorted(names))
        presents = {}
        for name in names:
            ledger = in_ledger.get(name)
            try:
                redis = definition_in_redis(name, decoded(hashes.get(name, {})))
            except ValueError:
                # The ledger's definition replaces a hash that cannot be read.
                redis = None
                self._unreadable_hashes.add(name)
            if ledger or redis:
                presents[name] = present_sale(ledger, redis)
                if redis and presents[name].clears_redis:
                    self._leaving[name] = redis
            else:
                self._report.unreadable.append(name)
                if not hashes.get(name):
                    self._without_hash.add(name)
        return presents, await self._surviving.order_counts(sorted(presents))

    async def _mend(self, presents: Mapping[str, Present], counts: Mapping[str, int], *, write: bool) -> dict[str, int]:
        """Repair what is damaged in Redis. Returns how many orders can be read of each sale."""
        damages = await Inspection(self._surviving).run(counts)
        quarantined = {name: ids for shard in self._shards for name, ids in (await self._surviving.quarantined(shard)).items()}
        mending = Mending(self._ledger, self._surviving, self._restorer)
        for name in sorted(presents.keys() & (damages.keys() | quarantined.keys() | self._unreadable_hashes)):
            damage = damages.get(name, Damage())
            if name in self._leaving:
                # Only what nobody can read stays, in the quarantine.
                damage = Damage(unreadable=damage.unreadable)
            elif name in self._unreadable_hashes:
                damage = replace(damage, wrong_types=(*damage.wrong_types, "sale"))
            sale = self._leaving.get(name, presents[name].definition)
            for each, records in _by_epoch(sale, quarantined.get(name, ())).items():
                repair = await mending.plan(each, damage if each == sale else Damage(), records)
                self._report.repairs.append(repair)
                if write:
                    await mending.carry_out(each, repair)
        if write:
            await close_sales(self._context, self._report.unreadable, self._without_hash)
        return {name: count - (len(set(damages[name].unreadable)) if name in damages else 0) for name, count in counts.items()}

    async def _restore_sales(self, live: Mapping[str, Present], survivors: Mapping[str, int], *, write: bool) -> None:
        sales = [present.definition for present in live.values()]
        units, refunds = await self._ledger.units(sales), await self._ledger.refunds(sales)
        sizes = {name: max(units.get(name, Units()).orders, survivors[name]) for name in sorted(live)}
        small = [name for name, size in sizes.items() if size <= SMALL_SALE]
        for start in range(0, len(small), SALES_AT_ONCE):
            names = small[start : start + SALES_AT_ONCE]
            rows = await self._ledger.orders_of([live[name].definition for name in names])
            records = await self._surviving.orders_of([name for name in names if survivors[name]])
            for name in names:
                started = monotonic()
                plan = await self._survey.run_small(live[name], rows.get(name, {}), records.get(name, {}), refunds.get(name, {}))
                await self._restore_sale(plan, started, write=write)
        for name in (name for name, size in sizes.items() if size > SMALL_SALE):
            started = monotonic()
            plan = await self._survey.run(live[name], units.get(name, Units()), refunds.get(name, {}), survivors[name])
            await self._restore_sale(plan, started, write=write)

    async def _restore_sale(self, plan: SalePlan, started: float, *, write: bool) -> None:
        self._report.sales.append(plan.report)
        name = plan.report.sale_id
        repairs = [repair for repair in self._report.repairs if (repair.sale_id, repair.epoch) == (name, plan.report.epoch)]
        doubtful = [order for repair in repairs for order in repair.doubtful_orders]
        if doubtful:
            plan.report.closed = f"{len(doubtful)} records could not be read, and the ledger lacks their orders"
        if write:
            await SaleRestore(self._survey, self._restorer, self._context.grace_ms).run(plan)
        plan.report.seconds = monotonic() - started

    async def _restore_tombstone(self, present: Present, *, write: bool) -> None:
        sale = present.definition
        self._report.tombstones += 1
        if write:
            lines = [end_line(sale, Counters(sale.total, sale.total, 0, 0), sale.removed_ms)] if present.lacks_end else []
            tombstone = [sale.owner or "admin", sale.removed_ms, sale.epoch, sale.generation]
            await self._restorer.now(sale.sale_id, {"clear": sale.epoch, "tombstone": tombstone, "lines": lines})

    async def _announce_leftovers(self, sale: Definition) -> None:
        """Send the ledger what it lacks of a sale that is over, before its orders leave Redis. Its holds are over as well."""
        name = sale.sale_id
        refunds = (await self._ledger.refunds([sale])).get(name, {})
        async for records in self._surviving.order_pages(name):
            rows = await self._ledger.orders(sale, list(records))
            joined = [join_order(rows.get(order_id), record, order_id, refunds.get(order_id, ())) for order_id, record in records.items()]
            behind = [order for order in map(without_hold, joined) if order.lacking or order.refunds_lacking]
            if behind:
                lines = order_lines(sale, behind, {}, self._context.now_ms)
                await self._restorer.now(name, {"lines": lines})

    async def _restore_strays(self, *, write: bool) -> None:
        strays = [stray for stray in await self._ledger.strays(self._context.now_ms - STRAYS_MS) if self._is_mine(stray.sale_id)]
        self._report.strays = len(strays)
        for sale_id, mine in _by_sale(strays).items():
            for start in range(0, len(mine) if write else 0, STRAYS_A_CALL):
                page = mine[start : start + STRAYS_A_CALL]
                words = [word for stray in page for word in (f"{sale_id}|{stray.order_id}|{stray.payment_id}", str(stray.at_ms))]
                await self._restorer.now(sale_id, {"strays": words})


def _by_epoch(sale: Definition, records: Sequence[Quarantined]) -> dict[Definition, list[Quarantined]]:
    """The records of the sale, and of earlier ones of its name: those keep no later sale closed."""
    by_epoch: dict[Definition, list[Quarantined]] = {sale: []}
    for record in records:
        is_mine = record.epoch in (None, sale.epoch)
        by_epoch.setdefault(sale if is_mine else Definition(sale.sale_id, record.epoch or 0), []).append(record)
    return by_epoch


def _by_sale(strays: Sequence[Stray]) -> dict[str, list[Stray]]:
    by_sale: dict[str, list[Stray]] = {}
    for stray in strays:
        by_sale.setdefault(stray.sale_id, []).append(stray)
    return by_sale

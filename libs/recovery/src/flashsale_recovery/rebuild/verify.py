"""Checks a rebuild before a shard opens, from the stores alone: whoever continues after a kill can check as well. It only reads."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from flashsale_core.errors import FlashsaleError
from flashsale_core.keys import shard_of
from flashsale_core.orders import State, supersedes
from flashsale_core.records import OrderRecord, stale_terms
from flashsale_recovery.rebuild.context import RebuildContext
from flashsale_recovery.rebuild.facts import Definition, LedgerOrder
from flashsale_recovery.rebuild.ledger import SALES_AT_ONCE, SMALL_SALE, Ledger, Units
from flashsale_recovery.rebuild.surviving import Surviving, decoded

FAULTS_MAX = 20
SCANS_MAX = 3
CLOSED_IN_DOUBT = "-1"
"""The units available of a sale that stays closed (lua/restore.lua)."""
COUNTERS = (b"total", b"available", b"reserved", b"sold")


class VerifyError(FlashsaleError):
    """Redis is not what the ledger says: the shard must not open."""


class Verified(NamedTuple):
    orders: int
    """In Redis."""
    faulty: dict[str, str]
    """Sales that must stay closed although their shard may open, with the first fault of each."""


async def verify(context: RebuildContext, shards: Sequence[int]) -> Verified:
    """Compare each sale of the shards with its orders, buyers and deadlines, and every order of the ledger with Redis.

    Redis may have more than the ledger, which gets it from the outbox. A sale that is closed, because it is in doubt, is left out.
    Raises VerifyError with the first FAULTS_MAX faults of the shards themselves, and what the clients raise.
    """
    check = _Check(context, frozenset(shards))
    await check.run()
    if check.faults:
        raise VerifyError("; ".join(check.faults))
    return Verified(check.orders, check.faulty)


@dataclass(slots=True)
class _Sums:
    held: int = 0
    sold: int = 0
    of_buyers: int = 0
    """The units that count against the limits of buyers: not those of orders that were returned."""
    orders: int = 0
    holds: int = 0

    def add(self, records: Mapping[str, OrderRecord]) -> None:
        for record in records.values():
            is_hold = record.state is State.RESERVED
            self.held += record.quantity if is_hold else 0
            self.sold += record.sold_units
            self.of_buyers += record.quantity if is_hold or record.state is State.PAID else 0
            self.holds += is_hold
        self.orders += len(records)


class _Check:
    def __init__(self, context: RebuildContext, shards: frozenset[int]) -> None:
        self._context = context
        self._shards = shards
        self._ledger = Ledger(context.ledger)
        self._surviving = Surviving(context.redis, context.shard_count)
        self._fields: dict[str, Mapping[bytes, bytes]] = {}
        self._holds: Counter[int] = Counter()
        self.orders = 0
        self.faults: list[str] = []
        self.faulty: dict[str, str] = {}

    async def run(self) -> None:
        async with self._ledger.snapshot():
            definitions = {name: sale for name, sale in (await self._ledger.definitions()).items() if self._shard(name) in self._shards}
            live = {name for name, sale in definitions.items() if not sale.is_removed}
            names = sorted(live.union(*[await self._surviving.sale_ids(shard) for shard in self._shards]))
            hashes = await self._surviving.hashes(names)
            for name in names:
                fields = hashes.get(name, {})
                if self._is_present(name, definitions.get(name), decoded(fields)):
                    self._fields[name] = fields
            await self._check_sales()
        for shard in self._shards:
            deadlines = await self._surviving.deadline_count(shard)
            # More than the holds are harmless: `expire` drops a deadline without a hold.
            if deadlines < self._holds[shard]:
                self._fault(f"shard {shard}", f"{self._holds[shard]} holds, but {deadlines} deadlines")

    def _is_present(self, name: str, ledger: Definition | None, fields: Mapping[str, str]) -> bool:
        """Whether Redis has the present sale of the name, whose numbers can be compared."""
        if fields.get("available") == CLOSED_IN_DOUBT:
            return False
        if "total" not in fields:
            # A sale that was removed when the ledger did not know it yet has its tombstone.
            if ledger is not None and int(fields.get("removed_epoch", -1)) < ledger.epoch:
                self._fault(name, "the ledger has the sale, Redis has not")
            return False
        epoch = int(fields["epoch"])
        if ledger is not None and (ledger.epoch > epoch or (ledger.epoch == epoch and ledger.is_removed)):
            self._fault(name, f"Redis has the sale of epoch {epoch}, the ledger's present one is {ledger.epoch} and {ledger.state}")
            return False
        return True

    async def _check_sales(self) -> None:
        sales = {name: Definition(name, int(fields[b"epoch"])) for name, fields in self._fields.items()}
        counts, units = await self._surviving.order_counts(list(sales)), await self._ledger.units(sales.values())
        sizes = {name: max(counts[name], units.get(name, Units()).orders) for name in sales}
        small = [name for name, size in sizes.items() if size <= SMALL_SALE]
        for start in range(0, len(small), SALES_AT_ONCE):
            names = small[start : start + SALES_AT_ONCE]
            rows, records = await self._ledger.orders_of([sales[name] for name in names]), await self._surviving.orders_of(names)
            of_buyers = await self._surviving.buyers_of(names)
            for name in names:
                sums = _Sums()
                sums.add(records[name])
                self._compare_rows(name, list(rows.get(name, {}).values()), records[name])
                self._compare_sums(name, sums, counts[name], _units(of_buyers[name]))
        for name in (name for name, size in sizes.items() if size > SMALL_SALE):
            await self._check_great(sales[name], counts[name])

    async def _check_great(self, sale: Definition, count: int) -> None:
        """Redis may return an order or a buyer twice while it resizes their hash: then they are counted again."""
        for _ in range(SCANS_MAX):
            sums = await self._great_sums(sale, count)
            units = sum([_units(page) async for page in self._surviving.buyer_pages(sale.sale_id)])
            if sums.orders == count and units == sums.of_buyers:
                break
        self._compare_sums(sale.sale_id, sums, count, units)

    async def _great_sums(self, sale: Definition, count: int) -> _Sums:
        """The sums over the orders in Redis, a page of the ledger at a time. Orders that only Redis has need another reading."""
        sums = _Sums()
        async for page in self._ledger.order_pages(sale, "order_states"):
            records = await self._surviving.orders(sale.sale_id, [row.order_id for row in page])
            sums.add(records)
            self._compare_rows(sale.sale_id, page, records)
        if sums.orders == count:
            return sums
        sums = _Sums()
        async for records in self._surviving.order_pages(sale.sale_id):
            sums.add(records)
        return sums

    def _compare_rows(self, name: str, rows: Sequence[LedgerOrder], records: Mapping[str, OrderRecord]) -> None:
        for row in rows:
            fault = _difference(row, records.get(row.order_id))
            if fault:
                self._close(name, f"order {name}.{row.order_id}: {fault}")

    def _compare_sums(self, name: str, sums: _Sums, count: int, units: int) -> None:
        fields = self._fields[name]
        self.orders += sums.orders
        if sums.orders != count:
            self._close(name, f"Redis has {count} orders, and {sums.orders} of them can be read")
        total, available, reserved, sold = (int(fields[counter]) for counter in COUNTERS)
        if total != available + reserved + sold or min(available, reserved, sold) < 0:
            self._close(name, f"total {total} is not available {available} + reserved {reserved} + sold {sold}")
        if (reserved, sold) != (sums.held, sums.sold):
            orders = f"its orders have {sums.held} and {sums.sold}"
            self._close(name, f"the sale counts {reserved} reserved and {sold} sold, {orders}")
        if units != sums.of_buyers:
            self._close(name, f"its buyers have {units} units, their orders {sums.of_buyers}")
        if b"terms" not in fields or stale_terms(fields):
            self._close(name, "its packed terms are not those of its fields")
        if name not in self.faulty:
            self._holds[self._shard(name)] += sums.holds

    def _shard(self, name: str) -> int:
        return shard_of(name, self._context.shard_count)

    def _close(self, name: str, words: str) -> None:
        self.faulty.setdefault(name, words)

    def _fault(self, subject: str, words: str) -> None:
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(f"{subject}: {words}")


def _difference(row: LedgerOrder, record: OrderRecord | None) -> str:
    if record is None:
        return f"{row.state} in the ledger, not in Redis"
    if supersedes(row.state, record.state):
        return f"{record.state} in Redis, {row.state} in the ledger"
    if (record.user_id, record.quantity) != (row.user_id, row.quantity):
        return "its buyer or its quantity differs from the ledger's"
    return ""


def _units(counts: Mapping[bytes, bytes]) -> int:
    """Fields with '#' count released orders."""
    return sum(int(count) for user, count in counts.items() if not user.startswith(b"#") and count.isdigit())

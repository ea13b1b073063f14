"""Reads one sale in ledger and Redis, and decides its counters and which holds are broken. Nothing is written."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain

from flashsale_core.errors import Retryable
from flashsale_core.orders import RESTOCKED, State
from flashsale_core.records import OrderRecord
from flashsale_recovery.rebuild.announcements import reserved_at
from flashsale_recovery.rebuild.deficit import Hold, excess, holds_to_break
from flashsale_recovery.rebuild.definitions import Present
from flashsale_recovery.rebuild.facts import LedgerOrder, Refund
from flashsale_recovery.rebuild.join import Joined, join_order
from flashsale_recovery.rebuild.ledger import Ledger, Units, pages
from flashsale_recovery.rebuild.report import Conflict, SaleReport
from flashsale_recovery.rebuild.surviving import Surviving

SCANS_MAX = 3


@dataclass(slots=True)
class SalePlan:
    """A sale, and what was decided about it."""

    present: Present
    report: SaleReport
    refunds: Mapping[str, Sequence[Refund]]
    survivors: int
    """Orders of the sale that Redis has."""
    only_in_redis: int = 0
    page: list[Joined] | None = None
    """All orders of a small sale; None for a great one, whose orders are read again for each step."""
    broken: dict[str, Hold] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Survey:
    ledger: Ledger
    surviving: Surviving
    now_ms: int
    stopped_ms: int

    async def run(self, present: Present, units: Units, refunds: Mapping[str, Sequence[Refund]], survivors: int) -> SalePlan:
        """Raises Retryable if Redis returns its orders twice time and again."""
        for _ in range(SCANS_MAX):
            plan = _new_plan(present, units, refunds, survivors)
            if await self._compare_survivors(plan) == survivors:
                break
        else:
            raise Retryable(f"{present.definition.sale_id}: Redis still resizes the hash of its orders")
        await self._break_holds(plan)
        return plan

    async def run_small(
        self, present: Present, rows: Mapping[str, LedgerOrder], records: Mapping[str, OrderRecord], refunds: Mapping[str, Sequence[Refund]]
    ) -> SalePlan:
        """The plan of a sale whose orders are all at hand. Nothing is read."""
        plan = _new_plan(present, Units(), refunds, len(records))
        plan.page = [join_order(rows.get(name), records.get(name), name, refunds.get(name, ())) for name in rows.keys() | records.keys()]
        for order in plan.page:
            _correct(plan, None, order)
        await self._break_holds(plan)
        return plan

    async def joined_pages(self, plan: SalePlan) -> AsyncIterator[list[Joined]]:
        """All orders of the sale, in pages: first those that only Redis has."""
        if plan.page is not None:
            yield plan.page
            return
        sale, refunds = plan.present.definition, plan.refunds
        if plan.only_in_redis:
            async for records in self.surviving.order_pages(sale.sale_id):
                rows = await self.ledger.orders(sale, list(records))
                yield [join_order(None, records[name], name, refunds.get(name, ())) for name in records.keys() - rows.keys()]
        async for page in self.ledger.order_pages(sale):
            records = await self.surviving.orders(sale.sale_id, [row.order_id for row in page]) if plan.survivors else {}
            yield [join_order(row, records.get(row.order_id), row.order_id, refunds.get(row.order_id, ())) for row in page]

    async def _compare_survivors(self, plan: SalePlan) -> int:
        """Correct the sums of the ledger by what Redis and the refunds add. Returns how many orders Redis returned."""
        sale, count, unseen = plan.present.definition, 0, set(plan.refunds)
        if plan.survivors:
            async for records in self.surviving.order_pages(sale.sale_id):
                rows = await self.ledger.orders(sale, list(records))
                for name, record in records.items():
                    _correct(plan, rows.get(name), join_order(rows.get(name), record, name, plan.refunds.get(name, ())))
                count += len(records)
                unseen.difference_update(records)
        for names in pages(sorted(unseen)):
            for name, row in (await self.ledger.orders(sale, names)).items():
                _correct(plan, row, join_order(row, None, name, plan.refunds[name]))
        return count

    async def _break_holds(self, plan: SalePlan) -> None:
        report = plan.report
        units = excess(report.total, report.reserved, report.sold)
        if not units:
            return
        broken: list[Hold] = []
        async for page in self.joined_pages(plan):
            broken = holds_to_break(chain(broken, self._holds(plan, page)), units, self.stopped_ms)
        plan.broken = {hold.order_id: hold for hold in broken}
        report.broken = broken
        report.reserved -= report.units_broken

    def _holds(self, plan: SalePlan, page: Iterable[Joined]) -> list[Hold]:
        return [
            Hold(
                order.order_id, order.record.user_id, order.record.quantity, order.record.deadline_ms,
                reserved_at(order, plan.present.definition, self.now_ms),
            )
            for order in page if order.record.state is State.RESERVED
        ]  # fmt: skip


def _new_plan(present: Present, units: Units, refunds: Mapping[str, Sequence[Refund]], survivors: int) -> SalePlan:
    sale = present.definition
    report = SaleReport(
        sale.sale_id,
        sale.epoch,
        sale.total,
        sale.state,
        orders=units.orders,
        reserved=units.held,
        sold=units.sold,
        returned=units.returned,
        restocked=units.restocked,
        lacking=units.unreserved,
    )
    return SalePlan(present, report, refunds, survivors)


def _correct(plan: SalePlan, row: LedgerOrder | None, order: Joined) -> None:
    report, record = plan.report, order.record
    if row is None:
        plan.only_in_redis += 1
        report.orders += 1
    else:
        _count(report, row, -row.quantity)
        report.lacking -= row.reserved_ms is None
    _count(report, record, record.quantity)
    report.lacking += len(order.lacking)
    report.conflicts += _conflicts(plan, order)


def _count(report: SaleReport, order: LedgerOrder | OrderRecord, units: int) -> None:
    if order.state is State.RESERVED:
        report.reserved += units
    elif order.state is State.PAID:
        report.sold += units
    elif order.state is State.RETURNED:
        report.returned += units
        report.restocked += units if order.return_letter == RESTOCKED else 0
        report.sold += 0 if order.return_letter == RESTOCKED else units


def _conflicts(plan: SalePlan, order: Joined) -> list[Conflict]:
    name = f"{plan.present.definition.sale_id}.{order.order_id}"
    conflicts = [Conflict(name, payment, "a refund that only Redis has: its amount is not known") for payment in order.refunds_lacking]
    if State.PAID in order.lacking:
        conflicts.append(Conflict(name, order.record.payment_id, "a payment that only Redis has: its amount is not known"))
    if order.other_payment:
        words = f"paid in Redis by another payment than in the ledger, which has {order.record.payment_id}"
        conflicts.append(Conflict(name, order.other_payment, words))
    return conflicts

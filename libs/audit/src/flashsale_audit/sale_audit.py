"""The audit of one sale: all its orders are read, but only a page of them is in memory at a time."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import getrandbits
from typing import TypeGuard

from flashsale_audit import compare
from flashsale_audit.buyer_audit import BuyerAudit
from flashsale_audit.buyer_proof import BuyerProof
from flashsale_audit.buyer_sums import BuyerSums
from flashsale_audit.buyers import BuyerPass
from flashsale_audit.catch_up import CatchUp
from flashsale_audit.confirm import confirmed
from flashsale_audit.differences import Difference, Findings
from flashsale_audit.facts import Counters, OrderTotals, SaleNumbers, TotalsByState
from flashsale_audit.ledger_audit import LedgerAudit
from flashsale_audit.look import Look, totals
from flashsale_audit.motion import Motion, compare_sums
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import LOOK_WHOLE, RedisReader
from flashsale_audit.records import Record
from flashsale_audit.refund_audit import RememberedRefunds
from flashsale_audit.released_audit import ReleasedAudit
from flashsale_audit.repeats import Repeats
from flashsale_audit.skipped import Skipped
from flashsale_core.orders import WAITING, State

WAITING_NAMED = 20


@dataclass(slots=True)
class OrderPass:
    """One pass over all orders of a sale: its sums, and the counters at its first and last page."""

    looks: list[Counters] = field(default_factory=list)
    """At the first and at the last page."""
    orders: int = 0
    sums: dict[State, OrderTotals] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    """The first few returned orders whose units wait to be for sale again."""

    def look(self, counters: Counters) -> None:
        self.looks = [*self.looks[:1], counters]

    def add(self, records: Mapping[str, Record], unreadable: Sequence[str]) -> None:
        waiting = [order_id for order_id, record in records.items() if record.letter == WAITING]
        self.add_totals(totals(records), len(records) + len(unreadable), waiting)

    def add_totals(self, totals_of_page: TotalsByState, orders: int, waiting: Sequence[str]) -> None:
        self.orders += orders
        for state, total in totals_of_page.items():
            self.sums[state] = self.sums.get(state, OrderTotals()) + total
        self.waiting = [*self.waiting, *waiting][:WAITING_NAMED]

    @property
    def motion(self) -> Motion:
        return Motion(self.looks[0], self.looks[-1])

    @property
    def each_once(self) -> bool:
        """Whether the number of orders fits. While Redis shrinks a hash, a scan may return an order twice."""
        return self.orders <= self.looks[-1].orders


@dataclass(frozen=True, slots=True)
class SaleAudit:
    redis: RedisReader
    ledger: LedgerReader
    catch_up: CatchUp
    counters: Counters
    grace_ms: int
    findings: Findings
    pace: Callable[[], Awaitable[None]]
    skipped: Skipped
    repeats: Repeats

    async def run(self) -> SaleNumbers | None:
        """None if the sale was removed, replaced or recovered while it was read; then nothing is known about it."""
        findings, order_pass = Findings(), OrderPass()
        refunds = RememberedRefunds(self.ledger, self.catch_up, self.sale_id, findings)
        ledger = LedgerAudit(self.redis, self.ledger, self.catch_up, self.sale_id, self.epoch, findings, self.pace, refunds)
        buyers = BuyerAudit(self.redis, self.sale_id, findings, self.pace, self.skipped)
        judge = self._judge_small if self.counters.orders <= LOOK_WHOLE else self._judge_large
        if not await judge(order_pass, buyers, ledger, findings) or not await self._report(findings):
            return None
        findings.add(await confirmed(self._read_definition, self.catch_up))
        if self.repeats.is_due(check := f"history {self.sale_id}"):
            differences = await confirmed(self._read_history, self.catch_up)
            findings.add(differences)
            self.repeats.note(check, len(differences))
        findings.add(await self._totals(order_pass))
        sums = await self.ledger.sums(self.sale_id, self.epoch)
        if sum(total.orders for total in sums.values()) != ledger.in_ledger and await ledger.may_lack_orders():
            await ledger.name_missing()
        if not await self._report(findings):
            return None
        return SaleNumbers(order_pass.looks[-1], order_pass.sums, sums)

    @property
    def sale_id(self) -> str:
        return self.counters.sale_id

    @property
    def epoch(self) -> int:
        return self.counters.epoch

    async def _judge_small(self, order_pass: OrderPass, buyers: BuyerAudit, ledger: LedgerAudit, findings: Findings) -> bool:
        """Judge the orders by looks with all that belongs to them. False if the sale is not the same at each page."""
        buyer_pass = BuyerPass(getrandbits(32) | 1)
        if not await self._look_at_orders(order_pass, buyer_pass, ledger, findings):
            return False
        findings.add(_counted(order_pass))
        await ledger.finish()
        await self._released(findings).run(await buyers.run(buyer_pass))
        return True

    async def _judge_large(self, order_pass: OrderPass, buyers: BuyerAudit, ledger: LedgerAudit, findings: Findings) -> bool:
        """Judge only what may differ by looks: a look at each order would cost several times as much."""
        first = await self.redis.look(self.sale_id)
        if not self._is_same(first.counters):
            return False
        order_pass.look(first.counters)
        if not await self._scan_orders(first.now_ms - self.grace_ms, order_pass, ledger, findings):
            return False
        last = await self.redis.counters(self.sale_id)
        if not self._is_same(last):
            return False
        order_pass.look(last)
        findings.add(_counted(order_pass))
        await ledger.finish()
        if not findings.clean() and not await self._report(findings):
            return False
        proof = BuyerProof(buyers, self.ledger, self.catch_up, self.epoch, self.repeats)
        released = self._released(findings)
        sums = BuyerSums(self.redis, self.ledger, self.catch_up, self.sale_id, self.epoch, self.pace, proof, released, self.skipped)
        await sums.run(last.orders)
        return True

    def _released(self, findings: Findings) -> ReleasedAudit:
        return ReleasedAudit(self.redis, self.ledger, self.catch_up, self.sale_id, self.epoch, findings, self.pace)

    async def _scan_orders(self, overdue_before_ms: int, order_pass: OrderPass, ledger: LedgerAudit, findings: Findings) -> bool:
        async for page in self.redis.order_pages(self.sale_id, overdue_before_ms):
            order_pass.add_totals(page.totals, page.columns.size, page.waiting)
            async for look in self.redis.looks(self.sale_id, page.held):
                findings.add(self._compared(look))
            async for look in self.redis.looks(self.sale_id, page.strange):
                findings.add(self._compared(look))
                order_pass.add(look.records, look.unreadable)
                await ledger.add_look(look)
            await ledger.add_page(page)
            if not findings.clean() and not await self._report(findings):
                return False
            await self.pace()
        return True

    def _compared(self, look: Look) -> Iterable[Difference]:
        return compare.compare_page(self.sale_id, look.records, look.unreadable, look.deadlines, look.now_ms - self.grace_ms)

    async def _look_at_orders(self, order_pass: OrderPass, buyers: BuyerPass, ledger: LedgerAudit, findings: Findings) -> bool:
        """False if the sale is not the same at each page."""
        async for page in self.redis.look_pages(self.sale_id):
            if not self._is_same(page.counters):
                return False
            order_pass.look(page.counters)
            order_pass.add(page.records, page.unreadable)
            buyers.add(page)
            findings.add(self._compared(page))
            await ledger.add_look(page)
            if not findings.clean() and not await self._report(findings):
                return False
            await self.pace()
        return True

    async def _report(self, findings: Findings) -> bool:
        """Move what was found into the report, while the sale is still the same; False if it is not."""
        if not self._is_same(await self.redis.counters(self.sale_id)):
            return False
        self.findings.merge(findings)
        findings.counts.clear()
        findings.samples.clear()
        return True

    async def _read_definition(self) -> Sequence[Difference]:
        before = await self.redis.counters(self.sale_id)
        row = await self.ledger.sale(self.sale_id, self.epoch)
        after = await self.redis.counters(self.sale_id)
        if before is None or after is None or before.definition != after.definition:
            return ()
        return list(compare.compare_definition(before, row))

    async def _read_history(self) -> Sequence[Difference]:
        return list(compare.compare_history(self.sale_id, await self.ledger.history(self.sale_id, self.epoch)))

    async def _totals(self, order_pass: OrderPass) -> Sequence[Difference]:
        """The sums of both stores can be compared only while nothing moves. Otherwise the orders were compared one by one."""
        held: Sequence[Difference] = ()
        if not order_pass.motion.still:
            return held
        async for _ in self.catch_up.rounds():
            sums: TotalsByState = await self.ledger.sums(self.sale_id, self.epoch)
            now = await self.redis.counters(self.sale_id)
            if now is None or not Motion(order_pass.looks[0], now).still:
                return ()
            held = list(compare.compare_totals(now, order_pass.sums, sums, order_pass.waiting))
            if not held:
                break
        return held

    def _is_same(self, counters: Counters | None) -> TypeGuard[Counters]:
        return counters is not None and (counters.epoch, counters.incarnation) == (self.epoch, self.counters.incarnation)


def _counted(order_pass: OrderPass) -> list[Difference]:
    """The differences of the sale's counters to each other and to the sums of its orders."""
    differences = list(compare.compare_counters(order_pass.motion.last))
    if order_pass.motion.same_sale and order_pass.each_once:
        differences += compare_sums(order_pass.motion, order_pass.sums)
    return differences

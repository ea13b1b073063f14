"""Reads the stores, passes what they contain to `compare`, and collects the findings."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

from flashsale_audit import compare
from flashsale_audit.catch_up import LAG_SECONDS, MORE_SECONDS, CatchUp
from flashsale_audit.confirm import confirmed
from flashsale_audit.differences import Difference, Findings, Kind
from flashsale_audit.facts import Money, OrderTotals, SaleNumbers
from flashsale_audit.outbox_audit import OutboxAudit
from flashsale_audit.read_ledger import LedgerReader
from flashsale_audit.read_redis import RedisReader
from flashsale_audit.refund_audit import ForgottenRefunds
from flashsale_audit.repeats import Repeats
from flashsale_audit.sale_audit import SaleAudit
from flashsale_audit.skipped import ShardNotOpenError, Skipped
from flashsale_core.ids import parse_order_ref
from flashsale_core.orders import State

RETRY_SECONDS = 0.5
ACCEPTED_PAGE = 2000
DEADLINES_LOOK = 200
DEADLINES = "deadlines"
SALE_TRIES = 3
"""How often a sale is read that is replaced while it is read."""


@dataclass(frozen=True, slots=True)
class Options:
    sales: Sequence[str] = ()
    """Empty: all sales."""
    overdue_grace_seconds: float = 5.0
    accepted: Sequence[str] = ()
    """Order ids that clients received."""
    outbox_seconds: float = 5.0
    """How long an entry may wait in an outbox."""
    lag_seconds: float = LAG_SECONDS
    """How long the ledger may have later entries than one that it lacks."""


@dataclass(slots=True)
class Report:
    sales: list[SaleNumbers] = field(default_factory=list)
    money: dict[str, Money] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    accepted_checked: int = 0
    skipped: Skipped = field(default_factory=Skipped)
    by_position: bool = True
    """False if the ledger lacks entries, so that a difference to it counted only if it lasted."""

    def clean(self) -> bool:
        """Whether everything was judged, and nothing differs."""
        return self.findings.clean() and not self.skipped


async def at_once() -> None:
    """The pace of an audit that does not pause between pages."""


@dataclass(slots=True)
class Audit:
    redis: RedisReader
    ledger: LedgerReader
    options: Options
    pace: Callable[[], Awaitable[None]] = at_once
    """Called after each page."""
    repeats: Repeats = field(default_factory=Repeats)
    catch_up: CatchUp = field(init=False)

    def __post_init__(self) -> None:
        lag_seconds = self.options.lag_seconds
        self.catch_up = CatchUp(self.redis, self.ledger, wait_seconds=lag_seconds + MORE_SECONDS, lag_seconds=lag_seconds)

    async def until_settled(self, wait_seconds: float) -> Report:
        """Repeat the audit until no difference is left that can disappear by itself, or until `wait_seconds` have passed."""
        give_up_at = monotonic() + wait_seconds
        while True:
            report = Report()
            await self.run(report)
            if monotonic() >= give_up_at or not (report.findings.may_settle() or report.skipped):
                return report
            # A full audit reads everything, so it waits until the pipeline has no backlog.
            while monotonic() < give_up_at and not await self._drained(report):  # noqa: ASYNC110 - the stores cannot wake us
                await asyncio.sleep(RETRY_SECONDS)
            await asyncio.sleep(RETRY_SECONDS)

    async def run(self, report: Report) -> None:
        """Audit the sales that the options name, or all of them, once. `report` grows meanwhile."""
        self.catch_up.skipped = report.skipped
        outbox = await OutboxAudit.begin(self.redis)
        # The ledger first: it follows Redis, so a sale that it has is in Redis by now.
        in_ledger, in_redis = await self.ledger.live_sale_ids(), await self.redis.sale_ids()
        for sale_id in self.options.sales or in_redis:
            await self._audit_sale(sale_id, report)
        if self.repeats.is_due(DEADLINES):
            await self._audit_deadlines(report)
            self.repeats.note(DEADLINES, report.findings.counts[Kind.DEADLINE_WITHOUT_HOLD])
        await self._audit_refunds(report)
        lost = [] if self.options.sales else sorted(set(in_ledger) - set(in_redis))
        report.findings.add(await self._lost_sales(lost))
        await self._audit_money(report)
        report.findings.add(await outbox.waiting(self.options.outbox_seconds))
        await self._check_accepted(report)
        report.findings.add(self.catch_up.behind.values())
        try:
            report.findings.add(await self.catch_up.holes())
        except ShardNotOpenError as error:
            report.skipped.add("ledger", error)
        report.by_position = self.catch_up.by_position
        self.repeats.end_round(sum(numbers.counters.orders for numbers in report.sales))

    async def counters(self) -> Findings:
        """Compare only the counters of each sale with each other: one short look for each."""
        findings = Findings()
        for sale_id in self.options.sales or await self.redis.sale_ids():
            try:
                # The round says what it skips.
                with suppress(ShardNotOpenError):
                    counters = await self.redis.counters(sale_id)
                    findings.add(compare.compare_counters(counters) if counters is not None else ())
            except ValueError as error:
                findings.add([_unreadable(sale_id, error)])
        return findings

    async def _audit_sale(self, sale_id: str, report: Report) -> None:
        try:
            for _ in range(SALE_TRIES):
                if await self._audited(sale_id, report):
                    return
            report.skipped.add(sale_id, "it was replaced or recovered while it was read")
        except ShardNotOpenError as error:
            report.skipped.add(sale_id, error)
        except ValueError as error:
            report.findings.add([_unreadable(sale_id, error)])

    async def _audited(self, sale_id: str, report: Report) -> bool:
        """False if the sale was replaced while it was read."""
        counters = await self.redis.counters(sale_id)
        if counters is None:
            # A sale that was removed since the list was read is no fault; one that was asked for by its name is.
            if self.options.sales:
                report.findings.add([Difference(Kind.SALE_MISSING_IN_REDIS, sale_id, "Redis has no such sale")])
            return True
        grace_ms = round(1000 * self.options.overdue_grace_seconds)
        audit = SaleAudit(
            self.redis, self.ledger, self.catch_up, counters, grace_ms, report.findings, self.pace, report.skipped, self.repeats
        )
        numbers = await audit.run()
        if numbers is not None:
            report.sales.append(numbers)
        return numbers is not None

    async def _audit_deadlines(self, report: Report) -> None:
        async for page in self.redis.deadline_pages(numbers.counters.sale_id for numbers in report.sales):
            for sale_id, order_ids in page.items():
                records = await self.redis.orders(sale_id, order_ids)
                await self._confirm_deadlines(sale_id, compare.without_hold(order_ids, records), report)
            await self.pace()

    async def _confirm_deadlines(self, sale_id: str, suspects: Sequence[str], report: Report) -> None:
        for start in range(0, len(suspects), DEADLINES_LOOK):
            try:
                look = await self.redis.look(sale_id, suspects[start : start + DEADLINES_LOOK])
            except ShardNotOpenError as error:
                report.skipped.add(sale_id, error)
                return
            report.findings.add(compare.compare_deadlines(sale_id, look.deadlines, look.records, look.unreadable))

    async def _audit_refunds(self, report: Report) -> None:
        epochs = {numbers.counters.sale_id: numbers.counters.epoch for numbers in report.sales}
        async for differences in ForgottenRefunds(self.redis, self.ledger, report.skipped).pages(epochs):
            report.findings.add(differences)
            await self.pace()

    async def _lost_sales(self, sale_ids: Sequence[str]) -> Sequence[Difference]:
        """The sales among these that are still in the ledger alone."""

        async def read() -> Sequence[Difference]:
            still = set(sale_ids) & set(await self.ledger.live_sale_ids())
            return compare.compare_sales(sorted(still), await self.redis.sale_ids())

        return await confirmed(read, self.catch_up) if sale_ids else ()

    async def _audit_money(self, report: Report) -> None:
        # Each query about money reads all payments of a sale, so it is asked only for sales that have some.
        paid = await self.ledger.paid_sale_ids()
        for sale_id in self.options.sales or paid:
            if not self.repeats.is_due(check := f"money {sale_id}"):
                continue

            async def read(sale_id: str = sale_id) -> Sequence[Difference]:
                report.money[sale_id] = await self.ledger.money(sale_id) if sale_id in paid else Money()
                return list(compare.compare_money(sale_id or "(no sale)", report.money[sale_id]))

            differences = await confirmed(read, self.catch_up)
            report.findings.add(differences)
            self.repeats.note(check, len(differences))
            await self.pace()

    async def _drained(self, report: Report) -> bool:
        if any((await self.redis.outbox_lengths()).values()):
            return False
        for numbers in report.sales:
            try:
                counters = await self.redis.counters(numbers.counters.sale_id)
            except ShardNotOpenError:
                return False
            if counters is None:
                continue
            sums = await self.ledger.sums(counters.sale_id, counters.epoch)
            units = (sums.get(State.RESERVED, OrderTotals()).units, sum(total.sold for total in sums.values()))
            orders = sum(total.orders for total in sums.values())
            if (*units, orders) != (counters.reserved, counters.sold, counters.orders):
                return False
        return True

    async def _check_accepted(self, report: Report) -> None:
        by_sale: dict[str, list[str]] = {}
        refs = {text: parse_order_ref(text) for text in self.options.accepted}
        report.findings.add(compare.compare_accepted([text for text, ref in refs.items() if ref is None], []))
        for ref in refs.values():
            if ref is not None:
                by_sale.setdefault(ref.sale_id, []).append(ref.order_id)
        for sale_id, ids in by_sale.items():
            for start in range(0, len(ids), ACCEPTED_PAGE):
                page = ids[start : start + ACCEPTED_PAGE]
                in_redis = [f"{sale_id}.{order_id}" for order_id in await self.redis.orders(sale_id, page)]
                report.findings.add(compare.compare_accepted([f"{sale_id}.{order_id}" for order_id in page], in_redis))
        report.accepted_checked = len(refs)


def _unreadable(sale_id: str, error: ValueError) -> Difference:
    return Difference(Kind.RECORD_UNREADABLE, sale_id, f"its data cannot be read: {error}")

"""Reads the stores, passes what they contain to `compare`, and collects the findings."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from flashsale_cli.audit import compare
from flashsale_cli.audit.connect import connect
from flashsale_cli.audit.differences import Difference, Findings, Kind
from flashsale_cli.audit.facts import Money, OrderTotals, SaleNumbers
from flashsale_cli.audit.read_ledger import LedgerReader
from flashsale_cli.audit.read_redis import RedisReader
from flashsale_cli.audit.sale_audit import SaleAudit
from flashsale_cli.environment import CliEnvironment
from flashsale_core.ids import parse_order_ref
from flashsale_core.orders import State

RETRY_SECONDS = 0.5
ACCEPTED_PAGE = 2000


@dataclass(frozen=True, slots=True)
class Options:
    sales: Sequence[str] = ()
    """Empty: all sales."""
    overdue_grace_seconds: float = 5.0
    accepted: Sequence[str] = ()
    """Order ids that clients received."""


@dataclass(slots=True)
class Report:
    sales: list[SaleNumbers] = field(default_factory=list)
    money: dict[str, Money] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    accepted_checked: int = 0


async def audit_stores(environment: CliEnvironment, options: Options, wait_seconds: float = 0.0) -> Report:
    """Connect to the stores and audit them. Raises what `connect` raises."""
    async with connect(environment) as (redis, ledger):
        return await audit_until_settled(redis, ledger, options, wait_seconds)


async def audit_until_settled(redis: RedisReader, ledger: LedgerReader, options: Options, wait_seconds: float) -> Report:
    """Repeat the audit until no difference is left that can disappear by itself, or until `wait_seconds` have passed."""
    give_up_at = monotonic() + wait_seconds
    while True:
        report = await audit_all(redis, ledger, options)
        if monotonic() >= give_up_at or not report.findings.may_settle():
            return report
        # A full audit reads everything, so it waits until the pipeline has no backlog.
        while monotonic() < give_up_at and not await _drained(redis, ledger, report):  # noqa: ASYNC110 - the stores cannot wake us
            await asyncio.sleep(RETRY_SECONDS)
        await asyncio.sleep(RETRY_SECONDS)


async def audit_all(redis: RedisReader, ledger: LedgerReader, options: Options) -> Report:
    """Audit the sales that `options` names, or all of them, once."""
    report = Report()
    in_redis, in_ledger = await redis.sale_ids(), await ledger.live_sale_ids()
    await _audit_sales(redis, ledger, options, in_redis, report)
    await _audit_deadlines(redis, report)
    if not options.sales:
        lost = sorted(set(in_ledger) - set(in_redis))
        report.findings.add(Difference(Kind.SALE_MISSING_IN_REDIS, sale_id, "the ledger has it, Redis has not") for sale_id in lost)
    await _audit_money(ledger, options, report)
    report.findings.add(compare.compare_outbox(await redis.outbox_lengths()))
    await _check_accepted(redis, options.accepted, report)
    return report


async def _audit_sales(redis: RedisReader, ledger: LedgerReader, options: Options, in_redis: Sequence[str], report: Report) -> None:
    grace_ms = round(1000 * options.overdue_grace_seconds)
    for sale_id in options.sales or in_redis:
        counters = await redis.counters(sale_id)
        if counters is None:
            report.findings.add([Difference(Kind.SALE_MISSING_IN_REDIS, sale_id, "Redis has no such sale")])
        else:
            report.sales.append(await SaleAudit(redis, ledger, counters, grace_ms, report.findings).run())


async def _audit_deadlines(redis: RedisReader, report: Report) -> None:
    async for page in redis.deadline_pages(numbers.counters.sale_id for numbers in report.sales):
        for sale_id, deadlines in page.items():
            known = await redis.orders(sale_id, list(deadlines))
            report.findings.add(compare.compare_deadlines(sale_id, deadlines, known))


async def _audit_money(ledger: LedgerReader, options: Options, report: Report) -> None:
    # Each query about money reads all payments of a sale, so it is asked only for sales that have some.
    paid = await ledger.paid_sale_ids()
    with_money = set(paid)
    for sale_id in options.sales or paid:
        report.money[sale_id] = await ledger.money(sale_id) if sale_id in with_money else Money()
        report.findings.add(compare.compare_money(sale_id or "(no sale)", report.money[sale_id]))


async def _drained(redis: RedisReader, ledger: LedgerReader, report: Report) -> bool:
    if any((await redis.outbox_lengths()).values()):
        return False
    for numbers in report.sales:
        counters = await redis.counters(numbers.counters.sale_id)
        if counters is None:
            continue
        sums = await ledger.sums(counters.sale_id, counters.epoch)
        units = (sums.get(State.RESERVED, OrderTotals()).units, sums.get(State.PAID, OrderTotals()).units)
        orders = sum(total.orders for total in sums.values())
        if units != (counters.reserved, counters.sold) or orders != await redis.order_count(counters.sale_id):
            return False
    return True


async def _check_accepted(redis: RedisReader, accepted: Sequence[str], report: Report) -> None:
    by_sale: dict[str, list[str]] = {}
    refs = {text: parse_order_ref(text) for text in accepted}
    report.findings.add(compare.compare_accepted([text for text, ref in refs.items() if ref is None], []))
    for ref in refs.values():
        if ref is not None:
            by_sale.setdefault(ref.sale_id, []).append(ref.order_id)
    for sale_id, ids in by_sale.items():
        for start in range(0, len(ids), ACCEPTED_PAGE):
            page = ids[start : start + ACCEPTED_PAGE]
            known = await redis.orders(sale_id, page)
            in_redis = [f"{sale_id}.{order_id}" for order_id in known]
            report.findings.add(compare.compare_accepted([f"{sale_id}.{order_id}" for order_id in page], in_redis))
    report.accepted_checked = len(refs)

"""The verdict of the demo, one line per promise: from the audit, and from the answers that the buyers received."""

from collections import Counter
from collections.abc import Sequence

from rich.table import Table

from flashsale_audit.audit_all import Report
from flashsale_audit.differences import Promise
from flashsale_cli.audit.report import evidence
from flashsale_cli.console import number, table, verdict
from flashsale_cli.demo.refunds import Refunds
from flashsale_cli.demo.scenario import Outcome
from flashsale_cli.html_report.document import Check


def judge(outcome: Outcome, report: Report) -> list[Check]:
    """The verdict on each promise of the demo."""
    audited = [_audited(report, promise) for promise in Promise]
    sold = int(outcome.sale.get("sold", 0))
    return [
        *audited,
        # A sale that refuses every order would keep all other promises.
        Check("the crowd could buy", sold > 0, f"{number(sold)} of {number(int(outcome.sale.get('stock', 0)))} units sold"),
        Check(
            "repeated requests get the same order; invalid ones none",
            not outcome.broken,
            "; ".join(outcome.broken) or "no exception",
        ),
        _proven(outcome, report),
        Check("every request got an answer", not outcome.unanswered, f"{number(outcome.unanswered)} requests without an answer"),
        _released(outcome),
        _refunded("late payments are refunded", outcome.late),
        _refunded("payments of a wrong amount are refunded", outcome.wrong),
        _returned(outcome.returns),
        _settled(outcome.refunds),
    ]


def render(lines: Sequence[Check]) -> Table:
    return table("", ("promise", " verdict", " "), [(line.promise, verdict(line.passed), line.evidence) for line in lines])


def _proven(outcome: Outcome, report: Report) -> Check:
    """Also by the audit: an order that no buyer received would be one that a refused request left behind."""
    orders = sum(totals.orders for sale in report.sales for totals in sale.redis.values())
    # A request without an answer may have its order.
    unknown = max(0, orders - len(outcome.orders) - outcome.visitors - outcome.unanswered)
    failed = [
        f"{number(count)} {words}"
        for count, words in ((outcome.unproven, "genuine buyers refused"), (unknown, "orders that no buyer received"))
        if count
    ]
    evidence = "; ".join([f"{number(outcome.impostors_refused)} of {number(outcome.impostors)} refused", *failed])
    return Check("forged, expired and foreign tokens buy nothing", outcome.impostors_refused == outcome.impostors and not failed, evidence)


def _released(outcome: Outcome) -> Check:
    # People at the storefront may order at any time, so theirs are the only holds that may exist.
    passed = outcome.held <= outcome.visitors * int(outcome.sale.get("maxPerUser", 1))
    words = f"{number(outcome.held)} units are held" if outcome.held else "no unit is held"
    by_visitors = ", by people at the storefront" if outcome.held and passed else ""
    return Check("unpaid units were released on time", passed, words + by_visitors)


def _refunded(promise: str, results: Counter[str]) -> Check:
    refunded = sum(count for name, count in results.items() if name.startswith("refund_due"))
    return Check(promise, refunded == results.total(), f"{number(refunded)} of {number(results.total())} payments")


def _returned(results: Counter[str]) -> Check:
    """The audit shows whether each of them has its refund."""
    failed = "; ".join(name for name in results if name != "returned")
    evidence = f"{number(results['returned'])} of {number(results.total())} orders"
    return Check("paid orders can be returned", not failed, f"{evidence}; {failed}" if failed else evidence)


def _settled(refunds: Refunds) -> Check:
    evidence = f"{number(refunds.sent)} sent, {number(refunds.open)} open; buyers were promised {number(refunds.expected)}"
    return Check("refunds that are due are sent, as the provider reports", refunds.settled, evidence)


def _audited(report: Report, promise: Promise) -> Check:
    broken = report.findings.broken(promise)
    if report.skipped and not broken:
        return Check(promise.value, passed=False, evidence="something was not judged")
    return Check(promise.value, not broken, f"{number(broken)} differences" if broken else evidence(report, promise))

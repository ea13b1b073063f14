"""The bench of audits in motion passes only if its audits judged sales that sold."""

from typing import Any

import pytest

from flashsale_audit.audit_all import Report
from flashsale_audit.facts import Counters, SaleNumbers
from flashsale_audit.skipped import Skipped
from tools.bench.audit_in_motion import CPU_SHARE_BAR, FOUND_SECONDS_BAR, Result, has_judged

GOOD: dict[str, Any] = {
    "orders": 1,
    "audits_by_hand": 2,
    "audits_judged": 1,
    "cpu_share": CPU_SHARE_BAR,
    "false_differences": [],
    "auditor_faults": [],
    "found_after_seconds": {"change_order": FOUND_SECONDS_BAR},
}


@pytest.mark.parametrize(
    "change",
    [
        {"orders": 0},
        {"audits_judged": 0},
        {"auditor_faults": ["Postgres does not answer"]},
        {"false_differences": ["order_differs fast.o"]},
        {"cpu_share": CPU_SHARE_BAR * 1.1},
        {"found_after_seconds": {"change_order": FOUND_SECONDS_BAR + 1}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_run_that_judged_nothing_or_missed_a_bar_does_not_pass(change: dict[str, Any]) -> None:
    assert (Result(**GOOD).passed, Result(**GOOD | change).passed) == (True, False)


@pytest.mark.parametrize(
    ("orders", "reasons", "judged"), [([1, 1], {}, True), ([1, 0], {}, False), ([1], {}, False), ([1, 1], {"fast": "x"}, False)]
)
def test_audit_judged_if_it_skipped_nothing_and_each_sale_had_orders(orders: list[int], reasons: dict[str, str], judged: bool) -> None:
    sales = [numbers(sale_id, count) for sale_id, count in zip(("fast", "sure"), orders, strict=False)]
    assert has_judged(Report(sales, skipped=Skipped(reasons, for_now=bool(reasons))), ["fast", "sure"]) is judged


def numbers(sale_id: str, orders: int) -> SaleNumbers:
    return SaleNumbers(Counters(sale_id, epoch=1, total=9, available=9, reserved=0, sold=0, orders=orders), {}, {})

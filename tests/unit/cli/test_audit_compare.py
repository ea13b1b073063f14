"""Every kind of difference: one damaged number causes exactly that difference."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from flashsale_cli.audit import compare
from flashsale_cli.audit.differences import PROMISES, SETTLING, Difference, Findings, Kind, Promise
from flashsale_cli.audit.facts import Counters, LedgerOrder, LedgerSale, Money, OrderTotals, Violations
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord

COUNTERS = Counters("tele", 1, total=10, available=5, reserved=2, sold=3)
SUMS = {State.RESERVED: OrderTotals(1, 2), State.PAID: OrderTotals(2, 3), State.EXPIRED: OrderTotals(1, 4)}
HELD = OrderRecord(State.RESERVED, "ann", 2, 5_000)
PAID = OrderRecord(State.PAID, "bob", 3, 5_000, payment_id="pay-1")
RECORDS = {"h": HELD, "p": PAID}
ROWS = {"h": LedgerOrder(State.RESERVED, "ann", 2), "p": LedgerOrder(State.PAID, "bob", 3, "pay-1")}
LEDGER = LedgerSale(total=10, state="open", sums=SUMS, peak_units=10)
MONEY = Money(received_minor={"EUR": 900}, kept_minor={"EUR": 600}, refunds_minor={"EUR": 300})
BAD = Violations(12, tuple(f"x{number}" for number in range(10)))


def kinds(differences: Iterable[Difference]) -> list[Kind]:
    return [difference.kind for difference in differences]


def orders(records: dict[str, OrderRecord], rows: dict[str, LedgerOrder], deadlines: dict[str, int], overdue: int = 0) -> list[Kind]:
    return kinds(compare.compare_orders(COUNTERS, records, rows, deadlines, overdue))


def test_correct_sale_has_no_differences() -> None:
    differences = [
        *compare.compare_counters(COUNTERS, SUMS),
        *compare.compare_orders(COUNTERS, RECORDS, ROWS, {"h": 5_000}, 5_000),
        *compare.compare_deadlines("tele", {"h": 5_000}, RECORDS),
        *compare.compare_buyers("tele", {"ann": 2, "bob": 3}, {"ann": 2, "bob": 3}),
        *compare.compare_missing("tele", ROWS, RECORDS),
        *compare.compare_ledger(COUNTERS, SUMS, LEDGER),
        *compare.compare_money("tele", MONEY),
        *compare.compare_outbox({"fs:{0}:outbox": 0}),
        *compare.compare_accepted(["tele.h"], ["tele.h", "tele.p"]),
    ]
    assert differences == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"total": 11}, [Kind.COUNTERS_UNBALANCED]),
        ({"available": 4}, [Kind.COUNTERS_UNBALANCED]),
        ({"reserved": 3, "available": 4}, [Kind.RESERVED_UNITS]),
        ({"sold": 4, "available": 4}, [Kind.SOLD_UNITS]),
        ({"available": -1, "total": 4}, [Kind.COUNTER_NEGATIVE, Kind.OVERSOLD]),
        ({"total": 4, "available": 0, "reserved": 2, "sold": 2}, [Kind.SOLD_UNITS, Kind.OVERSOLD]),
    ],
)
def test_wrong_counter_is_named(changed: dict[str, int], expected: list[Kind]) -> None:
    assert kinds(compare.compare_counters(replace(COUNTERS, **changed), SUMS)) == expected  # type: ignore[arg-type]


def test_order_missing_in_the_ledger_is_named() -> None:
    assert orders(RECORDS, {"p": ROWS["p"]}, {"h": 5_000}) == [Kind.ORDER_MISSING_IN_LEDGER]


@pytest.mark.parametrize("changed", [{"state": State.EXPIRED}, {"user_id": "eve"}, {"quantity": 1}, {"payment_id": "pay-2"}])
def test_order_that_differs_is_named(changed: dict[str, object]) -> None:
    rows = {**ROWS, "p": replace(ROWS["p"], **changed)}  # type: ignore[arg-type]
    assert orders(RECORDS, rows, {"h": 5_000}) == [Kind.ORDER_DIFFERS]


def test_hold_without_deadline_is_named() -> None:
    assert orders(RECORDS, ROWS, {}) == [Kind.DEADLINE_MISSING]


def test_hold_with_another_deadline_is_named() -> None:
    assert orders(RECORDS, ROWS, {"h": 6_000}) == [Kind.DEADLINE_DIFFERS]


def test_hold_past_its_deadline_and_the_grace_is_named() -> None:
    assert orders(RECORDS, ROWS, {"h": 5_000}, overdue=5_001) == [Kind.OVERDUE]


@pytest.mark.parametrize("order_id", ["p", "nobody"])
def test_deadline_without_a_hold_is_named(order_id: str) -> None:
    assert kinds(compare.compare_deadlines("tele", {order_id: 5_000}, RECORDS)) == [Kind.DEADLINE_WITHOUT_HOLD]


@pytest.mark.parametrize("counted", [{}, {"ann": 1}, {"ann": 3}, {"ann": 2, "eve": 1}])
def test_wrong_buyer_count_is_named(counted: dict[str, int]) -> None:
    assert kinds(compare.compare_buyers("tele", {"ann": 2}, counted)) == [Kind.BUYER_UNITS]


def test_order_missing_in_redis_is_named() -> None:
    assert kinds(compare.compare_missing("tele", ROWS, ["h"])) == [Kind.ORDER_MISSING_IN_REDIS]


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (replace(LEDGER, total=None), [Kind.SALE_MISSING_IN_LEDGER]),
        (replace(LEDGER, total=9), [Kind.SALE_DIFFERS]),
        (replace(LEDGER, state="paused"), [Kind.SALE_DIFFERS]),
        (replace(LEDGER, sums={**SUMS, State.EXPIRED: OrderTotals(2, 5)}), [Kind.LEDGER_SUMS]),
        (replace(LEDGER, sums={**SUMS, State.PAID: OrderTotals(2, 9)}), [Kind.LEDGER_SUMS, Kind.LEDGER_OVERSOLD]),
        (replace(LEDGER, peak_units=11), [Kind.LEDGER_OVERSOLD]),
        (replace(LEDGER, peak_units=None), []),
        (replace(LEDGER, without_reserved_event=Violations(1, ("a",))), [Kind.HISTORY_MISSING]),
        (replace(LEDGER, with_other_history=Violations(1, ("a",))), [Kind.HISTORY_DIFFERS]),
    ],
)
def test_wrong_ledger_is_named(ledger: LedgerSale, expected: list[Kind]) -> None:
    assert kinds(compare.compare_ledger(COUNTERS, SUMS, ledger)) == expected


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        (replace(MONEY, paid_orders_without_payment=Violations(1, ("a",))), Kind.PAID_WITHOUT_PAYMENT),
        (replace(MONEY, paid_orders_with_many_payments=Violations(1, ("a",))), Kind.PAID_TWICE),
        (replace(MONEY, payments_without_paid_order=Violations(1, ("a",))), Kind.PAYMENT_WITHOUT_ORDER),
        (replace(MONEY, due_without_refund=Violations(1, ("a",))), Kind.REFUND_MISSING),
        (replace(MONEY, refunds_without_payment=Violations(1, ("a",))), Kind.REFUND_WITHOUT_PAYMENT),
        (replace(MONEY, received_minor={"EUR": 901}), Kind.MONEY_UNBALANCED),
        (replace(MONEY, refunds_minor={"EUR": 300, "USD": 1}), Kind.MONEY_UNBALANCED),
    ],
)
def test_wrong_money_is_named(money: Money, expected: Kind) -> None:
    assert kinds(compare.compare_money("tele", money)) == [expected]


def test_waiting_outbox_is_named() -> None:
    assert list(compare.compare_outbox({"a": 0, "b": 3})) == [Difference(Kind.OUTBOX_WAITING, "b", "3 entries are not published yet")]


def test_accepted_order_that_does_not_exist_is_named() -> None:
    assert kinds(compare.compare_accepted(["tele.x", "tele.h"], ["tele.h"])) == [Kind.ACCEPTED_MISSING]


def test_all_differences_are_counted_and_few_are_named() -> None:
    findings = Findings()
    findings.add(compare.compare_ledger(COUNTERS, SUMS, replace(LEDGER, without_reserved_event=BAD)))
    assert findings.counts == {Kind.HISTORY_MISSING: 12}
    assert len(findings.samples[Kind.HISTORY_MISSING]) == 10
    assert findings.broken(Promise.LEDGER) == 12


def test_merged_findings_are_summed() -> None:
    first, second = Findings(), Findings()
    first.add([Difference(Kind.OVERDUE, "a", "")])
    second.add([Difference(Kind.OVERDUE, "b", ""), Difference(Kind.OVERSOLD, "s", "")])
    first.merge(second)
    assert first.counts == {Kind.OVERDUE: 2, Kind.OVERSOLD: 1}
    assert [sample.subject for sample in first.samples[Kind.OVERDUE]] == ["a", "b"]


def test_every_kind_breaks_a_promise_and_every_promise_has_a_kind() -> None:
    assert set(PROMISES) == set(Kind)
    assert set(PROMISES.values()) == set(Promise)


def test_wrong_counter_does_not_settle() -> None:
    findings = Findings()
    findings.add(compare.compare_counters(replace(COUNTERS, available=6), SUMS))
    assert (findings.clean(), findings.may_settle()) == (False, False)
    assert not SETTLING & {Kind.COUNTERS_UNBALANCED, Kind.OVERSOLD, Kind.BUYER_UNITS, Kind.REFUND_WITHOUT_PAYMENT}

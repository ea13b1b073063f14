"""Every kind of difference: one damaged number causes exactly that difference."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pytest

from flashsale_audit import compare, facts
from flashsale_audit.differences import PROMISES, SETTLING, Difference, Findings, Kind, Promise
from flashsale_audit.facts import Counters, History, LedgerOrder, Money, OrderTotals, Released, Violations
from flashsale_audit.records import Letter, PageRecord
from flashsale_audit.sale_audit import OrderPass
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord

DEFINITION = dict(facts.DEFINITION) | {"total": "10", "state": "open", "owner": "shop/tele/1", "generation": "3", "late_payment": "refund"}
COUNTERS = Counters("tele", 1, total=10, available=5, reserved=2, sold=3, definition=DEFINITION)
SUMS = {State.RESERVED: OrderTotals(1, 2), State.PAID: OrderTotals(2, 3, 3), State.EXPIRED: OrderTotals(1, 4)}
HELD = OrderRecord(State.RESERVED, "ann", 2, 5_000)
PAID = OrderRecord(State.PAID, "bob", 3, 5_000, payment_id="pay-1")
RECORDS = {"h": HELD, "p": PAID}
ROWS = {"h": LedgerOrder(State.RESERVED, "ann", 2), "p": LedgerOrder(State.PAID, "bob", 3, "pay-1")}
MONEY = Money(received_minor={"EUR": 900}, kept_minor={"EUR": 600}, refunds_minor={"EUR": 300})
BAD = Violations(12, tuple(f"x{number}" for number in range(10)))


def kinds(differences: Iterable[Difference]) -> list[Kind]:
    return [difference.kind for difference in differences]


def deadlines(of_held: dict[str, int], overdue: int = 0) -> list[Kind]:
    return kinds(compare.compare_page("tele", RECORDS, [], of_held, overdue))


def test_correct_sale_has_no_differences() -> None:
    differences = [
        *compare.compare_counters(COUNTERS),
        *compare.compare_page("tele", RECORDS, [], {"h": 5_000}, 5_000),
        *[difference for name in RECORDS for difference in compare.compare_row(name, RECORDS[name], ROWS[name], RECORDS[name])],
        *compare.compare_deadlines("tele", ["h"], RECORDS, []),
        *compare.compare_missing("tele", ROWS, RECORDS),
        *compare.compare_definition(COUNTERS, DEFINITION),
        *compare.compare_forgotten("tele", [("h", "pay-2"), ("p", "pay-1"), ("gone", "pay-3")], RECORDS, {"h": ["pay-2"]}),
        *compare.compare_released("tele", {"ann": 1, "bob": 2}, {"ann": Released(1, 1), "bob": Released(1, 2)}, {"ann": 1, "bob": 2}),
        *compare.compare_totals(COUNTERS, SUMS, SUMS),
        *compare.compare_history("tele", History()),
        *compare.compare_money("tele", MONEY),
        *compare.compare_outbox({}, 5),
        *compare.compare_accepted(["tele.h"], ["tele.h", "tele.p"]),
    ]
    assert differences == []


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"total": 11}, [Kind.COUNTERS_UNBALANCED]),
        ({"available": 4}, [Kind.COUNTERS_UNBALANCED]),
        ({"available": -1, "total": 4}, [Kind.COUNTER_NEGATIVE]),
    ],
)
def test_wrong_counter_is_named(changed: dict[str, int], expected: list[Kind]) -> None:
    assert kinds(compare.compare_counters(replace(COUNTERS, **changed))) == expected  # type: ignore[arg-type]


def test_order_missing_in_the_ledger_is_named() -> None:
    assert kinds(compare.compare_row("tele.h", HELD, None, HELD)) == [Kind.ORDER_MISSING_IN_LEDGER]


@pytest.mark.parametrize("changed", [{"state": State.EXPIRED}, {"user_id": "eve"}, {"quantity": 1}, {"payment_id": "pay-2"}])
def test_order_that_differs_is_named(changed: dict[str, object]) -> None:
    row = replace(ROWS["p"], **changed)  # type: ignore[arg-type]
    assert compare.differs(PAID, row)
    assert kinds(compare.compare_row("tele.p", PAID, row, PAID)) == [Kind.ORDER_DIFFERS]


@pytest.mark.parametrize(
    ("before", "row", "after", "right"),
    [
        (State.RESERVED, State.RESERVED, State.PAID, True),
        (State.RESERVED, State.EXPIRED, State.PAID, True),
        (State.RESERVED, State.CANCELLED, State.CANCELLED, True),
        # The ledger has received what Redis contained before: it may not be behind that.
        (State.PAID, State.RESERVED, State.PAID, False),
        # It follows Redis: it may not be ahead either.
        (State.RESERVED, State.EXPIRED, State.RESERVED, False),
        (State.RESERVED, State.CANCELLED, State.EXPIRED, False),
    ],
)
def test_row_lies_between_what_redis_was_before_and_after(before: State, row: State, after: State, right: bool) -> None:
    first, last = replace(PAID, state=before), replace(PAID, state=after)
    differences = list(compare.compare_row("tele.p", first, replace(ROWS["p"], state=row), last))
    assert (differences == []) is right


def test_unreadable_record_is_named() -> None:
    assert kinds(compare.compare_page("tele", {}, ["h"], {}, 0)) == [Kind.RECORD_UNREADABLE]


def test_hold_without_deadline_is_named() -> None:
    assert deadlines({}) == [Kind.DEADLINE_MISSING]


def test_hold_with_another_deadline_is_named() -> None:
    assert deadlines({"h": 6_000}) == [Kind.DEADLINE_DIFFERS]


def test_hold_past_its_deadline_and_the_grace_is_named() -> None:
    assert deadlines({"h": 5_000}, overdue=5_001) == [Kind.OVERDUE]


@pytest.mark.parametrize("order_id", ["p", "nobody"])
def test_deadline_without_a_hold_is_named(order_id: str) -> None:
    assert kinds(compare.compare_deadlines("tele", [order_id], RECORDS, [])) == [Kind.DEADLINE_WITHOUT_HOLD]


def test_order_missing_in_redis_is_named() -> None:
    assert kinds(compare.compare_missing("tele", ROWS, ["h"])) == [Kind.ORDER_MISSING_IN_REDIS]


@pytest.mark.parametrize(
    ("ledger", "expected"),
    [
        (None, [Kind.SALE_MISSING_IN_LEDGER]),
        *[(DEFINITION | {field: "9"}, [Kind.SALE_DIFFERS]) for field in DEFINITION],
    ],
)
def test_wrong_definition_is_named(ledger: Mapping[str, str] | None, expected: list[Kind]) -> None:
    assert kinds(compare.compare_definition(COUNTERS, ledger)) == expected


def test_field_that_differs_in_a_later_generation_is_another_difference() -> None:
    later = replace(COUNTERS, definition=DEFINITION | {"generation": "4"})
    (before,) = compare.compare_definition(COUNTERS, DEFINITION | {"owner": "admin"})
    (after,) = compare.compare_definition(later, DEFINITION | {"owner": "admin", "generation": "4"})
    assert before.detail == "owner is shop/tele/1 in Redis, admin in the ledger (generation 3)"
    assert after.detail != before.detail


def test_refund_that_an_order_does_not_remember_is_named() -> None:
    refunds = [("h", "pay-2")]
    assert kinds(compare.compare_forgotten("tele", refunds, RECORDS, {"h": ["pay-3"]})) == [Kind.REFUND_DIFFERS]
    # An order with 16 refunds remembers no further one.
    assert kinds(compare.compare_forgotten("tele", refunds, RECORDS, {"h": [f"pay-{number}" for number in range(3, 19)]})) == []


def test_refund_that_only_an_order_remembers_is_named() -> None:
    assert kinds(compare.compare_remembered("tele", [("h", "pay-2")])) == [Kind.REFUND_DIFFERS]


@pytest.mark.parametrize(
    ("before", "row", "after", "right"),
    [
        (2, Released(2, 2), 2, True),
        (2, Released(3, 3), 4, True),
        (3, Released(2, 2), 3, False),
        (1, Released(2, 2), 1, False),
        # The ledger lost entries, and the buyer has an order that may have expired before it was paid.
        (3, Released(2, 3), 3, True),
        (4, Released(2, 3), 4, False),
    ],
)
def test_released_orders_lie_between_what_redis_counted_before_and_after(before: int, row: Released, after: int, right: bool) -> None:
    assert kinds(compare.compare_released("tele", {"ann": before}, {"ann": row}, {"ann": after})) == (
        [] if right else [Kind.BUYER_RELEASED]
    )


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ({**SUMS, State.EXPIRED: OrderTotals(2, 5)}, [Kind.LEDGER_SUMS]),
        ({**SUMS, State.PAID: OrderTotals(2, 9, 9)}, [Kind.LEDGER_SUMS, Kind.LEDGER_OVERSOLD]),
    ],
)
def test_wrong_sums_of_the_ledger_are_named(sums: dict[State, OrderTotals], expected: list[Kind]) -> None:
    assert kinds(compare.compare_totals(COUNTERS, SUMS, sums)) == expected


def test_orders_whose_units_wait_to_be_for_sale_again_are_named() -> None:
    order_pass = OrderPass()
    letters: Sequence[Letter] = ("W", "K", "T")
    order_pass.add({letter.lower(): PageRecord(letter, "cem", 4, 5_000, "", "pay-2") for letter in letters}, [])
    ledger = {**SUMS, State.RETURNED: OrderTotals(3, 12, 4)}
    (difference,) = compare.compare_totals(COUNTERS, {**SUMS, **order_pass.sums}, ledger, order_pass.waiting)
    words = "4 units of returned orders are not for sale again; repeat the return of tele.w"
    assert (difference.kind, difference.detail) == (Kind.LEDGER_SUMS, words)


def test_units_for_sale_again_that_the_ledger_counts_as_sold_are_named() -> None:
    ours, theirs = ({**SUMS, State.RETURNED: OrderTotals(1, 1, sold)} for sold in (0, 1))
    (difference,) = compare.compare_totals(COUNTERS, ours, theirs)
    assert difference.detail == "returned: 1 orders of 1 units, 0 sold in Redis, 1 orders of 1 units, 1 sold in the ledger"


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        (History(without_reserved_event=Violations(1, ("a",))), [Kind.HISTORY_MISSING]),
        (History(with_other_history=Violations(1, ("a",))), [Kind.HISTORY_DIFFERS]),
    ],
)
def test_wrong_history_is_named(history: History, expected: list[Kind]) -> None:
    assert kinds(compare.compare_history("tele", history)) == expected


@pytest.mark.parametrize(
    ("money", "expected"),
    [
        (replace(MONEY, paid_orders_without_payment=Violations(1, ("a",))), Kind.PAID_WITHOUT_PAYMENT),
        (replace(MONEY, paid_orders_with_many_payments=Violations(1, ("a",))), Kind.PAID_TWICE),
        (replace(MONEY, payments_without_paid_order=Violations(1, ("a",))), Kind.PAYMENT_WITHOUT_ORDER),
        (replace(MONEY, due_without_refund=Violations(1, ("a",))), Kind.REFUND_MISSING),
        (replace(MONEY, refunds_without_payment=Violations(1, ("a",))), Kind.REFUND_WITHOUT_PAYMENT),
        (replace(MONEY, refunds_overpaid=Violations(1, ("a",))), Kind.REFUND_OVERPAID),
        (replace(MONEY, received_minor={"EUR": 901}), Kind.MONEY_UNBALANCED),
        (replace(MONEY, refunds_minor={"EUR": 300, "USD": 1}), Kind.MONEY_UNBALANCED),
    ],
)
def test_wrong_money_is_named(money: Money, expected: Kind) -> None:
    assert kinds(compare.compare_money("tele", money)) == [expected]


def test_waiting_outbox_is_named() -> None:
    words = "3 entries are not published yet, the oldest for more than 5 s"
    assert list(compare.compare_outbox({"b": 3}, 5)) == [Difference(Kind.OUTBOX_WAITING, "b", words)]


def test_accepted_order_that_does_not_exist_is_named() -> None:
    assert kinds(compare.compare_accepted(["tele.x", "tele.h"], ["tele.h"])) == [Kind.ACCEPTED_MISSING]


def test_all_differences_are_counted_and_few_are_named() -> None:
    findings = Findings()
    findings.add(compare.compare_history("tele", History(without_reserved_event=BAD)))
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
    findings.add(compare.compare_counters(replace(COUNTERS, available=6)))
    assert (findings.clean(), findings.may_settle()) == (False, False)
    assert not SETTLING & {Kind.COUNTERS_UNBALANCED, Kind.OVERSOLD, Kind.BUYER_UNITS, Kind.REFUND_WITHOUT_PAYMENT}

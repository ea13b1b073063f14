"""The demo: what its winners do, its stock bar and its verdict."""

from collections import Counter

from flashsale_audit.audit_all import Report
from flashsale_audit.facts import Counters, OrderTotals, SaleNumbers
from flashsale_cli.demo.refunds import Refunds
from flashsale_cli.demo.scenario import Outcome
from flashsale_cli.demo.screen import BAR_WIDTH, cells, stock_bar
from flashsale_cli.demo.verdict import judge
from flashsale_cli.demo.winners import ACTION_PERCENT, Action, action_of
from flashsale_cli.load.outcomes import Group, classify, failed
from flashsale_cli.load.outcomes import Outcome as Reply
from flashsale_cli.load.tally import Tally
from flashsale_core.orders import State


def test_hundred_winners_act_in_the_given_percentages() -> None:
    assert sum(ACTION_PERCENT.values()) == 100
    assert Counter(action_of(number, seed=7) for number in range(300, 400)) == ACTION_PERCENT


def test_thirty_winners_already_differ() -> None:
    actions = {action_of(number, seed=7) for number in range(30)}
    assert {Action.PAY, Action.CANCEL, Action.NEVER, Action.LATE} <= actions


def test_single_unit_is_visible_in_the_bar() -> None:
    assert (cells(0, 1000), cells(1, 1000), cells(1000, 1000)) == (0, 1, BAR_WIDTH)
    text = stock_bar({"stock": 1000, "sold": 700, "reserved": 200, "available": 100}).plain
    assert "700 sold · 200 held · 100 free of 1,000" in text


def outcome(**changed: object) -> Outcome:
    sale = {"stock": 5, "sold": 4}
    values: dict[str, object] = {"product_id": "demo", "sale": sale, "tallies": [Tally(1)], "late": Counter({"refund_due (late)": 4})}
    values["returns"] = Counter({"returned": 3})
    values["wrong"] = Counter({"refund_due (wrong_amount)": 2, "refund_due (late)": 1})
    return Outcome(**(values | changed))  # type: ignore[arg-type]


def failures(outcome: Outcome, report: Report | None = None) -> list[str]:
    return [line.promise for line in judge(outcome, report or Report()) if not line.passed]


def test_correct_demo_keeps_every_promise() -> None:
    assert failures(outcome()) == []


def test_answers_to_buyers_decide_promises() -> None:
    unanswered, contradicted = Tally(1), Tally(1, broken=["request r received two orders"])
    unanswered.unanswered(failed("timeout"))
    assert failures(outcome(tallies=[unanswered])) == ["every request got an answer"]
    assert failures(outcome(tallies=[contradicted])) == ["repeated requests get the same order; invalid ones none"]
    assert failures(outcome(sale={"stock": 5, "sold": 0})) == ["the crowd could buy"]
    assert failures(outcome(held=1)) == ["unpaid units were released on time"]
    assert failures(outcome(late=Counter({"paid": 1}))) == ["late payments are refunded"]
    assert failures(outcome(wrong=Counter({"refund_due (wrong_amount)": 2, "paid": 1}))) == ["payments of a wrong amount are refunded"]
    assert failures(outcome(returns=Counter({"returned": 2, "410 sale_removed": 1}))) == ["paid orders can be returned"]
    for refunds in (Refunds(expected=3, sent=2), Refunds(expected=3, sent=3, open=1)):
        assert failures(outcome(refunds=refunds)) == ["refunds that are due are sent, as the provider reports"]


def test_tokens_of_impostors_must_be_refused_as_such_and_genuine_ones_not() -> None:
    promise = "forged, expired and foreign tokens buy nothing"
    wrong, other = classify(401, "unauthenticated", False), classify(403, "identity_mismatch", False)
    assert failures(outcome(tallies=[Tally(3, impostors=Counter({wrong: 2, other: 1}))])) == []
    for reply in (Reply(Group.ACCEPTED, "", 200), classify(409, "out_of_stock", False), classify(500, "internal", False)):
        assert failures(outcome(tallies=[Tally(3, impostors=Counter({wrong: 2, reply: 1}))])) == [promise]
    assert failures(outcome(tallies=[Tally(1, unproven=1)])) == [promise]


def test_order_that_no_buyer_received_is_charged_to_the_impostors() -> None:
    numbers = SaleNumbers(Counters("demo", 1, 5, 0, 1, 4), {State.RESERVED: OrderTotals(orders=1)}, {})
    assert failures(outcome(), Report(sales=[numbers])) == ["forged, expired and foreign tokens buy nothing"]

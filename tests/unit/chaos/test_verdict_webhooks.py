"""The verdict on payments: what was answered 200 is in the ledger, as paid or as a refund."""

from typing import Any

from flashsale_chaos.sales import PRICE_MINOR
from flashsale_chaos.verdict.facts import Facts, PaymentRow
from flashsale_core.orders import State
from tests.unit.chaos.rounds import facts, ordered, paid, returned, row, verdict

ORDER = ordered("fast", "o", 10.0)
KEY = ("p", "fast.o")
PAID = {"fast.o": row(State.PAID, "p")}


def known(orders: Any, result: str = "", reason: str = "", *, refunded: bool = False, amount_minor: int = PRICE_MINOR) -> Facts:
    payments = {KEY: PaymentRow(result, reason, amount_minor)} if result else {}
    return facts(orders, payments=payments, refunds=frozenset({KEY} if refunded else ()))


def test_paid_webhook_is_in_the_ledger() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0)]
    assert verdict(calls, known(PAID, "paid")) == []
    assert "answered paid, and the ledger does not have it" in verdict(calls, known(PAID))[0]
    assert "answered paid, and the order is reserved" in verdict(calls, known({"fast.o": row()}, "paid"))[0]


def test_refunded_webhook_has_its_refund() -> None:
    calls = [ORDER, paid("fast", "o", "p", 18.0, "refund_due")]
    expired = {"fast.o": row(State.EXPIRED)}
    assert verdict(calls, known(expired, "refund_due", "late", refunded=True)) == []
    assert "there is no refund" in verdict(calls, known(expired, "refund_due", "late"))[0]


def test_money_of_a_paid_order_is_not_refunded() -> None:
    words = verdict([ORDER, paid("fast", "o", "p", 12.0)], known(PAID, "paid", refunded=True))
    assert any("answered paid, and its money is refunded" in detail for detail in words)


def test_webhook_that_was_not_answered_200_promises_nothing() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0, "unconfirmed", 503)]
    assert verdict(calls, known({"fast.o": row()})) == verdict(calls, known(PAID, "paid")) == []


def test_returned_order_has_its_refund() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0), returned("fast", "o", 13.0)]
    order = {"fast.o": row(State.RETURNED, "p")}
    assert verdict(calls, known(order, "paid", refunded=True)) == []
    assert any("its money is kept, and the order is returned" in words for words in verdict(calls, known(order, "paid")))
    assert any("answered returned, and the order is paid" in words for words in verdict(calls, known(PAID, "paid")))


def test_two_answers_to_one_webhook_agree() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0), paid("fast", "o", "p", 13.0, "refund_due")]
    assert "was answered paid, refund_due" in verdict(calls, known(PAID, "paid"))[0]
    assert verdict([ORDER, paid("fast", "o", "p", 12.0), paid("fast", "o", "p", 13.0, "replayed")], known(PAID, "paid")) == []


def test_money_is_kept_or_refunded_even_if_no_answer_promised_it() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0, "unconfirmed", 503)]
    assert "neither kept nor refunded" in verdict(calls, known({"fast.o": row(State.EXPIRED)}, "refund_due"))[0]
    assert any("kept and refunded" in detail for detail in verdict(calls, known(PAID, "paid", refunded=True)))


def test_payment_that_nobody_sent_and_wrong_amounts_are_named() -> None:
    assert "nobody sent it" in verdict([ORDER], known({"fast.o": row()}, "failed"))[0]
    calls = [ORDER, paid("fast", "o", "p", 12.0)]
    assert f"was of {PRICE_MINOR}, and the ledger has 7" in verdict(calls, known(PAID, "paid", amount_minor=7))[0]
    assert verdict(calls, known(PAID, "paid", "restored", amount_minor=0)) == []


def test_wrong_amount_buys_nothing_even_if_nobody_was_told() -> None:
    calls = [ORDER, paid("fast", "o", "p", 12.0, "refund_due", reason="wrong_amount", amount_minor=PRICE_MINOR - 1)]
    refunded = known({"fast.o": row()}, "refund_due", "wrong_amount", refunded=True, amount_minor=PRICE_MINOR - 1)
    assert verdict(calls, refunded) == []
    for code, status in (("paid", 200), ("unconfirmed", 503)):
        answered = [ORDER, paid("fast", "o", "p", 12.0, code, status, amount_minor=PRICE_MINOR - 1)]
        words = verdict(answered, known(PAID, "paid", amount_minor=PRICE_MINOR - 1))
        assert any(f"bought it for {PRICE_MINOR - 1} instead of {PRICE_MINOR}" in detail for detail in words)


def test_refund_is_remembered_when_its_webhook_comes_again() -> None:
    calls = [ORDER, paid("fast", "o", "p", 18.0, "refund_due", reason="late")]
    refunded = known({"fast.o": row(State.EXPIRED)}, "refund_due", "late", refunded=True)
    assert verdict([*calls, paid("fast", "o", "p", 19.0, "refund_due", reason="replayed")], refunded) == []
    assert "came again as late" in verdict([*calls, paid("fast", "o", "p", 19.0, "refund_due", reason="late")], refunded)[0]

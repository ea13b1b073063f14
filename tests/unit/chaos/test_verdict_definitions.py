"""The verdict on what a merchant was answered: a definition is kept, or was in a lost entry that was reported."""

from typing import Any

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.sales import PRICE_MINOR
from flashsale_chaos.verdict.facts import PaymentRow
from flashsale_chaos.verdict.violations import Promise
from flashsale_core.orders import State
from tests.unit.chaos.rounds import FIRST, SECOND, facts, ordered, paid, row, verdict

LOST: dict[str, Any] = {"incarnations": [FIRST, SECOND._replace(lost_entries=1)]}


def defined(sale: str, stock: int, at: float = 9.0, status: int = 201) -> Call:
    return Call(ask=Ask.DEFINE, sale=sale, gateway=0, began=at, ended=at + 0.1, status=status, quantity=stock)


def test_definition_that_was_answered_is_in_the_ledger() -> None:
    assert verdict([defined("fast", 9)], facts({})) == []
    (words,) = verdict([defined("fast", 9), defined("fast", 12, 9.5)], facts({}))
    assert words.startswith(Promise.NOT_FORGOTTEN)
    assert "its definition with 12 units was answered, and the ledger has 9" in words


def test_definition_without_an_answer_promises_nothing() -> None:
    assert verdict([defined("sure", 12, status=503)], facts({})) == []


def test_definition_may_be_among_the_lost_entries() -> None:
    assert verdict([defined("fast", 12)], facts({}, **LOST)) == []
    assert verdict([defined("sure", 12)], facts({}, **LOST)) == []
    assert "the ledger has 9" in verdict([defined("sure", 12)], facts({}, incarnations=[FIRST, SECOND]))[0]


def test_nothing_is_promised_about_orders_of_a_sale_that_was_lost_itself() -> None:
    calls = [defined("fast", 9), ordered("fast", "o", 10.0), ordered("fast", "p", 25.0, 404, code="unknown_sale")]
    assert verdict(calls, facts({"fast.o": row()}, totals={"sure": 9}, **LOST)) == []
    assert len(verdict(calls, facts({"fast.o": row()}, **LOST))) == 1


def test_webhooks_of_the_other_sale_are_judged_after_a_sale_was_lost() -> None:
    known = {"totals": {"sure": 9}, **LOST}
    calls = [defined("fast", 9), ordered("sure", "o", 10.0), paid("sure", "o", "p", 12.0)]
    (words,) = verdict(calls, facts({"sure.o": row(State.PAID, "p")}, **known))
    assert words == f"{Promise.MONEY}: payment p of sure.o was answered paid, and the ledger does not have it"
    # Neither answers nor rows about the lost sale are judged.
    lost = [defined("fast", 9), ordered("fast", "o", 10.0), paid("fast", "o", "p", 12.0), paid("fast", "q", "r", 13.0)]
    stray = {("p", "fast.o"): PaymentRow("refund_due", "unknown_order", PRICE_MINOR)}
    assert verdict(lost, facts({"fast.o": row()}, payments=stray, **known)) == []


def test_confirmed_order_is_not_forgotten_with_its_sale() -> None:
    calls = [defined("sure", 9), ordered("sure", "o", 10.0)]
    assert any(words.startswith(Promise.NOT_FORGOTTEN) for words in verdict(calls, facts({}, totals={"fast": 9}, **LOST)))

"""The verdict on what a merchant was answered: a definition is kept, or was in a lost entry that was reported."""

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.verdict.violations import Promise
from tests.unit.chaos.rounds import FIRST, SECOND, facts, ordered, row, verdict

LOST = {"incarnations": [FIRST, SECOND._replace(lost_entries=1)]}


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


def test_confirmed_order_is_not_forgotten_with_its_sale() -> None:
    calls = [defined("sure", 9), ordered("sure", "o", 10.0)]
    assert any(words.startswith(Promise.NOT_FORGOTTEN) for words in verdict(calls, facts({}, totals={"fast": 9}, **LOST)))

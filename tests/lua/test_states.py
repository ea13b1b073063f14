"""The scripts compared with the state table: every (state, event), and both outcomes of every guard."""

import pytest

from flashsale_core.orders import RULES, Event, Guard, Result, State, next_state
from tests.lua.servers import Sale

DIFFERENT_WORDS = {"conflict": Result.REFUSED, "out_of_stock": Result.REFUSED, "gone": Result.GONE}


def bring(sale: Sale, state: State | None) -> None:
    """Order o1 in `state`; ten units in the sale, payment `first` for a paid one."""
    sale.define(total=10)
    if state is not None:
        sale.reserve(("o1", "ann", 2))
    if state in (State.PAID, State.RETURNED):
        sale.settle(("o1", "first"))
    if state is State.RETURNED:
        sale.take_back(("o1", True))
    elif state is State.CANCELLED:
        sale.cancel("o1")
    elif state is State.EXPIRED:
        sale.now += 300_000
        sale.expire("o1")


def prepare(sale: Sale, guard: Guard | None, holds: bool) -> str:
    """Make the guard hold or not; returns the payment id to use."""
    if guard is Guard.DUE and holds:
        sale.now += 300_000
    if guard is Guard.REACQUIRABLE and holds:
        sale.define(late_payment="reacquire")
    if guard is Guard.ADMITTED and not holds:
        sale.define(total=1)
    return "first" if guard is Guard.SAME_PAYMENT and holds else "another"


def send(sale: Sale, event: Event, payment_id: str) -> str:
    match event:
        case Event.RESERVE:
            return str(sale.reserve(("o1", "ann", 2))[0][0])
        case Event.PAY:
            return str(sale.settle(("o1", payment_id))[0][0])
        case Event.PAY_FAILED:
            return str(sale.settle(("o1", payment_id, "failed"))[0][0])
        case Event.CANCEL:
            return str(sale.cancel("o1")[0][0])
        case Event.EXPIRE:
            return str(sale.expire("o1")[0][0])
        case Event.RETURN:
            return str(sale.take_back(("o1", True))[0][0])


@pytest.mark.parametrize(("state", "event"), RULES, ids=lambda part: str(part))
@pytest.mark.parametrize("holds", [True, False], ids=["guard-holds", "guard-fails"])
def test_scripts_follow_the_table(sale: Sale, state: State | None, event: Event, holds: bool) -> None:
    rule = RULES[state, event]
    bring(sale, state)
    payment_id = prepare(sale, rule.guard, holds)
    answer = send(sale, event, payment_id)
    result, after = next_state(state, event, guard_holds=holds or rule.guard is None)
    record = sale.records().get("o1")
    assert (DIFFERENT_WORDS.get(answer, answer), record.state if record else None) == (result, after)
    total, available, reserved, sold = sale.stock()
    assert total == available + reserved + sold
    # The units of a returned order stay sold until they are restocked.
    assert (reserved, sold) == (2 * (after is State.RESERVED), 2 * (after in (State.PAID, State.RETURNED)))

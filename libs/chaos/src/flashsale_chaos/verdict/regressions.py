"""What a buyer was shown and the ledger no longer has: each is an effect that a lost entry contained. Pure."""

from collections.abc import Iterator
from typing import NamedTuple

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.verdict.facts import OrderRow
from flashsale_chaos.verdict.stories import Story, is_gone, shown_state
from flashsale_core.orders import WAS_PAID, State, supersedes

GONE = frozenset({State.EXPIRED, State.CANCELLED, State.RETURNED})


class Regression(NamedTuple):
    order: str
    call: Call
    """The answer that showed what is gone. Its effect happened before its end, and not before `since`."""
    since: float
    is_order: bool
    """Whether the order itself was lost, after its buyer was answered that it is accepted."""
    words: str


def regressions(story: Story, row: OrderRow | None, *, reacquires: bool) -> Iterator[Regression]:
    """`reacquires`: whether a late payment buys an expired order back, so that it may be paid later."""
    accepted = story.accepted
    for call in story.calls:
        words = _lost(call, row, reacquires=reacquires)
        if words:
            forgotten = row is None and call.ask is Ask.ORDER
            yield Regression(story.name, call, story.began, forgotten, words)
        elif accepted is not None and accepted.ended < call.began and _denies(call):
            yield Regression(story.name, accepted, story.began, is_order=True, words=f"accepted, then {call.ask} got {_answer(call)}")


def _lost(call: Call, row: OrderRow | None, *, reacquires: bool) -> str:
    """What the answer showed and the row contradicts; empty if it does not."""
    shown = shown_state(call)
    if is_gone(call):
        fits = row is None or row.state in GONE or (row.state is State.PAID and reacquires)
        return "" if fits else f"{call.ask} said that it is gone, and it is {_state(row)}"
    if shown is None or (row is not None and _follows(row.state, shown, reacquires=reacquires)):
        return ""
    return f"{call.ask} showed {shown}, and it is {_state(row)}"


def _follows(state: State, shown: State, *, reacquires: bool) -> bool:
    if shown is State.EXPIRED and state in WAS_PAID:
        return reacquires
    return state is shown or (supersedes(state, shown) and shown is not State.CANCELLED)


def _denies(call: Call) -> bool:
    """Whether an open Redis answered about an accepted order as if it had never been."""
    if call.ask is Ask.ORDER:
        return call.status == 200 and call.code == "accepted"
    return (call.ask in (Ask.CANCEL, Ask.LOOK) and call.code == "unknown_order") or (call.ask is Ask.PAY and call.reason == "unknown_order")


def _answer(call: Call) -> str:
    return f"{call.status} {call.code} {call.reason}".strip()


def _state(row: OrderRow | None) -> str:
    return row.state.value if row is not None else "unknown"

"""Whether each order is what its buyer asked for and was shown. Pure."""

from collections.abc import Iterable, Iterator, Mapping

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.verdict.facts import OrderRow
from flashsale_chaos.verdict.stories import Story, is_gone, shown_state
from flashsale_chaos.verdict.violations import Promise, Violation, broken
from flashsale_core.orders import WAS_PAID, State

EARLY_SECONDS = 0.05
"""Deadlines are of Redis' clock, which is compared with the crowd's."""


def judge_orders(stories: Mapping[str, Story], rows: Mapping[str, OrderRow]) -> Iterator[Violation]:
    """Each order belongs to its request, and no state comes from nowhere."""
    pairs = [(story, rows.get(name)) for name, story in stories.items()]
    yield from broken(Promise.ONE_ORDER, (words for story, row in pairs for words in _other_order(story, row)))
    yield from broken(Promise.HISTORY, (words for story, row in pairs if row is not None for words in _from_nowhere(story, row)))
    unknown = sorted(rows.keys() - stories.keys())
    yield from broken(Promise.ONE_ORDER, (f"{name}: nobody asked for it" for name in unknown))


def judge_early(stories: Iterable[Story], windows: Mapping[str, int], *, lost: bool) -> Iterator[Violation]:
    """No hold ends before its deadline. `windows` has the payment window of each sale, in seconds; `lost`: whether Redis lost something."""
    if not lost:
        details = (words for story in stories for words in _early(story, windows[story.sale]))
        yield from broken(Promise.RELEASED_ONCE, details)


def judge_answers(calls: Iterable[Call], gave_up: Iterable[Call]) -> Iterator[Violation]:
    yield from broken(Promise.CLOSED, (_words(call) for call in calls if call.status == 500 or _forgets_sale(call)))
    yield from broken(Promise.ANSWERED, (f"{_words(call)} was the last answer" for call in gave_up))


def _other_order(story: Story, row: OrderRow | None) -> Iterator[str]:
    for call in story.calls:
        if call.shown_id and call.shown_id != story.name:
            yield f"{call.ask} of {story.name} got {call.shown_id}"
    orders = story.asked(Ask.ORDER)
    if row is not None and orders and (row.user_id, row.quantity) != (orders[0].user, orders[0].quantity):
        yield f"{story.name}: asked for {orders[0].quantity} by {orders[0].user}, and it has {row.quantity} of {row.user_id}"


def _from_nowhere(story: Story, row: OrderRow) -> Iterator[str]:
    if row.state is State.CANCELLED and not story.asked(Ask.CANCEL):
        yield f"{story.name} is cancelled, and nobody cancelled it"
    if row.state is State.RETURNED and not story.asked(Ask.RETURN):
        yield f"{story.name} is returned, and nobody returned it"
    if row.state in WAS_PAID and row.payment_id not in {call.payment_id for call in story.asked(Ask.PAY)}:
        yield f"{story.name} is paid by {row.payment_id!r}, which nobody sent"


def _early(story: Story, window_seconds: int) -> Iterator[str]:
    cancels = {call.began for call in (*story.asked(Ask.CANCEL), *story.asked(Ask.RETURN))}
    for call in story.calls:
        expired = shown_state(call) is State.EXPIRED or (is_gone(call) and not cancels)
        if expired and call.ended < story.began + window_seconds - EARLY_SECONDS:
            yield f"{story.name}: expired {call.ended - story.began:.2f} s after it was first asked for"


def _forgets_sale(call: Call) -> bool:
    return call.code in ("unknown_sale", "sale_removed") and call.ask is not Ask.LOOK


def _words(call: Call) -> str:
    return f"{call.ask} of {call.sale}.{call.order_id} {call.payment_id} got {call.status} {call.code}".replace("  ", " ")

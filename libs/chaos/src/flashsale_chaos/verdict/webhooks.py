"""Whether each webhook that was answered 200 is in the ledger as paid or as a refund, once. Pure."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.sales import PRICE_MINOR
from flashsale_chaos.verdict.facts import Facts, OrderRow, PaymentRow
from flashsale_chaos.verdict.stories import Story
from flashsale_chaos.verdict.violations import Promise, Violation, broken
from flashsale_core.messages import RESTORED
from flashsale_core.orders import WAS_PAID, State

BOUGHT = frozenset({"paid", "replayed"})
REFUNDED = frozenset({"refund_due", "undecided"})
"""Sales are removed when nobody pays any more, so an order that Redis does not know was never paid, and the ledger decides for a refund."""
REMEMBERED = frozenset({"replayed", "unknown_order"})
Key = tuple[str, str]


def judge_webhooks(stories: Mapping[str, Story], facts: Facts) -> Iterator[Violation]:
    results: defaultdict[Key, list[Call]] = defaultdict(list)
    for name, story in stories.items():
        for call in story.answered(Ask.PAY):
            results[call.payment_id, name].append(call)
    details = (words for key, calls in results.items() for words in _judge(key, calls, facts))
    yield from broken(Promise.MONEY, details)
    yield from broken(Promise.MONEY, (words for story in stories.values() for words in _bought_wrongly(story, facts)))
    yield from broken(Promise.MONEY, _stray(stories, facts))
    yield from broken(Promise.MONEY, _forgotten_returns(stories, facts))


def _judge(key: Key, calls: list[Call], facts: Facts) -> Iterator[str]:
    name, codes = f"payment {key[0]} of {key[1]}", {call.code for call in calls}
    if codes & BOUGHT and codes & REFUNDED:
        yield f"{name} was answered {', '.join(sorted(codes))}"
    yield from _forgotten_refund(name, calls)
    payment = facts.payments.get(key)
    if payment is None:
        yield f"{name} was answered {calls[0].code}, and the ledger does not have it"
        return
    if payment.reason != RESTORED and payment.amount_minor != calls[0].amount_minor:
        yield f"{name} was of {calls[0].amount_minor}, and the ledger has {payment.amount_minor}"
    if codes & BOUGHT:
        yield from _bought(name, key, facts.orders.get(key[1]), facts.refunds)
    elif codes & REFUNDED and key not in facts.refunds:
        yield f"{name} was answered {', '.join(sorted(codes))}, and there is no refund; the ledger has {payment.result}"


def _forgotten_refund(name: str, calls: list[Call]) -> Iterator[str]:
    """A refund that was answered is remembered: else its money could buy units later. A lost order of `fsync` is unknown afterwards."""
    refunds = [call for call in calls if call.code in REFUNDED]
    for call in refunds:
        if call.reason not in REMEMBERED and call.began > refunds[0].ended:
            yield f"{name} was answered {refunds[0].code}, and came again as {call.reason}"


def _bought(name: str, key: Key, row: OrderRow | None, refunds: AbstractSet[Key]) -> Iterator[str]:
    if row is None or row.state not in WAS_PAID or row.payment_id != key[0]:
        yield f"{name} was answered paid, and the order is {f'{row.state} by {row.payment_id!r}' if row else 'unknown'}"
    elif (row.state is State.RETURNED) != (key in refunds):
        yield f"{name} was answered paid, and its money is {'refunded' if key in refunds else 'kept, and the order is returned'}"


def _bought_wrongly(story: Story, facts: Facts) -> Iterator[str]:
    """A payment of another amount than the order's price buys nothing, whether or not it was answered."""
    due_minor = {call.quantity * PRICE_MINOR for call in story.asked(Ask.ORDER)}
    for call in story.asked(Ask.PAY):
        payment = facts.payments.get((call.payment_id, story.name))
        bought = call.code in BOUGHT or (payment is not None and payment.result == "paid")
        if bought and call.amount_minor not in due_minor:
            yield f"payment {call.payment_id} of {story.name} bought it for {call.amount_minor} instead of {min(due_minor, default=0)}"


def _forgotten_returns(stories: Mapping[str, Story], facts: Facts) -> Iterator[str]:
    """A return that was answered 200 is in the ledger, whatever was lost since: its refund is money."""
    for name, story in stories.items():
        row = facts.orders.get(name)
        if story.answered(Ask.RETURN) and (row is None or row.state is not State.RETURNED):
            yield f"{name} was answered returned, and the order is {row.state if row else 'unknown'}"


def _stray(stories: Mapping[str, Story], facts: Facts) -> Iterator[str]:
    """Payments that nobody sent, and money that is neither kept nor refunded."""
    for (payment_id, name), payment in facts.payments.items():
        story = stories.get(name)
        if story is None or payment_id not in {call.payment_id for call in story.asked(Ask.PAY)}:
            yield f"payment {payment_id} of {name} is in the ledger, and nobody sent it"
        yield from _unbalanced(payment_id, name, payment, facts)


def _unbalanced(payment_id: str, name: str, payment: PaymentRow, facts: Facts) -> Iterator[str]:
    row, refunded = facts.orders.get(name), (payment_id, name) in facts.refunds
    kept = row is not None and row.state is State.PAID and row.payment_id == payment_id
    if payment.result != "failed" and kept == refunded:
        yield f"payment {payment_id} of {name} is {'kept and refunded' if kept else 'neither kept nor refunded'}"

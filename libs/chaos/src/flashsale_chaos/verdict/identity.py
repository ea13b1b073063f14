"""Whether a token that proves nothing was refused, and one that proves its buyer was not. Pure."""

from collections.abc import Iterable, Iterator

from flashsale_chaos.history import REPEATED, Ask, Call
from flashsale_chaos.verdict.violations import Promise, Violation, broken

UNPROVEN = frozenset({"unauthenticated", "identity_mismatch"})
REFUSALS = UNPROVEN | {"unknown_order"}
"""What impostors are answered. An order is unknown to everybody but its buyer."""


def is_refused_imposture(call: Call) -> bool:
    return call.ask is Ask.FORGED and call.code in REFUSALS


def judge_identity(calls: Iterable[Call]) -> Iterator[Violation]:
    yield from broken(Promise.PROVEN, (words for call in calls for words in _judge(call)))


def _judge(call: Call) -> Iterator[str]:
    if call.status in REPEATED:
        return
    if call.ask is Ask.FORGED and call.code not in REFUSALS:
        yield f"an impostor's request about {call.sale} was answered {call.status} {call.code} {call.shown_id}".rstrip()
    elif call.ask is not Ask.FORGED and call.code in UNPROVEN:
        yield f"{call.ask} of {call.sale}.{call.order_id} by {call.user or 'its buyer'} was refused: {call.code}"

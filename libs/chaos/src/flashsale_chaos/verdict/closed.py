"""Whether Redis was written after it had lost writes, and before the keeper opened it again. Pure."""

from collections.abc import Iterable, Iterator, Sequence

from flashsale_chaos.history import Ask, Call
from flashsale_chaos.verdict.facts import Incarnation
from flashsale_chaos.verdict.losses import CLOCK_SECONDS
from flashsale_chaos.verdict.violations import Promise, Violation, broken

FRESH = {Ask.ORDER: frozenset({"accepted"}), Ask.CANCEL: frozenset({"accepted"}), Ask.PAY: frozenset({"paid", "refund_due", "undecided"})}
"""The answers that Redis writes for. A payment that was answered earlier, and bought nothing, has the reason `replayed`."""


def judge_closed(calls: Iterable[Call], losses: Sequence[float], incarnations: Sequence[Incarnation]) -> Iterator[Violation]:
    """`losses` are the times since which Redis lacks writes; only an incarnation that opened later may be written."""
    writes = [call for call in calls if _is_write(call)]
    for lost in losses:
        opened = min((known.opened for known in incarnations if known.opened > lost), default=float("inf")) - CLOCK_SECONDS
        early = (call for call in writes if lost < call.began and call.ended < opened)
        yield from broken(Promise.CLOSED, (_words(call, lost) for call in early))


def _is_write(call: Call) -> bool:
    return call.status == 200 and call.code in FRESH.get(call.ask, ()) and call.reason != "replayed"


def _words(call: Call, lost: float) -> str:
    name = f"{call.sale}.{call.order_id}"
    return f"{call.ask} of {name} was answered {call.code} {call.ended - lost:.2f} s after a loss, before Redis was opened again"

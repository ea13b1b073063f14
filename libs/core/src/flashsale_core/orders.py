"""The order's state machine: the only place that defines which event changes which state.

The Lua scripts decide in Redis and the ledger follows; tests hold both against this table. Units move only together with a state:
`reserved` holds them, `paid` sells them, `expired` and `cancelled` release them, `returned` releases them if they are restocked.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType


class State(StrEnum):
    RESERVED = "reserved"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    RETURNED = "returned"


class Event(StrEnum):
    RESERVE = "reserve"
    PAY = "pay"
    PAY_FAILED = "pay_failed"
    CANCEL = "cancel"
    EXPIRE = "expire"
    RETURN = "return"


class Result(StrEnum):
    """What the sender of the event gets."""

    ACCEPTED = "accepted"
    REPLAYED = "replayed"
    GONE = "gone"
    PAID = "paid"
    REFUND_DUE = "refund_due"
    UNDECIDED = "undecided"
    """The ledger decides: the payment may have paid an order whose sale was removed since (docs/decisions/0071)."""
    NOTED = "noted"
    CANCELLED = "cancelled"
    RETURNED = "returned"
    REFUSED = "refused"
    EXPIRED = "expired"
    IGNORED = "ignored"
    NOT_DUE = "not_due"
    UNKNOWN_ORDER = "unknown_order"


class Guard(StrEnum):
    """A condition in addition to the state. If it does not hold, the result is the rule's `otherwise`, and the state stays."""

    ADMITTED = "window, limits and stock allow it"
    DUE = "the deadline has passed"
    REACQUIRABLE = "the sale's late-payment policy is reacquire, and its stock and the buyer's limit allow the order"
    SAME_PAYMENT = "the payment id is the one that paid the order"


@dataclass(frozen=True, slots=True)
class Rule:
    result: Result
    next: State | None = None
    guard: Guard | None = None
    otherwise: Result | None = None


_R = Result
RULES: Mapping[tuple[State | None, Event], Rule] = MappingProxyType(
    {
        (None, Event.RESERVE): Rule(_R.ACCEPTED, State.RESERVED, Guard.ADMITTED, _R.REFUSED),
        (None, Event.PAY): Rule(_R.UNDECIDED),
        (None, Event.PAY_FAILED): Rule(_R.NOTED),
        (None, Event.CANCEL): Rule(_R.UNKNOWN_ORDER),
        (None, Event.EXPIRE): Rule(_R.IGNORED),
        (None, Event.RETURN): Rule(_R.UNKNOWN_ORDER),
        (State.RESERVED, Event.RESERVE): Rule(_R.REPLAYED),
        (State.RESERVED, Event.PAY): Rule(_R.PAID, State.PAID),
        (State.RESERVED, Event.PAY_FAILED): Rule(_R.NOTED),
        (State.RESERVED, Event.CANCEL): Rule(_R.CANCELLED, State.CANCELLED),
        (State.RESERVED, Event.EXPIRE): Rule(_R.EXPIRED, State.EXPIRED, Guard.DUE, _R.NOT_DUE),
        (State.RESERVED, Event.RETURN): Rule(_R.REFUSED),
        (State.PAID, Event.RESERVE): Rule(_R.REPLAYED),
        (State.PAID, Event.PAY): Rule(_R.REPLAYED, None, Guard.SAME_PAYMENT, _R.REFUND_DUE),
        (State.PAID, Event.PAY_FAILED): Rule(_R.NOTED),
        (State.PAID, Event.CANCEL): Rule(_R.REFUSED),
        (State.PAID, Event.EXPIRE): Rule(_R.IGNORED),
        (State.PAID, Event.RETURN): Rule(_R.RETURNED, State.RETURNED),
        (State.EXPIRED, Event.RESERVE): Rule(_R.GONE),
        (State.EXPIRED, Event.PAY): Rule(_R.PAID, State.PAID, Guard.REACQUIRABLE, _R.REFUND_DUE),
        (State.EXPIRED, Event.PAY_FAILED): Rule(_R.NOTED),
        (State.EXPIRED, Event.CANCEL): Rule(_R.GONE),
        (State.EXPIRED, Event.EXPIRE): Rule(_R.IGNORED),
        (State.EXPIRED, Event.RETURN): Rule(_R.REFUSED),
        (State.CANCELLED, Event.RESERVE): Rule(_R.GONE),
        (State.CANCELLED, Event.PAY): Rule(_R.REFUND_DUE),
        (State.CANCELLED, Event.PAY_FAILED): Rule(_R.NOTED),
        (State.CANCELLED, Event.CANCEL): Rule(_R.REPLAYED),
        (State.CANCELLED, Event.EXPIRE): Rule(_R.IGNORED),
        (State.CANCELLED, Event.RETURN): Rule(_R.REFUSED),
        (State.RETURNED, Event.RESERVE): Rule(_R.GONE),
        (State.RETURNED, Event.PAY): Rule(_R.REPLAYED, None, Guard.SAME_PAYMENT, _R.REFUND_DUE),
        (State.RETURNED, Event.PAY_FAILED): Rule(_R.NOTED),
        (State.RETURNED, Event.CANCEL): Rule(_R.GONE),
        (State.RETURNED, Event.EXPIRE): Rule(_R.IGNORED),
        (State.RETURNED, Event.RETURN): Rule(_R.REPLAYED),
    }
)

# Every path through RULES climbs: reserved < cancelled, and reserved < expired < paid < returned. So each state is entered at most
# once, and the ledger, which may receive the events in another order, ends in the right state by keeping the highest one.
RANK: Mapping[State, int] = MappingProxyType({State.RESERVED: 0, State.CANCELLED: 1, State.EXPIRED: 1, State.PAID: 2, State.RETURNED: 3})

WAS_PAID = frozenset({State.PAID, State.RETURNED})
"""The states of an order that a payment has paid."""

# The letter of each state in the packed record of lua/lib/record.lua.
# A returned order has three, by what becomes of its units.
RESTOCKED, WAITING, KEPT = "T", "W", "K"
"""They are for sale again; they will be, once the broker has confirmed the return; or they stay sold."""
LETTERS: Mapping[str, State] = MappingProxyType(
    {"R": State.RESERVED, "P": State.PAID, "X": State.EXPIRED, "C": State.CANCELLED}
    | dict.fromkeys((RESTOCKED, WAITING, KEPT), State.RETURNED)
)


def next_state(state: State | None, event: Event, *, guard_holds: bool = True) -> tuple[Result, State | None]:
    """What `event` does to an order in `state`: the result, and the state afterwards."""
    rule = RULES[state, event]
    if rule.guard is not None and not guard_holds:
        assert rule.otherwise is not None  # noqa: S101 - a rule with a guard names both results; a test reads the table
        return rule.otherwise, state
    return rule.result, rule.next or state


def supersedes(new: State, old: State) -> bool:
    """Whether the ledger replaces `old` by `new`: only by a higher state, so the order of arrival does not matter."""
    return RANK[new] > RANK[old]

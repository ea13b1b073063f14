"""What each winner of the demo does with the order: decided by the winner's number and the seed alone."""

from enum import StrEnum


class Action(StrEnum):
    PAY = "pay at once"
    PAY_REPLAYED = "pay; the provider sends the webhook three times"
    PAY_TWICE = "pay twice by mistake"
    PAY_WRONG = "pay a cent too little, then the price"
    RETURN = "pay, and return it"
    CANCEL = "change their mind and cancel"
    NEVER = "never pay"
    DECLINED = "have their card declined"
    LATE = "pay too late"


ACTION_PERCENT = {
    Action.PAY: 67,
    Action.PAY_REPLAYED: 4,
    Action.PAY_TWICE: 2,
    Action.PAY_WRONG: 2,
    Action.RETURN: 3,
    Action.CANCEL: 8,
    Action.NEVER: 7,
    Action.DECLINED: 3,
    Action.LATE: 4,
}
_HUNDRED = tuple(action for action, percent in ACTION_PERCENT.items() for _ in range(percent))
# Coprime to a hundred: a hundred winners in a row take every place of the table once, and the first thirty are already mixed.
_STRIDE = 37


def action_of(number: int, seed: int = 0) -> Action:
    """The action of the winner with that number, counted from 0."""
    return _HUNDRED[(number * _STRIDE + seed) % len(_HUNDRED)]

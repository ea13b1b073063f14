"""What becomes of the winners: each gets a part, decided by its number and the seed alone."""

from enum import StrEnum


class Part(StrEnum):
    PAY = "pay at once"
    PAY_REPLAYED = "pay; the provider sends the webhook three times"
    PAY_TWICE = "pay twice by mistake"
    CANCEL = "change their mind and cancel"
    NEVER = "never pay"
    DECLINED = "have their card declined"
    LATE = "pay too late"


# Of a hundred winners.
PARTS = {
    Part.PAY: 72,
    Part.PAY_REPLAYED: 4,
    Part.PAY_TWICE: 2,
    Part.CANCEL: 8,
    Part.NEVER: 7,
    Part.DECLINED: 3,
    Part.LATE: 4,
}
_HANDS = tuple(part for part, count in PARTS.items() for _ in range(count))
# Coprime to a hundred: a hundred winners in a row get all hands, and already the first thirty get a mixture.
_STRIDE = 37


def part_of(number: int, seed: int = 0) -> Part:
    """The part of the winner of that number, counted from 0."""
    return _HANDS[(number * _STRIDE + seed) % len(_HANDS)]

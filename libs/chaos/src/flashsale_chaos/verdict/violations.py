"""What can be violated, in the words of README and demo. Pure."""

from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

SAMPLES_MAX = 10


class Promise(StrEnum):
    NOT_OVERSOLD = "never one unit too many"
    NOT_FORGOTTEN = "every accepted order is kept"
    ONE_ORDER = "one click, one order"
    RELEASED_ONCE = "every unpaid unit is released, once, on time"
    MONEY = "no money without an order or a refund"
    SOLD_OUT = "sold out is answered only when it is true"
    PROVEN = "forged, expired and foreign tokens buy nothing"
    HISTORY = "the history of every order follows the rules"
    ANSWERED = "every request gets an answer"
    READY = "every service is ready within 10 s after the faults end"
    CLOSED = "fails closed: a refusal has a code and promises nothing"


class Violation(msgspec.Struct, frozen=True):
    promise: str
    detail: str


def broken(promise: Promise, details: Iterable[str]) -> Iterator[Violation]:
    """A violation for each of the first SAMPLES_MAX details, and one that counts the others."""
    left_out = 0
    for number, detail in enumerate(details):
        if number < SAMPLES_MAX:
            yield Violation(promise.value, detail)
        else:
            left_out += 1
    if left_out:
        yield Violation(promise.value, f"and {left_out} more like these")

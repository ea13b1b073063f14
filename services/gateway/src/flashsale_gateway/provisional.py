"""Answers that are decided but not yet given: each waits for the broker's confirm of the entry that contains it."""

import asyncio
from collections.abc import Sequence
from typing import Generic, NamedTuple, TypeVar

from flashsale_gateway.errors import GatewayError

Answer = TypeVar("Answer")
Waiter = TypeVar("Waiter")
Confirm = asyncio.Future[bool]
"""Done once the broker has confirmed an entry (True), or nobody should wait for that any longer (False)."""


class Provisional(NamedTuple, Generic[Answer]):
    answer: Answer
    """It is given once `confirm` is True."""
    confirm: Confirm
    otherwise: GatewayError
    """It is raised instead once `confirm` is False."""

    def final(self) -> Answer | GatewayError:
        """What to give, now that `confirm` is done."""
        return self.answer if self.confirm.result() else self.otherwise


Held = dict[Confirm, list[tuple[Waiter, Provisional[Answer]]]]
"""Waiters with their provisional answers, by the confirm that they wait for."""


def hold_back(
    waiters: Sequence[Waiter], answers: Sequence[Answer | Exception | Provisional[Answer]]
) -> tuple[list[Waiter], list[Answer | Exception], Held[Waiter, Answer]]:
    """(waiters, their answers) that can be given now, and those that wait. Raises ValueError unless each waiter has an answer."""
    ready: list[Waiter] = []
    final: list[Answer | Exception] = []
    held: Held[Waiter, Answer] = {}
    for waiter, answer in zip(waiters, answers, strict=True):
        if isinstance(answer, Provisional):
            held.setdefault(answer.confirm, []).append((waiter, answer))
        else:
            ready.append(waiter)
            final.append(answer)
    return ready, final, held

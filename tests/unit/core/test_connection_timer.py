"""The timer of a connection acts after a second look, and only if nothing has happened until then."""

import heapq
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from flashsale_core.connection_timer import LOOK_AGAIN_SECONDS, ConnectionTimer


class Loop:
    """The timers of an event loop, and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls = 0
        self._waiting: list[tuple[float, int, Callable[[], None], SimpleNamespace]] = []

    def time(self) -> float:
        return self.now

    def call_at(self, when: float, act: Callable[[], None]) -> Any:
        self.calls += 1
        handle = SimpleNamespace(is_cancelled=False)
        handle.cancel = lambda: setattr(handle, "is_cancelled", True)
        heapq.heappush(self._waiting, (when, self.calls, act, handle))
        return handle

    def run_until(self, end: float) -> None:
        while self._waiting and self._waiting[0][0] <= end:
            when, _, act, handle = heapq.heappop(self._waiting)
            self.now = max(self.now, when)
            if not handle.is_cancelled:
                act()
        self.now = max(self.now, end)


def timer_on(loop: Any) -> tuple[ConnectionTimer, list[float]]:
    """The timer, and the times at which it has acted."""
    acted = list[float]()
    return ConnectionTimer(loop, lambda: acted.append(loop.time())), acted


def test_acts_once_and_not_before_the_second_look() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    timer.set(10)
    loop.run_until(100)
    assert acted == [10 + LOOK_AGAIN_SECONDS]


def test_what_the_second_look_finds_gets_a_time_of_its_own() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    timer.set(10)
    loop.now = 60.0  # the process stood still
    loop.run_until(60)
    timer.set(10)
    loop.run_until(100)
    assert acted == [70 + LOOK_AGAIN_SECONDS]


def test_unset_timer_does_not_act() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    timer.set(10)
    timer.unset()
    timer.set(20)
    timer.unset()
    loop.run_until(100)
    assert acted == []


def test_earlier_time_replaces_a_later_one() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    timer.set(75)
    timer.set(10)
    loop.run_until(100)
    assert acted == [10 + LOOK_AGAIN_SECONDS]


def test_time_of_each_request_costs_no_call_of_the_loop() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    for second in range(50):
        loop.run_until(second)
        timer.set(75)
    assert (loop.calls, acted) == (1, [])


def test_ended_timer_leaves_nothing_behind() -> None:
    loop = Loop()
    timer, acted = timer_on(loop)
    timer.set(10)
    timer.end()
    loop.run_until(100)
    assert (loop.calls, acted) == (1, [])

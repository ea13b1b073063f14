"""Breadth first through every state within the bounds: the first broken promise has the shortest trace."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from msgspec.structs import replace

from tests.model.delivery import deliveries
from tests.model.faults import faults
from tests.model.promises import broken_promise, is_closed
from tests.model.recovery import recovery
from tests.model.requests import Step, requests
from tests.model.state import Bounds, State


@dataclass(frozen=True, slots=True)
class Outcome:
    states: int
    promise: str = ""
    """The promise that was broken, or ''."""
    trace: tuple[str, ...] = ()

    def __str__(self) -> str:
        steps = "\n".join(f"{number:3} {step}" for number, step in enumerate(self.trace, 1))
        return f"{steps}\n    -> {self.promise}"


def steps(state: State, bounds: Bounds) -> Iterator[Step]:
    yield from requests(state, bounds)
    yield from deliveries(state, bounds)
    yield from recovery(state, bounds)
    yield from faults(state, bounds)


def search(bounds: Bounds, states_max: int = 5_000_000) -> Outcome:
    """Raises RuntimeError if the bounds contain more than states_max states."""
    first = bounds.first()
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    waiting = deque([first])
    while waiting:
        state = waiting.popleft()
        for name, reached in steps(state, bounds):
            after = normal(reached)
            if after in came_from:
                continue
            came_from[after] = (state, name)
            if promise := broken_promise(after, bounds):
                return Outcome(len(came_from), promise, _trace(came_from, after))
            waiting.append(after)
            if len(came_from) > states_max:
                raise RuntimeError(f"more than {states_max} states")
    return Outcome(len(came_from))


def normal(state: State) -> State:
    """The state without what can no longer matter: after the last fault nobody counts what the ledger received."""
    if state.faults or state.phase != "idle" or is_closed(state) or not state.ledger.received:
        return state
    return replace(state, ledger=replace(state.ledger, received=frozenset()))


def _trace(came_from: dict[State, tuple[State, str] | None], last: State) -> tuple[str, ...]:
    names, at = [], came_from[last]
    while at is not None:
        names.append(at[1])
        at = came_from[at[0]]
    return tuple(reversed(names))

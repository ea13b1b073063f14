"""What breaks: Redis loses its newest writes, its disk or only its process; gateways and the keeper die or are silent."""

from collections.abc import Iterator

from msgspec.structs import replace

from tests.model.requests import Step, with_gateway
from tests.model.state import Bounds, Gateway, Redis, State


def faults(state: State, bounds: Bounds) -> Iterator[Step]:
    if state.faults:
        yield from _redis(state, bounds)
    if state.upsets:
        yield from _others(state, bounds)


def _redis(state: State, bounds: Bounds) -> Iterator[Step]:
    redis = state.redis
    left = state.faults - 1
    if state.copy is not None:
        if state.copies and state.copy != redis:
            yield "replica: is a copy of Redis now", replace(state, copy=redis, copies=state.copies - 1)
        copy = state.copy if left else None
        yield "FAULT: the older copy is promoted", _other_history(replace(state, redis=state.copy, copy=copy, fault_pending=True))
    if "lose" in bounds.kinds:
        empty = Redis(("",) * bounds.orders, frozenset(), bounds.units, frozenset(), None)
        yield (
            "FAULT: Redis loses its disk",
            _other_history(replace(state, redis=empty, copy=state.copy if left else None, fault_pending=True)),
        )
    if "restart" in bounds.kinds:
        yield "FAULT: Redis restarts", _other_history(replace(state, copy=state.copy if left else None))


def _other_history(state: State) -> State:
    return replace(state, info=state.info + 1, faults=state.faults - 1)


def _others(state: State, bounds: Bounds) -> Iterator[Step]:
    left = replace(state, upsets=state.upsets - 1)
    for number, gateway in enumerate(state.gateways):
        if "crash" in bounds.upset_kinds and gateway.held | gateway.confirmed:
            excused = state.excused | {entry.seq for entry in gateway.held}
            yield f"FAULT: gateway {number} dies", with_gateway(replace(left, excused=excused, died=True), number, Gateway())
        if "silence" in bounds.upset_kinds and state.phase == "fenced" and number not in state.silent:
            excused = state.excused | {entry.seq for entry in gateway.held}
            yield f"keeper: gateway {number} is silent", replace(left, silent=state.silent | {number}, excused=excused)
    if "keeper" in bounds.upset_kinds and state.phase != "idle":
        yield (
            "FAULT: the keeper dies",
            replace(left, phase="idle", silent=frozenset(), broker=state.broker | state.marked, marked=frozenset()),
        )

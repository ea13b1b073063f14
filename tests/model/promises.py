"""What must hold in every state."""

from tests.model.requests import COUNTED
from tests.model.state import Bounds, State


def broken_promise(state: State, bounds: Bounds) -> str:
    """The first promise that does not hold, or ''."""
    if state.broken:
        return state.broken
    coming = {entry.order for entry in state.broker | state.marked | state.worker if entry.kind == "W"}
    returned = {order for order, letter in enumerate(state.ledger.records) if letter == "T"} | coming
    paid = {order for order, letter in enumerate(state.ledger.records) if letter == "P"} - coming
    if len(paid) > bounds.units:
        return "the ledger has more paid orders than units"
    if state.ledger.refunded & paid:
        return "the money of a paid order is refunded"
    if state.returned - returned:
        return "an answered return will not reach the ledger"
    money = paid | returned | state.ledger.refunded
    if state.answered - money:
        on_the_way = {entry.order for entry in state.broker | state.marked if entry.kind in "PF"}
        if state.answered - money - on_the_way:
            return "an answered webhook will not reach the ledger"
    return "" if is_closed(state) else _while_open(state, bounds, paid)


def is_closed(state: State) -> bool:
    fence = state.redis.fence
    return state.fault_pending or fence is None or fence.state != "open" or fence.replid != state.info


def _while_open(state: State, bounds: Bounds, paid: set[int]) -> str:
    redis, fence = state.redis, state.redis.fence
    assert fence is not None
    live = sum(letter in COUNTED for letter in redis.records)
    if live > bounds.units:
        return "more units held and sold than there are"
    if redis.available + live != bounds.units:
        return "a unit was released twice"
    behind = {order for order, letter in enumerate(redis.records) if letter in ("W", "T")}
    if len(paid - behind | {order for order, letter in enumerate(redis.records) if letter == "P"}) > bounds.units:
        return "Redis and ledger together have more paid orders than units"
    for order in state.accepted:
        if not redis.records[order]:
            if bounds.confirmed:
                return "an accepted order is forgotten"
            if state.born[order].isdisjoint(state.lost | state.excused):
                return "an accepted order is forgotten, and not reported"
    if any(gateway.known > fence.seq for gateway in state.gateways):
        return "an open fence has a lower position than a gateway was answered"
    return _at_rest(state)


def _at_rest(state: State) -> str:
    if state.broker or state.worker or state.redis.outbox or any(gateway.held or gateway.confirmed for gateway in state.gateways):
        return ""
    if tuple(letter.replace("W", "T") for letter in state.redis.records) != state.ledger.records:
        return "ledger and Redis differ at rest"
    if state.redis.refunded != state.ledger.refunded:
        return "ledger and Redis differ in refunds at rest"
    return ""

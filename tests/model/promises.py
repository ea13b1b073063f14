"""What must hold in every state."""

from tests.model.delivery import is_late
from tests.model.requests import COUNTED
from tests.model.state import Bounds, State


def broken_promise(state: State, bounds: Bounds) -> str:
    """The first promise that does not hold, or ''."""
    if state.broken:
        return state.broken
    on_the_way = state.broker | state.marked | state.worker
    coming = {entry.order: entry.kind for entry in on_the_way if entry.kind in "WK" and not is_late(state.ledger, entry)}
    returned = {order for order, letter in enumerate(state.ledger.records) if letter in ("T", "K")} | coming.keys()
    paid = {order for order, letter in enumerate(state.ledger.records) if letter == "P"} - coming.keys()
    # A unit that its buyer returned and that is not for sale again stays sold.
    sold = paid | {order for order in returned if (coming.get(order) or state.ledger.records[order]) == "K"}
    if len(sold) > bounds.units:
        return "the ledger has more paid orders than units"
    if state.ledger.refunded & paid:
        return "the money of a paid order is refunded"
    if state.returned - returned:
        return "an answered return will not reach the ledger"
    money = paid | returned | state.ledger.refunded
    if state.answered - money:
        paying = {entry.order for entry in state.broker | state.marked if entry.kind in "PF"}
        if state.answered - money - paying:
            return "an answered webhook will not reach the ledger"
    return "" if is_closed(state) else _while_open(state, bounds, sold)


def is_closed(state: State) -> bool:
    fence = state.redis.fence
    return state.fault_pending or fence is None or fence.state != "open" or fence.replid != state.info


def _while_open(state: State, bounds: Bounds, sold: set[int]) -> str:
    redis, fence = state.redis, state.redis.fence
    assert fence is not None
    live = sum(letter in COUNTED for letter in redis.records)
    if live > bounds.units:
        return "more units held and sold than there are"
    if redis.available + live != bounds.units:
        return "a unit was released twice"
    behind = {order for order, letter in enumerate(redis.records) if letter in ("W", "T")}
    if len(sold - behind | {order for order, letter in enumerate(redis.records) if letter in ("P", "K")}) > bounds.units:
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

"""What buyers, providers and the timeout-worker have Redis do, by the table in flashsale_core.orders."""

from collections.abc import Iterator
from typing import TypeVar

from msgspec.structs import replace

from flashsale_core.orders import LETTERS, Event, next_state
from flashsale_core.orders import State as OrderState
from tests.model.state import Bounds, Entry, Gateway, Redis, State

T = TypeVar("T")
LETTER_OF = {state: letter for letter, state in LETTERS.items()}
Step = tuple[str, State]
LIVE = ("R", "P")
COUNTED = (*LIVE, "W", "K")
"""The letters of orders that have a unit. That of a returned order waits until the broker has confirmed the return, or stays sold."""


def transition(letter: str, event: Event, *, guard_holds: bool = True) -> tuple[str, str]:
    """(result, letter afterwards) by the table."""
    result, state = next_state(LETTERS[letter] if letter else None, event, guard_holds=guard_holds)
    return result.value, LETTER_OF[state] if isinstance(state, OrderState) else ""


TABLE = {
    (letter, event, holds): transition(letter, event, guard_holds=holds)
    for letter in ("", *LETTERS)
    for event in Event
    for holds in (True, False)
}


def requests(state: State, bounds: Bounds) -> Iterator[Step]:
    redis = state.redis
    if redis.fence is None and bounds.has("no_create"):
        return
    for order, letter in enumerate(redis.records):
        for number, gateway in enumerate(state.gateways):
            if writable(state, gateway.known, bounds):
                yield from _reserve(state, bounds, order, letter, number)
                if bounds.pays and state.born[order] and order not in state.answered:
                    yield from _pay(state, bounds, order, letter, number)
                if (bounds.returns and letter in ("P", "W")) or (bounds.keeps and letter in ("P", "K")):
                    yield from _return(state, bounds, order, letter, number)
        if writable(state, 0, bounds) and state.born[order]:
            yield from _release(state, bounds, order, letter)
        if not state.born[order]:
            return  # orders of the same past differ only in their number: they are named as they come


def writable(state: State, known: int, bounds: Bounds) -> bool:
    """The fence, as every script asks it."""
    fence = state.redis.fence
    if not bounds.has("fence") or fence is None:
        return fence is not None or not bounds.has("no_create")
    if fence.state != "open":
        return False
    if bounds.has("replid") and fence.replid != state.info:
        return False
    return known <= fence.seq


def _reserve(state: State, bounds: Bounds, order: int, letter: str, number: int) -> Iterator[Step]:
    result, after = TABLE[letter, Event.RESERVE, state.redis.available > 0]
    name = f"gateway {number}: order {order} "
    if result == "accepted":
        changed, entry = write(state, order, after, "R", -1)
        changed = _answer(changed, number, entry)
        changed = replace(changed, born=replaced(changed.born, order, changed.born[order] | {entry.seq}))
        if not bounds.confirmed or not bounds.has("confirm_order"):
            changed = replace(changed, accepted=changed.accepted | {order})
            name += "is accepted, the buyer is answered"
        else:
            name += "is accepted, the buyer waits for the confirm"
        yield name, changed
    elif result == "replayed" and order not in state.accepted:
        if not bounds.confirmed or not bounds.has("replay_confirm"):
            yield name + "is replayed, the buyer is answered", replace(state, accepted=state.accepted | {order})
        elif not _in_memory(state.gateways[number], order, LIVE):
            yield name + "is replayed, and published again from its record", _again(state, number, letter, letter, order)


def _pay(state: State, bounds: Bounds, order: int, letter: str, number: int) -> Iterator[Step]:
    redis, gateway = state.redis, state.gateways[number]
    if _in_memory(gateway, order, ("P", "F")):
        return
    name = f"gateway {number}: payment of order {order} "
    is_bought = letter in ("P", "W", "K", "T")
    if order in redis.refunded and not is_bought:
        result, after = "known refund", letter
    else:
        result, after = TABLE[letter, Event.PAY, is_bought or (bounds.reacquire and redis.available > 0)]
    if result in ("replayed", "known refund"):
        changed, text = (
            _again(state, number, letter, "P" if result == "replayed" else "F", order),
            "is replayed, and published again from its record",
        )
    elif result == "paid":
        changed, entry = write(state, order, after, "P", -1 if letter == "X" else 0)
        changed, text = _answer(changed, number, entry), "makes it paid"
    else:
        changed, entry = write(state, order, letter, "F", 0)
        changed, text = _answer(changed, number, entry), "is to be refunded"
    if not bounds.has("confirm_webhook"):
        changed, text = replace(changed, answered=changed.answered | {order}), text + ", the provider is answered"
    yield name + text, changed


def _return(state: State, bounds: Bounds, order: int, letter: str, number: int) -> Iterator[Step]:
    if _in_memory(state.gateways[number], order, ("W", "K")) or order in state.returned:
        return
    name = f"gateway {number}: order {order} "
    if letter != "P":
        yield name + "is returned again, and published again from its record", _again(state, number, letter, letter, order)
        return
    if bounds.keeps:
        yield name + "is returned, its unit stays sold, the merchant waits for the confirm", _again(state, number, "K", "K", order)
    if not bounds.returns:
        return
    changed = _again(state, number, "W", "W", order)
    if bounds.has("confirm_return"):
        yield name + "is returned, the merchant waits for the confirm", changed
    else:
        yield name + "is returned, its unit is for sale again", restocked(changed, bounds, order)


def restocked(state: State, bounds: Bounds, order: int) -> State:
    """The unit of a returned order is for sale again, unless more units were sold than there are."""
    redis = state.redis
    if redis.records[order] != "W":
        return state
    records = replaced(redis.records, order, "T")
    covered = sum(letter in COUNTED for letter in redis.records) > bounds.units
    return replace(state, redis=replace(redis, records=records, available=redis.available + (not covered)))


def _release(state: State, bounds: Bounds, order: int, letter: str) -> Iterator[Step]:
    events = [Event.EXPIRE] * bounds.expires + [Event.CANCEL] * bounds.cancels
    for event in events:
        result, after = TABLE[letter, event, True]
        if result in ("expired", "cancelled"):
            yield f"order {order} is {result}", write(state, order, after, after, 1)[0]
        elif letter in ("X", "C") and not bounds.has("release_checks_state") and state.redis.available < bounds.units + 1:
            yield f"order {order} is released again", write(state, order, letter, letter, 1)[0]


def write(state: State, order: int, letter: str, kind: str, units: int) -> tuple[State, Entry]:
    """The state after a script that wrote one entry."""
    redis = state.redis
    if redis.fence is None:  # a sale created in an empty Redis, without the guard
        entry = Entry(0, 1, kind, order)
        return replace(state, broken="a write between the fault and the reopening"), entry
    entry = Entry(redis.fence.incarnation, redis.fence.seq + 1, kind, order)
    redis = Redis(
        replaced(redis.records, order, letter),
        redis.refunded | {order} if kind == "F" else redis.refunded,
        redis.available + units,
        redis.outbox | {entry},
        replace(redis.fence, seq=entry.seq),
    )
    broken = "a write between the fault and the reopening" if state.fault_pending else ""
    return replace(state, redis=redis, broken=broken), entry


def _answer(state: State, number: int, entry: Entry) -> State:
    """The gateway has the script's answer: it holds the entry, and knows its position."""
    gateway = state.gateways[number]
    return with_gateway(state, number, replace(gateway, known=entry.seq, held=gateway.held | {entry}))


def _again(state: State, number: int, letter: str, kind: str, order: int) -> State:
    """A replay writes its entry again, at a position of now: the first one may be that of a gateway that died."""
    changed, entry = write(state, order, letter, kind, 0)
    return _answer(changed, number, entry)


def _in_memory(gateway: Gateway, order: int, kinds: tuple[str, ...]) -> bool:
    return any(entry.order == order and entry.kind in kinds for entry in gateway.held | gateway.confirmed)


def with_gateway(state: State, number: int, gateway: Gateway) -> State:
    return replace(state, gateways=(*state.gateways[:number], gateway, *state.gateways[number + 1 :]))


def replaced(values: tuple[T, ...], index: int, value: T) -> tuple[T, ...]:
    return (*values[:index], value, *values[index + 1 :])

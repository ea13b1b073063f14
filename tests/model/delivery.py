"""How an entry gets from Redis to the ledger: published, confirmed, deleted, merged."""

from collections.abc import Iterator

from msgspec.structs import replace

from flashsale_core.orders import LETTERS, supersedes
from tests.model.requests import Step, replaced, restocked, with_gateway, writable
from tests.model.state import Bounds, Entry, Gateway, Ledger, State


def deliveries(state: State, bounds: Bounds) -> Iterator[Step]:
    for number, gateway in enumerate(state.gateways):
        for entry in sorted(gateway.held):
            # The keeper's marker waits longer than a gateway waits for a confirm, so a confirm seen after the marker is too late.
            timely = not bounds.has("timely") or (state.phase in ("idle", "fenced") and entry.incarnation == state.ledger.incarnation)
            sent = Gateway(
                gateway.known, gateway.held - {entry}, gateway.confirmed | {entry}, gateway.timely | {entry} if timely else gateway.timely
            )
            name = f"gateway {number}: {show(entry)} is published and confirmed"
            yield name + ("" if timely else ", too late"), with_gateway(_in_queue(state, entry), number, sent)
            if not bounds.has("delete_after_confirm") and entry in state.redis.outbox:
                yield f"gateway {number}: {show(entry)} is deleted before it is confirmed", _deleted(state, entry)
        for entry in sorted(gateway.confirmed):
            left = replace(gateway, confirmed=gateway.confirmed - {entry}, timely=gateway.timely - {entry})
            yield from _finish(_deleted(with_gateway(state, number, left), entry), bounds, number, entry, entry in gateway.timely)
    in_memory = {entry for gateway in state.gateways for entry in gateway.held | gateway.confirmed}
    for entry in sorted(state.redis.outbox - in_memory):
        yield f"relay: {show(entry)} is published and deleted", _in_queue(_deleted(state, entry), entry)
    yield from _consume(state, bounds)


def _finish(state: State, bounds: Bounds, number: int, entry: Entry, timely: bool) -> Iterator[Step]:
    """Delete a confirmed entry, and answer the request that waits for the confirm."""
    name = f"gateway {number}: {show(entry)} is deleted"
    if timely and bounds.has("confirm_webhook") and entry.kind in "PF" and entry.order not in state.answered:
        yield name + ", the provider is answered", replace(state, answered=state.answered | {entry.order})
    elif timely and bounds.confirmed and entry.kind in "RP" and entry.order not in state.accepted:
        yield name + ", the buyer is answered", replace(state, accepted=state.accepted | {entry.order})
    elif timely and entry.kind == "W" and writable(state, state.gateways[number].known, bounds):
        changed = restocked(state, bounds, entry.order) if bounds.has("confirm_return") else state
        yield name + ", the unit is for sale again, the merchant is answered", replace(changed, returned=state.returned | {entry.order})
    elif timely and entry.kind == "K":
        yield name + ", the merchant is answered", replace(state, returned=state.returned | {entry.order})
    else:
        yield name, state


def _consume(state: State, bounds: Bounds) -> Iterator[Step]:
    for entry in sorted(state.broker | state.marked):
        taken = replace(state, broker=state.broker - {entry}, marked=state.marked - {entry})
        if bounds.has("commit_before_ack"):
            yield f"ledger: {show(entry)} is committed", replace(taken, ledger=merged(state.ledger, entry, bounds))
        else:
            yield f"worker: {show(entry)} is acknowledged", replace(taken, worker=state.worker | {entry})
    for entry in sorted(state.worker):
        taken = replace(state, worker=state.worker - {entry})
        yield f"ledger: {show(entry)} is committed", replace(taken, ledger=merged(state.ledger, entry, bounds))
        yield f"worker: dies with {show(entry)}", taken


def merged(ledger: Ledger, entry: Entry, bounds: Bounds) -> Ledger:
    """The ledger after an entry. A late one changes nothing."""
    if is_late(ledger, entry) and bounds.has("late_refused"):
        if bounds.has("late_only_counted") or entry.kind != "P" or ledger.records[entry.order] == "P":
            return ledger
        return replace(ledger, refunded=ledger.refunded | {entry.order})
    received = ledger.received | {entry}
    if entry.kind == "F":
        return replace(ledger, refunded=ledger.refunded | {entry.order}, received=received)
    # The message of a return says already that the unit is for sale again.
    old, new = ledger.records[entry.order], "T" if entry.kind == "W" else entry.kind
    if not old or supersedes(LETTERS[new], LETTERS[old]):
        return replace(ledger, records=replaced(ledger.records, entry.order, new), received=received)
    return replace(ledger, received=received)


def is_late(ledger: Ledger, entry: Entry) -> bool:
    """Whether a recovery has ended without this entry."""
    return any(closed.incarnation == entry.incarnation and entry.seq > closed.kept_seq for closed in ledger.closed)


def _in_queue(state: State, entry: Entry) -> State:
    return replace(state, broker=state.broker | {entry})


def _deleted(state: State, entry: Entry) -> State:
    redis = state.redis
    return replace(state, redis=replace(redis, outbox=redis.outbox - {entry})) if entry in redis.outbox else state


def show(entry: Entry) -> str:
    return f"{entry.kind}{entry.order}@{entry.incarnation}.{entry.seq}"

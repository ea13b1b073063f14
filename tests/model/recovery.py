"""The keeper: fence, attest, drain, join, deficit, restore, open; or the fast path."""

from collections.abc import Iterator

from msgspec.structs import replace

from flashsale_core.orders import LETTERS, supersedes
from tests.model.requests import COUNTED, Step, replaced
from tests.model.state import JUMP, Bounds, Closed, Entry, Fence, Redis, State


def recovery(state: State, bounds: Bounds) -> Iterator[Step]:
    fence = state.redis.fence
    if state.phase == "noted":
        yield from _open(state, bounds)
    if fence is None or fence.replid != state.info or (state.phase == "idle" and fence.state != "open"):
        yield from _fence(state)
        return
    match state.phase:
        case "fenced":
            yield from _mark(state, bounds)
        case "marked" if not state.marked or not bounds.has("drain"):
            yield from _without_rebuild(state, bounds)
            yield from _rebuild(state, bounds)
        case "restoring":
            yield from _fill(state, bounds)
        case "filled":
            yield from _note(state, bounds)


def _fence(state: State) -> Iterator[Step]:
    fence = state.redis.fence
    seq, incarnation = (fence.seq, fence.incarnation) if fence else (0, 0)
    redis = replace(state.redis, fence=Fence("fenced", state.info, incarnation, seq))
    moved = replace(state, redis=redis, phase="fenced", silent=frozenset(), broker=state.broker | state.marked, marked=frozenset())
    yield "keeper: fences this history", moved


def _mark(state: State, bounds: Bounds) -> Iterator[Step]:
    """The marker enters the queue once every gateway has published what it holds, or was silent for too long."""
    attested = all(number in state.silent or not gateway.held for number, gateway in enumerate(state.gateways))
    if attested or not bounds.has("attest"):
        yield "keeper: puts its marker into the queue", replace(state, phase="marked", marked=state.broker, broker=frozenset())


def _highest(state: State, bounds: Bounds) -> int:
    """The highest position that anyone attests."""
    attested = [gateway.known for number, gateway in enumerate(state.gateways) if number not in state.silent and bounds.has("attest")]
    return max([0, state.ledger.opened_seq, *(entry.seq for entry in state.ledger.received), *attested])


def _without_rebuild(state: State, bounds: Bounds) -> Iterator[Step]:
    """Redis has all that anyone knows: open it as it is. If a gateway may hold more, in a new incarnation."""
    fence, ledger = state.redis.fence, state.ledger
    assert fence is not None
    opened = ledger.opened_seq >= 0 or not bounds.has("fast_opened")
    if not opened or fence.incarnation != ledger.incarnation or fence.seq < _highest(state, bounds):
        return
    if bounds.has("fast_waits") and (state.silent or state.died):
        begun = _begun(state, bounds)
        yield f"keeper: nothing is missing, begins incarnation {ledger.incarnation + 1}", replace(begun, phase="filled")
    else:
        redis = replace(state.redis, fence=replace(fence, state="open"))
        yield "keeper: nothing is missing, opens the same incarnation", _opened(replace(state, redis=redis))


def _rebuild(state: State, bounds: Bounds) -> Iterator[Step]:
    begun = _begun(state, bounds)
    text = f"keeper: begins incarnation {begun.ledger.incarnation} at {begun.ledger.first_seq}"
    yield f"{text}, {len(begun.lost - state.lost)} entries lost", replace(begun, phase="restoring")


def _begun(state: State, bounds: Bounds) -> State:
    """A new incarnation in the ledger and in Redis. What neither ledger nor Redis has, up to the highest known position, is lost."""
    fence, ledger, highest = state.redis.fence, state.ledger, _highest(state, bounds)
    assert fence is not None
    ranges = [*ledger.closed, Closed(ledger.incarnation, ledger.first_seq, max(highest, fence.seq))]
    received = {entry.seq for entry in ledger.received}
    past = [seq for closed in ranges for seq in range(closed.first_seq + 1, closed.kept_seq + 1)]
    lost = {seq for seq in past if seq > fence.seq and seq not in received}
    in_redis = {seq for seq in past if seq <= fence.seq}
    if bounds.has("kept_falls"):
        ranges = [replace(closed, kept_seq=min(closed.kept_seq, fence.seq)) for closed in ranges]
    seq = max(highest, fence.seq) + JUMP if bounds.has("seq_continues") else 0
    incarnation = ledger.incarnation + 1
    return replace(
        state,
        redis=replace(state.redis, fence=Fence("restoring", state.info, incarnation, seq)),
        ledger=replace(ledger, incarnation=incarnation, first_seq=seq, opened_seq=-1, closed=tuple(ranges)),
        lost=state.lost | lost,
        excused=state.excused - in_redis,
    )


def _fill(state: State, bounds: Bounds) -> Iterator[Step]:
    """Join ledger and Redis, break holds for which there are no units, and resend what the ledger lacks."""
    redis, ledger = state.redis, state.ledger
    survivors = redis.records if bounds.has("join_redis") else ("",) * bounds.orders
    joined = tuple(_higher(*pair) for pair in zip(ledger.records, survivors, strict=True))
    refunded = (ledger.refunded | redis.refunded) if bounds.has("refunds_restored") else frozenset[int]()
    for broken in _deficits(joined, bounds):
        records = joined
        for order in broken:
            records = replaced(records, order, "X")
        text = "keeper: restores " + " ".join(f"{order}:{letter or '-'}" for order, letter in enumerate(records))
        yield text, replace(_restored(state, bounds, records, refunded), phase="filled")


def _restored(state: State, bounds: Bounds, records: tuple[str, ...], refunded: frozenset[int]) -> State:
    fence, ledger = state.redis.fence, state.ledger
    assert fence is not None
    kinds = [(letter, order) for order, letter in enumerate(records) if letter and letter != ledger.records[order]]
    kinds += [("F", order) for order in sorted(refunded - ledger.refunded)]
    if not bounds.has("resend"):
        kinds = []
    entries = [Entry(fence.incarnation, fence.seq + place, *kind) for place, kind in enumerate(kinds, 1)]
    born = state.born
    for entry in entries:
        if entry.kind != "F":
            born = replaced(born, entry.order, born[entry.order] | {entry.seq})
    available = max(0, bounds.units - sum(letter in COUNTED for letter in records))
    # The end of the restore is a position of its own: a copy made earlier does not have it.
    fence = replace(fence, seq=fence.seq + len(entries) + bounds.has("restore_position"))
    redis = Redis(records, refunded, available, state.redis.outbox.union(entries), fence)
    return replace(state, redis=redis, born=born)


def _deficits(records: tuple[str, ...], bounds: Bounds) -> Iterator[tuple[int, ...]]:
    """Which unpaid holds are broken: any of them, so that the choice of the youngest is one of the cases."""
    missing = sum(letter in COUNTED for letter in records) - bounds.units
    holds = [order for order, letter in enumerate(records) if letter == "R"]
    if missing <= 0 or not bounds.has("deficit") or not holds:
        yield ()
        return
    if missing == 1:
        yield from ((order,) for order in holds)
    else:
        yield tuple(holds[:missing])


def _note(state: State, bounds: Bounds) -> Iterator[Step]:
    """The ledger learns where the incarnation opens, before it opens."""
    fence = state.redis.fence
    assert fence is not None
    seq = fence.seq if bounds.has("opened_seq") else 0
    yield "keeper: notes the opening in the ledger", replace(state, ledger=replace(state.ledger, opened_seq=seq), phase="noted")


def _open(state: State, bounds: Bounds) -> Iterator[Step]:
    fence = state.redis.fence
    if fence is None or (fence.state, fence.incarnation) != ("restoring", state.ledger.incarnation):
        return
    if not bounds.has("seal_once"):
        fence = replace(fence, replid=state.info)
    if fence.replid == state.info:
        yield "keeper: opens", _opened(replace(state, redis=replace(state.redis, fence=replace(fence, state="open"))))


def _opened(state: State) -> State:
    return replace(
        state, phase="idle", silent=frozenset(), died=False, fault_pending=False, broker=state.broker | state.marked, marked=frozenset()
    )


def _higher(first: str, second: str) -> str:
    if not first or not second:
        return first or second
    return second if supersedes(LETTERS[second], LETTERS[first]) else first

"""Joins an order of the ledger with the same order in Redis: the highest state wins, so it does not matter who knew which event. Pure.

Decision 0004 makes that possible: every path of an order climbs through flashsale_core.orders.RANK.
"""

from collections.abc import Sequence
from dataclasses import replace

import msgspec

from flashsale_core.orders import WAS_PAID, State, supersedes
from flashsale_core.records import OrderRecord
from flashsale_recovery.rebuild.facts import LedgerOrder, Refund

RELEASED = frozenset({State.EXPIRED, State.CANCELLED})
REFUNDS_MAX = 16
"""How many refunded payments an order remembers (lua/settle.lua)."""
UNKNOWN_ORDER = "unknown_order"
_SEEN_IN = {"late": State.EXPIRED, "sold_out": State.EXPIRED, "cancelled": State.CANCELLED}
"""Why a payment was refunded -> the state that the order had then: the refund proves the state when the order's own event was lost."""


class Joined(msgspec.Struct, frozen=True, gc=False):
    order_id: str
    record: OrderRecord
    was_released: bool
    reserved_ms: int | None
    lacking: tuple[State, ...] = ()
    """The states that the ledger does not have."""
    refunds_lacking: tuple[str, ...] = ()
    """Refunded payments that only Redis has."""
    other_payment: str = ""
    """The payment by which the order is paid in Redis, if the ledger has another one: somebody paid twice."""


def join_order(ledger: LedgerOrder | None, redis: OrderRecord | None, order_id: str, refunds: Sequence[Refund] = ()) -> Joined:
    """The highest state wins. Among equals the ledger's does, because the ledger would never replace it. One side may lack the order."""
    if redis is None and not refunds and ledger is not None:
        return _of_ledger(ledger)
    known = ledger or redis
    assert known is not None  # noqa: S101 - the caller read the order in one of the two
    seen = [known.state, *([redis.state] if redis else []), *(_SEEN_IN[refund.reason] for refund in refunds if refund.reason in _SEEN_IN)]
    state = _highest(seen)
    returned = ledger if ledger is not None and ledger.state is State.RETURNED else redis
    payment_id = (ledger and ledger.payment_id) or (redis and redis.payment_id) or ""
    refunded = _refunded(redis, refunds, payment_id)
    record = OrderRecord(
        state=state,
        user_id=known.user_id,
        quantity=known.quantity,
        deadline_ms=max(known.deadline_ms, redis.deadline_ms if redis else 0),
        traceparent=redis.traceparent if redis else "",
        payment_id=payment_id,
        refunded_payment_ids=refunded[:REFUNDS_MAX],
        return_letter=returned.return_letter if returned is not None else "",
    )
    in_ledger = {refund.payment_id for refund in refunds}
    return Joined(
        order_id=order_id,
        record=record,
        was_released=(ledger is not None and ledger.was_released) or any(each in RELEASED for each in seen),
        reserved_ms=ledger.reserved_ms if ledger else None,
        lacking=_lacking(ledger, state, released_before=state in WAS_PAID and State.EXPIRED in seen),
        refunds_lacking=tuple(payment for payment in (redis.refunded_payment_ids if redis else ()) if payment not in in_ledger),
        other_payment=redis.payment_id if redis and redis.payment_id not in ("", payment_id) else "",
    )


def _of_ledger(ledger: LedgerOrder) -> Joined:
    """The usual order of an empty Redis, in a third of the time."""
    record = OrderRecord(
        ledger.state, ledger.user_id, ledger.quantity, ledger.deadline_ms, "", ledger.payment_id, return_letter=ledger.return_letter
    )
    was_released = ledger.was_released or ledger.state in RELEASED
    return Joined(ledger.order_id, record, was_released, ledger.reserved_ms, () if ledger.reserved_ms is not None else (State.RESERVED,))


def _highest(states: Sequence[State]) -> State:
    highest = states[0]
    for state in states[1:]:
        if supersedes(state, highest):
            highest = state
    return highest


def _refunded(redis: OrderRecord | None, refunds: Sequence[Refund], payment_id: str) -> tuple[str, ...]:
    """Payments for an order that did not exist yet are strays: its record does not have them."""
    of_ledger = [refund.payment_id for refund in refunds if refund.reason != UNKNOWN_ORDER]
    every = dict.fromkeys([*of_ledger, *(redis.refunded_payment_ids if redis else ())])
    return tuple(payment for payment in every if payment != payment_id)


def _lacking(ledger: LedgerOrder | None, state: State, *, released_before: bool) -> tuple[State, ...]:
    lacking = [] if ledger and ledger.reserved_ms is not None else [State.RESERVED]
    if released_before and not (ledger and ledger.was_released):
        lacking.append(State.EXPIRED)
    known = ledger.state if ledger else State.RESERVED
    if state is State.RETURNED and supersedes(State.PAID, known):
        lacking.append(State.PAID)
    return (*lacking, state) if supersedes(state, known) else tuple(lacking)


def without_hold(order: Joined) -> Joined:
    """The order once its sale is over: no hold of it can be live."""
    if order.record.state is not State.RESERVED:
        return order
    record = replace(order.record, state=State.EXPIRED)
    return msgspec.structs.replace(order, record=record, was_released=True, lacking=(*order.lacking, State.EXPIRED))

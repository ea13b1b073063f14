"""One order and one sale while their history is replayed. Pure."""

from collections.abc import Iterator

import msgspec

from flashsale_core.orders import WAS_PAID, Event, State, next_state, supersedes

EVENT_OF = {State.EXPIRED: Event.EXPIRE, State.CANCELLED: Event.CANCEL, State.PAID: Event.PAY, State.RETURNED: Event.RETURN}


class OrderLife(msgspec.Struct):
    quantity: int
    state: State | None = None
    payment_id: str = ""
    restocked: bool = False
    changed_in: int = 0
    """The incarnation of its last change."""
    reserved_ms: int = 0
    changed_ms: int = 0

    @property
    def held(self) -> int:
        return self.quantity if self.state is State.RESERVED else 0

    @property
    def sold(self) -> int:
        """The units that the sale counts as sold: a returned order keeps its own unless they are for sale again."""
        return self.quantity if self.state is State.PAID or (self.state is State.RETURNED and not self.restocked) else 0


class SaleLife(msgspec.Struct):
    total: int = 0
    held: int = 0
    sold: int = 0
    restocking: int = 0
    """Units among the available ones that may not be for sale yet."""
    orders: dict[str, OrderLife] = msgspec.field(default_factory=dict)

    @property
    def available(self) -> int:
        return self.total - self.held - self.sold

    def order(self, order_id: str, quantity: int) -> OrderLife:
        return self.orders.setdefault(order_id, OrderLife(quantity))

    def move(self, order: OrderLife, state: State, incarnation: int, at_ms: int, *, restocked: bool = False) -> None:
        self.held, self.sold = self.held - order.held, self.sold - order.sold
        order.state, order.changed_in, order.changed_ms, order.restocked = state, incarnation, at_ms, restocked
        self.held, self.sold = self.held + order.held, self.sold + order.sold
        self.restocking += order.quantity if restocked else 0


def forbidden(
    order: OrderLife, state: State, incarnation: int, at_ms: int, *, reacquires: bool, whole: bool, complete: bool
) -> Iterator[str]:
    """Why `state` must not follow in this incarnation; nothing if it may.

    What came before a recovery was joined by rank, and the recovery may have said again what it joined. `whole`: whether no entry of the
    incarnation is missing; `complete`: nor of those before it, in which the order may have been reserved.
    """
    if order.state is not None and order.changed_in != incarnation:
        return
    if order.state is None and not complete:
        return
    if order.state is state:
        if at_ms != order.changed_ms and state not in WAS_PAID:
            yield f"{state} twice"
        return
    guard_holds = state is State.EXPIRED or reacquires
    _, after = next_state(order.state, EVENT_OF[state], guard_holds=guard_holds)
    if after is not state and (whole or order.state in (State.EXPIRED, State.CANCELLED)):
        yield f"{state} after {order.state or 'nothing'}"


def joined(order: OrderLife, state: State) -> bool:
    """Whether `state` replaces the order's: by rank, as the ledger and a rebuild do."""
    return order.state is None or supersedes(state, order.state)

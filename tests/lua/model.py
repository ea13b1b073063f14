"""The rules of a sale in plain Python, as a merchant would explain them; it shares nothing with the scripts."""

from dataclasses import dataclass, field

from flashsale_core.orders import State
from flashsale_core.records import OrderRecord

REFUNDS_REMEMBERED = 16


@dataclass
class Order:
    user: str
    quantity: int
    deadline: int
    state: State = State.RESERVED
    paid_by: str = ""
    refunded: list[str] = field(default_factory=list)
    return_letter: str = ""


@dataclass
class ModelSale:
    """A sale. Nothing of it exists before `define`."""

    exists: bool = False
    removed: bool = False
    """Whether it was removed, and no sale of its name was defined since."""
    total: int = 0
    max_per_user: int = 0
    max_released: int = 20
    hold_seconds: int = 300
    late_payment: str = "refund"
    price: str = ""
    state: str = "open"
    starts_ms: int = 0
    ends_ms: int = 0
    orders: dict[str, Order] = field(default_factory=dict)
    released: dict[str, int] = field(default_factory=dict)
    """Orders that expired or were cancelled, by user, including those that were bought again later."""
    strays: set[tuple[str, str]] = field(default_factory=set)
    """Payments for unknown orders. They outlive the sale."""

    def units(self, *states: State) -> int:
        return sum(order.quantity for order in self.orders.values() if order.state in states)

    @property
    def sold(self) -> int:
        """Units of paid orders, and of returned ones that are not for sale again."""
        kept = sum(order.quantity for order in self.orders.values() if order.return_letter in ("W", "K"))
        return self.units(State.PAID) + kept

    @property
    def available(self) -> int:
        return self.total - self.units(State.RESERVED) - self.sold

    def buyers(self) -> dict[str, int]:
        units: dict[str, int] = {}
        for order in self.orders.values():
            if order.state in (State.RESERVED, State.PAID):
                units[order.user] = units.get(order.user, 0) + order.quantity
        return units

    def deadlines(self) -> dict[str, int]:
        return {order_id: order.deadline for order_id, order in self.orders.items() if order.state is State.RESERVED}

    def records(self) -> dict[str, OrderRecord]:
        return {
            order_id: OrderRecord(o.state, o.user, o.quantity, o.deadline, "", o.paid_by, tuple(o.refunded), o.return_letter)
            for order_id, o in self.orders.items()
        }

    def define(self, total: int | None, changes: dict[str, int | str]) -> str:
        if not self.exists:
            if total is None:
                return "total_missing"
            self.__init__(exists=True, total=total, strays=self.strays)  # type: ignore[misc]
            self._change(changes)
            return "created"
        if self.state == "closed":
            return "closed"
        if total is not None and total < self.units(State.RESERVED) + self.sold:
            return "below_committed"
        wanted = {**changes, **({} if total is None else {"total": total})}
        if all(getattr(self, name) == value for name, value in wanted.items()):
            return "unchanged"
        self._change(wanted)
        return "changed"

    def _change(self, changes: dict[str, int | str]) -> None:
        for name, value in changes.items():
            setattr(self, name, value)

    def reserve(self, now: int, order_id: str, user: str, quantity: int) -> str:
        if not self.exists:
            return self._missing("sale_removed")
        known = self.orders.get(order_id)
        if known:
            if known.quantity != quantity:
                return "conflict"
            return "replayed" if known.state in (State.RESERVED, State.PAID) else "gone"
        if self.state != "open":
            return self.state
        if now < self.starts_ms:
            return "not_started"
        if self.ends_ms and now >= self.ends_ms:
            return "ended"
        if self.max_released and self.released.get(user, 0) >= self.max_released:
            return "order_limit"
        if self.max_per_user and self.buyers().get(user, 0) + quantity > self.max_per_user:
            return "user_limit"
        if quantity > self.available:
            return "out_of_stock"
        self.orders[order_id] = Order(user, quantity, now + self.hold_seconds * 1000)
        return "accepted"

    def pay(self, order_id: str, payment_id: str, amount: int, currency: str) -> tuple[str, str]:
        """(result, reason)"""
        order = self.orders.get(order_id)
        if (order_id, payment_id) in self.strays:
            return "undecided", "replayed"
        if order is None:
            self.strays.add((order_id, payment_id))
            return "undecided", "unknown_order"
        if order.paid_by == payment_id:
            return "replayed", ""
        if payment_id in order.refunded:
            return "refund_due", "replayed"
        reason = self._why_not(order, f"{amount} {currency}")
        if reason:
            if len(order.refunded) < REFUNDS_REMEMBERED:
                order.refunded.append(payment_id)
            return "refund_due", reason
        order.state, order.paid_by = State.PAID, payment_id
        return "paid", ""

    def _why_not(self, order: Order, money: str) -> str:
        is_full = len(order.refunded) >= REFUNDS_REMEMBERED
        match order.state:
            case State.PAID | State.RETURNED:
                return "duplicate"
            case State.CANCELLED:
                return "cancelled"
            case State.RESERVED:
                return "" if self._is_price(order, money) and not is_full else "wrong_amount"
        is_over_limit = self.max_per_user and self.buyers().get(order.user, 0) + order.quantity > self.max_per_user
        if self.late_payment == "refund" or is_full or is_over_limit:
            return "late"
        if not self._is_price(order, money):
            return "wrong_amount"
        return "sold_out" if order.quantity > self.available else ""

    def _is_price(self, order: Order, money: str) -> bool:
        if not self.price:
            return True
        amount, currency = self.price.split()
        return money == f"{int(amount) * order.quantity} {currency}"

    def expire(self, now: int, order_id: str) -> str:
        order = self.orders.get(order_id)
        if order is None or order.state is not State.RESERVED:
            return "ignored"
        if now < order.deadline:
            return "not_due"
        self._release(order, State.EXPIRED)
        return "expired"

    def cancel(self, order_id: str) -> str:
        order = self.orders.get(order_id)
        if order is None:
            return "unknown_order"
        answers = {State.RESERVED: "cancelled", State.CANCELLED: "replayed", State.PAID: "refused"}
        answer = answers.get(order.state, "gone")
        if answer == "cancelled":
            self._release(order, State.CANCELLED)
        return answer

    def take_back(self, order_id: str, restock: bool) -> str:
        order = self.orders.get(order_id)
        if order is None:
            return "unknown_order"
        if order.state is State.PAID:
            order.state, order.return_letter = State.RETURNED, "W" if restock else "K"
            return "returned"
        return "replayed" if order.state is State.RETURNED else "refused"

    def restock(self, order_id: str) -> int:
        """How many units are for sale again."""
        order = self.orders.get(order_id)
        if order is None or order.return_letter != "W":
            return 0
        order.return_letter = "T"
        return order.quantity

    def _release(self, order: Order, state: State) -> None:
        order.state = state
        self.released[order.user] = self.released.get(order.user, 0) + 1

    def close(self) -> str:
        if not self.exists:
            return self._missing("removed")
        self.state = "closed"
        return "closed"

    def remove(self) -> str:
        if not self.exists:
            return self._missing("removed")
        if self.state != "closed":
            return "not_closed"
        if self.units(State.RESERVED):
            return "holds_live"
        self.__init__(removed=True, strays=self.strays)  # type: ignore[misc]
        return "removed"

    def _missing(self, when_removed: str) -> str:
        return when_removed if self.removed else "unknown_sale"

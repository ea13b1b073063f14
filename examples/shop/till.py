"""Where money and units meet: authorise, ask the engine, then capture or release. Each step may be repeated after a crash."""

import logging
from typing import Protocol

from examples.shop.engine import PAID, NoDecisionError
from examples.shop.providers import PaymentError, Provider
from examples.shop.store import Order, Store
from flashsale_client import Json

PAID_RANK = 2
"""The rank of `paid` among the states, as the engine's events give it."""
log = logging.getLogger("shop")


class Decides(Protocol):
    """What the till asks of the engine; see `engine.Engine`."""

    def decide(self, order: Order) -> str: ...

    def report_released(self, order: Order) -> None: ...

    def events(self, after: str) -> tuple[list[Json], str]: ...


class Till:
    def __init__(self, store: Store, engine: Decides, provider: Provider) -> None:
        self._store = store
        self._engine = engine
        self._provider = provider

    def begin(self, order: Order) -> str:
        """Begin the order's payment; returns where to send the browser. Raises PaymentError."""
        payment_id, url = self._provider.begin(order)
        if payment_id:
            self.authorised(order, payment_id)
        return url

    def authorised(self, order: Order, payment_id: str) -> None:
        """The buyer's money is reserved. It is written down before the engine is asked, so that a crash forgets no payment."""
        if order.payment in ("none", "released"):
            self._store.set_payment(order.order_id, payment_id, "authorised")
        elif payment_id != order.payment_id:
            # The buyer paid twice, for example in two windows: the order keeps its first payment.
            self._provider.release(order._replace(payment_id=payment_id, payment="authorised"))
        self.decide(order.order_id)

    def decide(self, order_id: str) -> None:
        """Ask the engine what the authorised payment buys, and do it. What fails is repeated by `reconcile`."""
        order = self._store.get(order_id)
        if order is None or order.payment != "authorised":
            return
        try:
            if self._engine.decide(order) in PAID:
                self._provider.capture(order)
                self._store.set_payment(order_id, order.payment_id, "captured")
                self._store.raise_state(order_id, "paid", PAID_RANK)
            else:
                self._release(order)
        except (NoDecisionError, PaymentError) as reason:
            log.warning("order %s waits: %s", order_id, reason)

    def apply(self, event: Json) -> None:
        """An event of the engine, from its webhook or its feed; applied twice, or in another order, the result is the same."""
        kind, data = str(event["type"]), event["data"]
        order = self._store.get(str(data.get("orderId", "")))
        if order is None:
            return
        if kind == "refund.due" and data.get("paymentId") == order.payment_id and order.payment == "captured":
            self._release(order)
        elif kind.startswith("order."):
            self._store.raise_state(order.order_id, str(data["state"]), int(data["rank"]))

    def reconcile(self) -> None:
        """Find what a crash, a lost webhook or a silent provider left open."""
        for order in self._store.undecided():
            self.decide(order.order_id)

    def read_feed(self) -> None:
        """Apply the engine's events since the last time. Raises OSError when the feed does not answer."""
        while True:
            events, after = self._engine.events(self._store.feed_position())
            for event in events:
                self.apply(event)
            if not events:
                return
            self._store.set_feed_position(after)

    def _release(self, order: Order) -> None:
        # Last, so that what fails in between is repeated.
        self._provider.release(order)
        self._engine.report_released(order)
        self._store.set_payment(order.order_id, order.payment_id, "released")

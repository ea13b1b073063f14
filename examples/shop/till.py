"""Where money and units meet: authorise, ask the engine, then capture or release. Each step may be repeated after a crash."""

import logging
from collections.abc import Iterable
from typing import Protocol

from examples.shop.engine import PAID, REFUND_DUE, UNDECIDED, NoDecisionError
from examples.shop.providers import PaymentError, Provider
from examples.shop.store import Order, Store
from flashsale_client import Json

PAID_RANK = 2
"""The rank of `paid` among the states, as the engine's events give it."""
log = logging.getLogger("shop")


class Decides(Protocol):
    """The engine's decisions; see `engine.Engine`."""

    def decide(self, order: Order) -> str: ...


class Office(Protocol):
    """The engine's private side; see `back_office.BackOffice`."""

    def events(self, after: str) -> tuple[list[Json], str]: ...

    def payment_result(self, order: Order) -> str: ...

    def due_refunds(self) -> Iterable[Json]: ...

    def mark_sent(self, refund_id: str, reference: str) -> None: ...


class Till:
    def __init__(self, store: Store, engine: Decides, provider: Provider, office: Office | None = None) -> None:
        self._store = store
        self._engine = engine
        self._provider = provider
        self._office = office

    def begin(self, order: Order) -> str:
        """Begin the order's payment; returns where to send the browser. Raises PaymentError."""
        payment_id, url = self._provider.begin(order)
        if payment_id:
            self.authorised(order, payment_id)
        return url

    def authorised(self, order: Order, payment_id: str) -> None:
        """The buyer's money is reserved. It is written down before the engine is asked, so that a crash forgets no payment."""
        if not self._store.set_authorised(order.order_id, payment_id):
            # The buyer paid twice, for example in two windows at once: the order keeps its first payment.
            self._release(order._replace(payment_id=payment_id, payment="authorised"))
        self.decide(order.order_id)

    def decide(self, order_id: str) -> None:
        """Ask the engine what the authorised payment buys, and do it. What fails is repeated by `reconcile`."""
        order = self._store.get(order_id)
        if order is None or order.payment != "authorised":
            return
        try:
            decision = self._engine.decide(order)
            if decision == UNDECIDED and self._office is not None:
                decision = self._office.payment_result(order)
            if decision in PAID:
                self._provider.capture(order)
                self._store.set_captured(order_id, order.payment_id)
                self._store.raise_state(order_id, "paid", PAID_RANK)
            elif decision == REFUND_DUE:
                self._release(order)
            else:
                log.warning("order %s waits: the engine has it no more, and its payment is not in the ledger yet", order_id)
        except (NoDecisionError, PaymentError, OSError) as reason:
            log.warning("order %s waits: %s", order_id, reason)

    def apply(self, event: Json) -> None:
        """An event of the engine, from its webhook or its feed; applied twice, or in another order, the result is the same.

        The order's page and e-mails follow from it, but no money does: that is what `settle_refunds` reads a list for.
        """
        try:
            if str(event["type"]).startswith("order."):
                data = event["data"]
                self._store.raise_state(str(data["orderId"]), str(data["state"]), int(data["rank"]))
        except (KeyError, TypeError, ValueError) as error:
            # One event that the shop cannot read must not keep it from the others.
            log.warning("an event is passed over, because %r is missing or wrong: %s", error, event)

    def reconcile(self) -> None:
        """Find what a crash, a lost webhook or a silent provider left open. Raises OSError: then again later."""
        for order in self._store.undecided():
            self.decide(order.order_id)
        if self._office is not None:
            self._read_feed(self._office)
            self.settle_refunds(self._office)

    def settle_refunds(self, office: Office) -> None:
        """Send back what the engine says is due, for returns for example, and report what was never taken."""
        for refund in office.due_refunds():
            try:
                self._settle(office, refund)
            except (OSError, PaymentError) as error:
                # One refund that cannot be sent must not keep the others from their buyers; it stays due for the next round.
                log.warning("refund %s waits: %s", refund["refundId"], error)

    def _settle(self, office: Office, refund: Json) -> None:
        order, payment_id = self._store.get(refund["orderId"]), str(refund["paymentId"])
        if order and payment_id == order.payment_id and order.payment in ("captured", "authorised"):
            self._release(order)
        # A payment that the shop does not know is left to a person.
        if self._store.was_released(payment_id):
            office.mark_sent(refund["refundId"], payment_id)

    def _read_feed(self, office: Office) -> None:
        """Apply the engine's events since the last time."""
        while True:
            before = self._store.feed_position()
            events, after = office.events(before)
            for event in events:
                self.apply(event)
            if after == before or not events:
                return
            self._store.set_feed_position(after)

    def _release(self, order: Order) -> None:
        # Written down last, so that what fails in between is repeated.
        self._provider.release(order)
        self._store.set_released(order.order_id, order.payment_id)

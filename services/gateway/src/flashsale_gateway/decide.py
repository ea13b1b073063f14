"""The one way from a batch to its decisions: choose the outbox, have the store call the script, publish its entries, count.

A payment, and an order of a confirmed sale, is answered only after the broker's confirm of its entry (decision 0033).

The batchers call this, and the endpoints answer with its results.
"""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import chain
from time import monotonic, perf_counter
from typing import TypeGuard

from flashsale_core.orders import RESTOCKED
from flashsale_core.records import Entry
from flashsale_core.scripts import ROUTING_KEY, STATE, STATUS, Cancel, Order, Payment, Return
from flashsale_gateway import metrics
from flashsale_gateway.batching import Answers, Batch
from flashsale_gateway.errors import GatewayError, OutcomeUnknown, Unconfirmed
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.provisional import Confirm, Provisional
from flashsale_gateway.sale_counters import SaleCounters
from flashsale_gateway.store import Result, Store

RETURNED = frozenset({"returned", "replayed"})
"""The results of orders that are returned, now or before."""


class Decisions:
    def __init__(self, store: Store, outbox: DirectOutbox, counters: SaleCounters) -> None:
        self._store = store
        self._outbox = outbox
        self._counters = counters

    async def reserve(self, sales: Batch[Order]) -> Answers[Result | Provisional[Result]]:
        """One result per order, see Store.reserve. The sales are of one lane. Raises StoreUnavailable and OutcomeUnknown.

        Orders of confirmed sales have provisional results, and an unknown outcome if the confirm does not come in time.
        """
        metrics.BATCH_ORDERS.observe(sum(len(orders) for _, orders in sales))
        direct, started = self._outbox.ready, monotonic()
        with self._outbox.orders.calling():
            answers, entries = await self._store.reserve(sales, direct=direct)
            self._counters.count(_by_sale(sales, answers), perf_counter())
            # Entries of the shared outbox are the relays' to publish.
            return self._publish(answers, entries, started) if direct else answers

    async def settle(self, sales: Batch[Payment]) -> Answers[Result | Provisional[Result]]:
        """One result per payment, see Store.settle. The sales are of one lane. Raises StoreUnavailable and OutcomeUnknown.

        Each result is provisional until the broker has confirmed the entry; without a broker its place has Unconfirmed.
        """
        direct, started = self._outbox.ready, monotonic()
        with self._outbox.payments.calling():
            answers, entries = await self._store.settle(sales, direct=direct)
            unconfirmed = Unconfirmed()
            if not direct or not entries:
                return [answer if isinstance(answer, Exception) else unconfirmed for answer in answers]
            # All payments of a call are in one entry, because they have the same routing key.
            confirm = self._outbox.confirm(entries[0], started)
        return [answer if isinstance(answer, Exception) else Provisional(answer, confirm, unconfirmed) for answer in answers]

    async def return_orders(self, sales: Batch[Return]) -> Answers[Result | Provisional[Result]]:
        """One result per order, see Store.return_orders, or the error of its sale; as in `settle`, a return waits for the confirm."""
        answers = await asyncio.gather(*[self._return_orders(sale_id, orders) for sale_id, orders in sales])
        return list(chain.from_iterable(answers))

    async def _return_orders(self, sale_id: str, orders: Sequence[Return]) -> Answers[Result | Provisional[Result]]:
        direct, started = self._outbox.ready, monotonic()
        try:
            answers, entries = await self._store.return_orders(sale_id, orders, direct=direct)
        except GatewayError as error:
            return [error] * len(orders)
        confirm = self._outbox.confirm(entries[0], started) if direct and entries else None
        return [_confirmed_return(answer, confirm) for answer in answers]

    async def cancel(self, sales: Batch[Cancel]) -> Answers[Result]:
        """One result per order, see Store.cancel, or the error of its sale. A call for each sale: few orders are cancelled."""
        return list(chain.from_iterable(await asyncio.gather(*[self._cancel(sale_id, cancels) for sale_id, cancels in sales])))

    async def _cancel(self, sale_id: str, cancels: Sequence[Cancel]) -> Answers[Result]:
        try:
            return await self._store.cancel(sale_id, cancels)
        except GatewayError as error:
            return [error] * len(cancels)

    def _publish(self, answers: Answers[Result], entries: Sequence[Entry], started: float) -> Answers[Result | Provisional[Result]]:
        """Publish entries of the direct outbox. Results that name a routing key become provisional: they wait for its entry."""
        awaited = {answer[ROUTING_KEY] for answer in answers if not isinstance(answer, Exception) and len(answer) > ROUTING_KEY}
        confirms = {}
        for entry in entries:
            if entry.routing_key in awaited:
                confirms[entry.routing_key] = self._outbox.confirm(entry, started)
            else:
                self._outbox.send(entry)
        # A replay of an fsync sale by the other id has an empty one.
        awaited.discard("")
        if not awaited:
            return answers
        unknown = OutcomeUnknown()
        return [Provisional(answer, confirms[answer[ROUTING_KEY]], unknown) if _waits(answer) else answer for answer in answers]


def _confirmed_return(answer: Result | Exception, confirm: Confirm | None) -> Result | Exception | Provisional[Result]:
    """A refusal is final at once, and so is a return whose units are for sale again: they have no entry."""
    if isinstance(answer, Exception) or answer[STATUS] not in RETURNED or answer[STATE] == RESTOCKED:
        return answer
    return Provisional(answer, confirm, Unconfirmed()) if confirm is not None else Unconfirmed()


def _waits(answer: Result | Exception) -> TypeGuard[Result]:
    return not isinstance(answer, Exception) and len(answer) > ROUTING_KEY and answer[ROUTING_KEY] != ""


def _by_sale(sales: Batch[Order], answers: Answers[Result]) -> Iterator[tuple[str, list[Result]]]:
    """Each sale with the results of its orders. A sale whose data is broken has no results, and is left out."""
    last = 0
    for sale_id, orders in sales:
        first, last = last, last + len(orders)
        results = [answer for answer in answers[first:last] if not isinstance(answer, Exception)]
        if results:
            yield sale_id, results

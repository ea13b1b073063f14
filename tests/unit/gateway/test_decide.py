"""The way from a batch to its decisions: which outbox is chosen, what is published and what is counted."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry, Counter

from flashsale_core.records import Entry
from flashsale_core.scripts import Cancel, Order, Payment
from flashsale_gateway.decide import Decisions
from flashsale_gateway.errors import OutcomeUnknown, StoreUnavailable, Unconfirmed
from flashsale_gateway.outbox.direct import DirectOutbox
from flashsale_gateway.provisional import Provisional
from flashsale_gateway.sale_counters import SaleCounters
from flashsale_gateway.store import Decided, Result, Store

ORDER, PAYMENT = Order("o1", "ann", 1), Payment("o1", "p1", "succeeded", 100, "EUR")
ACCEPTED: Result = ["accepted", "R", 1_800_000_000_000]
ENTRY = Entry("fs:{0}:direct", "1-0", "order.reserved.60", b"{}")
OTHER_ENTRY = Entry("fs:{0}:direct", "2-0", "order.reserved.300", b"{}")
CONFIRMED: Result = [*ACCEPTED, 0, OTHER_ENTRY.routing_key]
BROKEN = StoreUnavailable("total is not a number")


class MemoryStore:
    """Accepts all orders and payments of a sale, unless it is named `broken`. The sale `confirmed` has that durability.

    A call for several sales has two entries, of which the second is that of the confirmed sale.
    """

    def __init__(self) -> None:
        self.direct: list[bool] = []
        """The outbox of each call."""

    async def reserve(self, sales: Sequence[tuple[str, Sequence[Any]]], *, direct: bool) -> Decided:
        self.direct.append(direct)
        results = {"broken": BROKEN, "confirmed": CONFIRMED if direct else ["broker_away"]}
        entries = [ENTRY, OTHER_ENTRY] if direct and len(sales) > 1 else [ENTRY]
        return Decided([results.get(sale_id, ACCEPTED) for sale_id, items in sales for _ in items], entries)

    settle = reserve

    async def cancel(self, sale_id: str, cancels: Sequence[Cancel]) -> list[Result]:
        if sale_id == "broken":
            raise BROKEN
        return [["cancelled", 1, 0] for _ in cancels]


class MemoryPrompt:
    """Notes how many entries the outbox had when each call of its kind began and ended."""

    def __init__(self, sent: Sequence[Entry]) -> None:
        self._sent = sent
        self.calls: list[tuple[int, int]] = []

    @contextmanager
    def calling(self) -> Iterator[None]:
        before = len(self._sent)
        yield
        self.calls.append((before, len(self._sent)))


class MemoryOutbox:
    def __init__(self, ready: bool) -> None:
        self.ready = ready
        self.sent: list[Entry] = []
        self.orders, self.payments = MemoryPrompt(self.sent), MemoryPrompt(self.sent)
        self.awaited: list[Entry] = []
        self.confirms: list[asyncio.Future[bool]] = []

    def send(self, entry: Entry) -> None:
        self.sent.append(entry)

    def confirm(self, entry: Entry, since: float) -> asyncio.Future[bool]:
        self.sent.append(entry)
        self.awaited.append(entry)
        self.confirms.append(asyncio.get_running_loop().create_future())
        return self.confirms[-1]


class Gateway:
    def __init__(self, ready: bool = True) -> None:
        self.store, self.outbox, self.registry = MemoryStore(), MemoryOutbox(ready), CollectorRegistry()
        counters = SaleCounters(Counter("orders", "", ["sale", "outcome"], registry=self.registry), 10)
        self.decisions = Decisions(cast("Store", self.store), cast("DirectOutbox", self.outbox), counters)

    def counted(self, sale_id: str) -> float | None:
        return self.registry.get_sample_value("orders_total", {"sale": sale_id, "outcome": "accepted"})


@pytest.mark.parametrize("ready", [True, False], ids=["broker up", "broker away"])
async def test_only_entries_of_the_direct_outbox_are_published(ready: bool) -> None:
    gateway = Gateway(ready)
    await gateway.decisions.reserve([("shoe", [ORDER])])
    await gateway.decisions.settle([("shoe", [PAYMENT])])
    assert (gateway.store.direct, gateway.outbox.sent) == ([ready] * 2, [ENTRY] * 2 if ready else [])


async def test_calls_are_announced_by_kind_until_their_entries_wait() -> None:
    gateway = Gateway()
    await gateway.decisions.reserve([("shoe", [ORDER]), ("confirmed", [ORDER])])
    await gateway.decisions.settle([("shoe", [PAYMENT])])
    assert (gateway.outbox.orders.calls, gateway.outbox.payments.calls) == ([(0, 2)], [(2, 3)])


async def test_payments_of_a_call_wait_for_the_confirm_of_their_entry() -> None:
    gateway = Gateway()
    first, error, second = await gateway.decisions.settle([("shoe", [PAYMENT]), ("broken", [PAYMENT]), ("hat", [PAYMENT])])
    assert isinstance(first, Provisional)
    assert isinstance(second, Provisional)
    assert ([first.confirm, second.confirm], error) == (gateway.outbox.confirms * 2, BROKEN)
    gateway.outbox.confirms[0].set_result(True)
    assert (first.final(), second.final()) == (ACCEPTED, ACCEPTED)


@pytest.mark.parametrize("confirmed", [True, False])
async def test_orders_of_a_confirmed_sale_wait_for_their_entry_and_others_do_not(confirmed: bool) -> None:
    gateway = Gateway()
    first, error, second = await gateway.decisions.reserve([("shoe", [ORDER]), ("broken", [ORDER]), ("confirmed", [ORDER])])
    assert (first, error, gateway.outbox.sent, gateway.outbox.awaited) == (ACCEPTED, BROKEN, [ENTRY, OTHER_ENTRY], [OTHER_ENTRY])
    assert isinstance(second, Provisional)
    gateway.outbox.confirms[0].set_result(confirmed)
    assert second.final() == CONFIRMED if confirmed else isinstance(second.final(), OutcomeUnknown)
    assert gateway.counted("confirmed") == 1


async def test_confirmed_sale_is_refused_at_once_while_the_broker_is_away() -> None:
    gateway = Gateway(ready=False)
    assert await gateway.decisions.reserve([("confirmed", [ORDER]), ("shoe", [ORDER])]) == [["broker_away"], ACCEPTED]
    assert gateway.outbox.sent == []


async def test_payments_are_unconfirmed_at_once_while_the_broker_is_away() -> None:
    answers = await Gateway(ready=False).decisions.settle([("shoe", [PAYMENT]), ("broken", [PAYMENT])])
    assert [type(answer) for answer in answers] == [Unconfirmed, StoreUnavailable]


async def test_broken_sale_keeps_its_error_and_is_not_counted() -> None:
    gateway = Gateway()
    answers = await gateway.decisions.reserve([("shoe", [ORDER, ORDER]), ("broken", [ORDER]), ("hat", [ORDER])])
    assert answers == [ACCEPTED, ACCEPTED, BROKEN, ACCEPTED]
    assert [gateway.counted(sale_id) for sale_id in ("shoe", "broken", "hat")] == [2, None, 1]


async def test_cancellations_of_a_failing_sale_fail_alone() -> None:
    answers = await Gateway().decisions.cancel([("broken", [Cancel("o1"), Cancel("o2")]), ("shoe", [Cancel("o3")])])
    assert answers == [BROKEN, BROKEN, ["cancelled", 1, 0]]

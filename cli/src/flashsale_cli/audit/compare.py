"""Compares the stores: facts in, differences out. No clock, no client."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import chain

from flashsale_cli.audit.differences import Difference, Kind
from flashsale_cli.audit.facts import Counters, LedgerOrder, LedgerSale, Money, OrderTotals, TotalsByState, Violations
from flashsale_core.orders import State
from flashsale_core.records import OrderRecord

HOLDING = frozenset({State.RESERVED, State.PAID})
"""The states in which an order counts against its buyer's limit."""


def compare_counters(counters: Counters, redis: TotalsByState) -> Iterator[Difference]:
    """Compare the sale's counters with each other and with the sums of its orders, and the terms of its orders with its definition."""
    sale, known = counters.sale_id, counters.available + counters.reserved + counters.sold
    if counters.total != known:
        parts = f"available {counters.available} + reserved {counters.reserved} + sold {counters.sold} = {known}"
        yield Difference(Kind.COUNTERS_UNBALANCED, sale, f"total {counters.total}, but {parts}")
    for name in ("total", "available", "reserved", "sold"):
        if getattr(counters, name) < 0:
            yield Difference(Kind.COUNTER_NEGATIVE, sale, f"{name} is {getattr(counters, name)}")
    reserved, paid = _units(redis, State.RESERVED), _units(redis, State.PAID)
    if counters.reserved != reserved:
        yield Difference(Kind.RESERVED_UNITS, sale, f"the sale counts {counters.reserved} reserved, its orders hold {reserved}")
    if counters.sold != paid:
        yield Difference(Kind.SOLD_UNITS, sale, f"the sale counts {counters.sold} sold, its paid orders have {paid}")
    if reserved + paid > counters.total:
        yield Difference(Kind.OVERSOLD, sale, f"orders have {reserved + paid} units, the sale has {counters.total}")
    if counters.stale_terms:
        fields = ", ".join(counters.stale_terms)
        yield Difference(Kind.TERMS_STALE, sale, f"orders are decided with other values of {fields}; define the sale again to correct them")


def compare_orders(
    counters: Counters,
    redis: Mapping[str, OrderRecord],
    ledger: Mapping[str, LedgerOrder],
    deadlines: Mapping[str, int],
    overdue_before_ms: int,
) -> Iterator[Difference]:
    """Compare a page of the sale's orders in Redis with the same orders in the ledger and with their deadlines."""
    for order_id, record in redis.items():
        name = f"{counters.sale_id}.{order_id}"
        yield from _compare_order(name, record, ledger.get(order_id))
        yield from _compare_deadline(name, record, deadlines.get(order_id), overdue_before_ms)


def _compare_order(name: str, record: OrderRecord, row: LedgerOrder | None) -> Iterator[Difference]:
    if row is None:
        yield Difference(Kind.ORDER_MISSING_IN_LEDGER, name, f"{record.state} in Redis, not in the ledger")
        return
    pairs: dict[str, tuple[object, object]] = {
        "state": (record.state, row.state),
        "user": (record.user_id, row.user_id),
        "quantity": (record.quantity, row.quantity),
    }
    if record.state is State.PAID:
        pairs["payment"] = (record.payment_id, row.payment_id)
    for field, (in_redis, in_ledger) in pairs.items():
        if in_redis != in_ledger:
            yield Difference(Kind.ORDER_DIFFERS, name, f"{field} is {in_redis} in Redis, {in_ledger} in the ledger")


def _compare_deadline(name: str, record: OrderRecord, deadline_ms: int | None, overdue_before_ms: int) -> Iterator[Difference]:
    if record.state is not State.RESERVED:
        return
    if deadline_ms is None:
        yield Difference(Kind.DEADLINE_MISSING, name, "reserved, but without a deadline")
    elif deadline_ms != record.deadline_ms:
        yield Difference(Kind.DEADLINE_DIFFERS, name, f"its deadline is {record.deadline_ms}, the list of deadlines has {deadline_ms}")
    if record.deadline_ms < overdue_before_ms:
        yield Difference(
            Kind.OVERDUE, name, f"still reserved, due {(overdue_before_ms - record.deadline_ms) / 1000:.1f} s before the grace began"
        )


def compare_deadlines(sale_id: str, members: Mapping[str, int], redis: Mapping[str, OrderRecord]) -> Iterator[Difference]:
    """Compare a page of a sale's deadlines with the orders that they name."""
    for order_id in members:
        record = redis.get(order_id)
        if record is None or record.state is not State.RESERVED:
            state = record.state if record is not None else "unknown"
            yield Difference(Kind.DEADLINE_WITHOUT_HOLD, f"{sale_id}.{order_id}", f"a deadline of an order that is {state}")


def compare_buyers(sale_id: str, expected: Mapping[str, int], noted: Mapping[str, int]) -> Iterator[Difference]:
    """Compare the units that each buyer has in orders with the units that the sale counts for its limit."""
    for user in sorted({*expected, *noted}):
        orders, count = expected.get(user, 0), noted.get(user, 0)
        if orders != count:
            yield Difference(Kind.BUYER_UNITS, f"{sale_id} {user}", f"orders have {orders} units, the sale counts {count}")


def compare_missing(sale_id: str, ledger: Mapping[str, LedgerOrder], redis: Iterable[str]) -> Iterator[Difference]:
    """Compare a page of the ledger's orders with the ids among them that are in Redis."""
    for order_id in sorted(ledger.keys() - set(redis)):
        yield Difference(Kind.ORDER_MISSING_IN_REDIS, f"{sale_id}.{order_id}", f"{ledger[order_id].state} in the ledger, not in Redis")


def compare_ledger(counters: Counters, redis: TotalsByState, ledger: LedgerSale) -> Iterator[Difference]:
    """Compare the ledger's row and sums of the sale with those of Redis, and the ledger's history with its orders."""
    sale = counters.sale_id
    if ledger.total is None:
        yield Difference(Kind.SALE_MISSING_IN_LEDGER, sale, "the ledger has no such sale")
    elif (ledger.total, ledger.state) != (counters.total, counters.state):
        words = f"{counters.total} units and {counters.state} in Redis, {ledger.total} units and {ledger.state} in the ledger"
        yield Difference(Kind.SALE_DIFFERS, sale, words)
    for state in State:
        ours, theirs = redis.get(state, OrderTotals()), ledger.sums.get(state, OrderTotals())
        if ours != theirs:
            yield Difference(Kind.LEDGER_SUMS, sale, f"{state}: {_words(ours)} in Redis, {_words(theirs)} in the ledger")
    holding = sum(_units(ledger.sums, state) for state in HOLDING)
    if holding > counters.total:
        yield Difference(Kind.LEDGER_OVERSOLD, sale, f"the ledger's orders have {holding} units, the sale has {counters.total}")
    if ledger.peak_units is not None and ledger.peak_units > counters.total:
        yield Difference(Kind.LEDGER_OVERSOLD, sale, f"{ledger.peak_units} units were held or sold at once, the sale has {counters.total}")
    yield from _named(Kind.HISTORY_MISSING, sale, ledger.without_reserved_event, "the history has no hold for this order")
    yield from _named(Kind.HISTORY_DIFFERS, sale, ledger.with_other_history, "the history does not lead to the order's state")


def compare_money(sale_id: str, money: Money) -> Iterator[Difference]:
    paid_twice, stray = money.paid_orders_with_many_payments, money.payments_without_paid_order
    yield from _named(Kind.PAID_WITHOUT_PAYMENT, sale_id, money.paid_orders_without_payment, "paid, but without a payment")
    yield from _named(Kind.PAID_TWICE, sale_id, paid_twice, "paid by more than one payment")
    yield from _named(Kind.PAYMENT_WITHOUT_ORDER, sale_id, stray, "a payment was kept, but its order is not paid")
    yield from _named(Kind.REFUND_MISSING, sale_id, money.due_without_refund, "a refund is due, but it has no row in refunds")
    yield from _named(
        Kind.REFUND_WITHOUT_PAYMENT, sale_id, money.refunds_without_payment, "a refund without a payment, or for a payment that was kept"
    )
    for currency in sorted({*chain(money.received_minor, money.kept_minor, money.refunds_minor)}):
        received, kept = money.received_minor.get(currency, 0), money.kept_minor.get(currency, 0)
        refunds = money.refunds_minor.get(currency, 0)
        if received != kept + refunds:
            words = f"{received} {currency} received, but {kept} kept for orders and {refunds} in refunds"
            yield Difference(Kind.MONEY_UNBALANCED, sale_id, words)


def compare_outbox(lengths: Mapping[str, int]) -> Iterator[Difference]:
    for stream, length in lengths.items():
        if length:
            yield Difference(Kind.OUTBOX_WAITING, stream, f"{length} entries are not published yet")


def compare_accepted(accepted: Iterable[str], known: Iterable[str]) -> Iterator[Difference]:
    """Compare the orders that clients received with those that exist."""
    for order in sorted(set(accepted) - set(known)):
        yield Difference(Kind.ACCEPTED_MISSING, order, "a client received it as accepted, but it does not exist")


def _units(sums: TotalsByState, state: State) -> int:
    return sums.get(state, OrderTotals()).units


def _words(total: OrderTotals) -> str:
    return f"{total.orders} orders of {total.units} units"


def _named(kind: Kind, sale_id: str, named: Violations, detail: str) -> Iterator[Difference]:
    """One difference for each name, and one for all rows that are only counted."""
    for name in named.names:
        yield Difference(kind, f"{sale_id} {name}".strip(), detail)
    if named.count > len(named.names):
        yield Difference(kind, sale_id, f"{detail} (and more)", named.count - len(named.names))

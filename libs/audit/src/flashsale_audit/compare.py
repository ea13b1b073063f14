"""Compares the stores: facts in, differences out. No clock, no client."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from flashsale_audit.differences import Difference, Kind
from flashsale_audit.facts import Counters, History, LedgerOrder, Money, OrderTotals, Released, TotalsByState, Violations
from flashsale_audit.records import PageRecord
from flashsale_core.orders import WAS_PAID, State, supersedes
from flashsale_core.records import OrderRecord

Record = PageRecord | OrderRecord

REMEMBERED_MAX = 16
"""How many refunded payments an order remembers (lua/settle.lua)."""
HOLDING = frozenset({State.RESERVED, State.PAID})
"""The states in which an order counts against its buyer's limit."""
RELEASED_STATES = frozenset({State.EXPIRED, State.CANCELLED})


def compare_counters(counters: Counters) -> Iterator[Difference]:
    """Compare the sale's counters with each other, and the terms of its orders with its definition."""
    sale, known = counters.sale_id, counters.available + counters.reserved + counters.sold
    if counters.total != known:
        parts = f"available {counters.available} + reserved {counters.reserved} + sold {counters.sold} = {known}"
        yield Difference(Kind.COUNTERS_UNBALANCED, sale, f"total {counters.total}, but {parts}")
    for name in ("total", "available", "reserved", "sold"):
        if getattr(counters, name) < 0:
            yield Difference(Kind.COUNTER_NEGATIVE, sale, f"{name} is {getattr(counters, name)}")
    if counters.stale_terms:
        fields = ", ".join(counters.stale_terms)
        yield Difference(Kind.TERMS_STALE, sale, f"orders are decided with other values of {fields}; define the sale again to correct them")


def compare_page(
    sale_id: str, records: Mapping[str, Record], unreadable: Iterable[str], deadlines: Mapping[str, int], overdue_before_ms: int
) -> Iterator[Difference]:
    """Compare orders of one look with their deadlines."""
    for order_id in unreadable:
        yield Difference(Kind.RECORD_UNREADABLE, f"{sale_id}.{order_id}", "the record cannot be read")
    for order_id, record in records.items():
        if record.state is State.RESERVED:
            yield from _compare_deadline(f"{sale_id}.{order_id}", record, deadlines.get(order_id), overdue_before_ms)


def differs(record: Record, row: LedgerOrder | None) -> bool:
    """Whether an order in Redis and its row, which were not read at one moment, have to be compared again."""
    if row is None or (record.state, record.user_id, record.quantity) != (row.state, row.user_id, row.quantity):
        return True
    return record.state in WAS_PAID and record.payment_id != row.payment_id


def compare_row(name: str, before: Record, row: LedgerOrder | None, after: Record) -> Iterator[Difference]:
    """Compare a row of the ledger with the order as it was in Redis before and after the row was read.

    The ledger had received by then what Redis contained before. It follows Redis, so its state lies between those two.
    """
    if row is None:
        yield Difference(Kind.ORDER_MISSING_IN_LEDGER, name, f"{before.state} in Redis, not in the ledger")
        return
    pairs: dict[str, tuple[object, object]] = {"user": (after.user_id, row.user_id), "quantity": (after.quantity, row.quantity)}
    if not (_climbs(before.state, row.state) and _climbs(row.state, after.state)):
        pairs = {"state": (after.state, row.state), **pairs}
    if row.state is after.state and row.state in WAS_PAID:
        pairs["payment"] = (after.payment_id, row.payment_id)
    for field, (in_redis, in_ledger) in pairs.items():
        if in_redis != in_ledger:
            yield Difference(Kind.ORDER_DIFFERS, name, f"{field} is {in_redis} in Redis, {in_ledger} in the ledger")


def _climbs(old: State, new: State) -> bool:
    return new is old or supersedes(new, old)


def _compare_deadline(name: str, record: Record, deadline_ms: int | None, overdue_before_ms: int) -> Iterator[Difference]:
    if deadline_ms is None:
        yield Difference(Kind.DEADLINE_MISSING, name, "reserved, but without a deadline")
    elif deadline_ms != record.deadline_ms:
        yield Difference(Kind.DEADLINE_DIFFERS, name, f"its deadline is {record.deadline_ms}, the list of deadlines has {deadline_ms}")
    if record.deadline_ms < overdue_before_ms:
        yield Difference(
            Kind.OVERDUE, name, f"still reserved, due {(overdue_before_ms - record.deadline_ms) / 1000:.1f} s before the grace began"
        )


def without_hold(order_ids: Iterable[str], redis: Mapping[str, Record]) -> list[str]:
    """The orders among those with a deadline that are not reserved, if nothing changed between the reads."""
    return [order_id for order_id in order_ids if order_id not in redis or redis[order_id].state is not State.RESERVED]


def compare_deadlines(
    sale_id: str, deadlines: Iterable[str], records: Mapping[str, Record], unreadable: Iterable[str]
) -> Iterator[Difference]:
    """Compare the orders of a look that have a deadline with their records."""
    broken = set(unreadable)
    for order_id in without_hold(deadlines, records):
        state = records[order_id].state if order_id in records else "unreadable" if order_id in broken else "unknown"
        yield Difference(Kind.DEADLINE_WITHOUT_HOLD, f"{sale_id}.{order_id}", f"a deadline of an order that is {state}")


def compare_sales(in_ledger: Iterable[str], in_redis: Iterable[str]) -> list[Difference]:
    """Compare the sales that the ledger has with those of Redis."""
    words = "the ledger has it, Redis has not"
    return [Difference(Kind.SALE_MISSING_IN_REDIS, sale_id, words) for sale_id in sorted(set(in_ledger) - set(in_redis))]


def compare_missing(sale_id: str, ledger: Mapping[str, LedgerOrder], redis: Iterable[str]) -> Iterator[Difference]:
    """Compare a page of the ledger's orders with the ids among them that are in Redis."""
    for order_id in sorted(ledger.keys() - set(redis)):
        yield Difference(Kind.ORDER_MISSING_IN_REDIS, f"{sale_id}.{order_id}", f"{ledger[order_id].state} in the ledger, not in Redis")


def compare_remembered(sale_id: str, refunds: Iterable[tuple[str, str]]) -> Iterator[Difference]:
    """Name orders and payments that Redis remembers as refunded, and that the ledger does not have."""
    for order_id, payment_id in refunds:
        words = f"it remembers payment {payment_id} as refunded, the ledger has no such payment"
        yield Difference(Kind.REFUND_DIFFERS, f"{sale_id}.{order_id}", words)


def compare_forgotten(
    sale_id: str, refunds: Iterable[tuple[str, str]], records: Mapping[str, Record], refunded: Mapping[str, Sequence[str]]
) -> Iterator[Difference]:
    """Compare orders and payments that the ledger refunded with the orders of a later look."""
    for order_id, payment_id in refunds:
        remembered = refunded.get(order_id, ())
        # An order that is not there is another difference, and one that remembers this number remembers no further payment.
        is_known = order_id not in records or payment_id in (records[order_id].payment_id, *remembered)
        if not is_known and len(remembered) < REMEMBERED_MAX:
            words = f"the ledger refunds payment {payment_id}, the order in Redis does not remember that"
            yield Difference(Kind.REFUND_DIFFERS, f"{sale_id}.{order_id}", words)


def compare_released(
    sale_id: str, before: Mapping[str, int], rows: Mapping[str, Released], after: Mapping[str, int]
) -> Iterator[Difference]:
    """Compare the released orders that the ledger has of each buyer with what Redis counted before and after it was read.

    The ledger had received by then what Redis counted before, and a count only rises.
    """
    for user, row in rows.items():
        if before[user] > row.most or after[user] < row.least:
            words = f"the sale counts {after[user]} released orders, the ledger {row.least}"
            yield Difference(Kind.BUYER_RELEASED, f"{sale_id} {user}", words)


def compare_definition(counters: Counters, ledger: Mapping[str, str] | None) -> Iterator[Difference]:
    """Compare the ledger's row of the sale, None if it has none, with the sale in Redis."""
    if ledger is None:
        yield Difference(Kind.SALE_MISSING_IN_LEDGER, counters.sale_id, "the ledger has no such sale")
        return
    generation = counters.definition["generation"]
    for field, in_redis in counters.definition.items():
        if in_redis != ledger[field]:
            # A value may return in a later generation: that is another difference.
            words = f"{field} is {in_redis or 'empty'} in Redis, {ledger[field] or 'empty'} in the ledger (generation {generation})"
            yield Difference(Kind.SALE_DIFFERS, counters.sale_id, words)


def compare_totals(counters: Counters, redis: TotalsByState, ledger: TotalsByState, waiting: Sequence[str] = ()) -> Iterator[Difference]:
    """Compare the sums of the sale's orders in both stores, which must have been read while nothing moved.

    `waiting` are some of the returned orders whose units wait to be for sale again.
    """
    for state in State:
        ours, theirs = redis.get(state, OrderTotals()), ledger.get(state, OrderTotals())
        if (ours.orders, ours.units) != (theirs.orders, theirs.units) or ours.sold < theirs.sold:
            yield Difference(Kind.LEDGER_SUMS, counters.sale_id, f"{state}: {_words(ours)} in Redis, {_words(theirs)} in the ledger")
        elif ours.sold > theirs.sold:
            # Their return was answered 503 and not repeated, or a failover lost `restock`, which has no position that would show it.
            names = ", ".join(f"{counters.sale_id}.{order_id}" for order_id in waiting)
            words = f"{ours.sold - theirs.sold} units of returned orders are not for sale again; repeat the return of {names or 'each'}"
            yield Difference(Kind.LEDGER_SUMS, counters.sale_id, words)
    holding = ledger.get(State.RESERVED, OrderTotals()).units + sum(total.sold for total in ledger.values())
    if holding > counters.total:
        words = f"the ledger's orders have {holding} units, the sale has {counters.total}"
        yield Difference(Kind.LEDGER_OVERSOLD, counters.sale_id, words)


def compare_history(sale_id: str, history: History) -> Iterator[Difference]:
    """Compare the ledger's history with its orders."""
    yield from _named(Kind.HISTORY_MISSING, sale_id, history.without_reserved_event, "the history has no hold for this order")
    yield from _named(Kind.HISTORY_DIFFERS, sale_id, history.with_other_history, "the history does not lead to the order's state")


def compare_money(sale_id: str, money: Money) -> Iterator[Difference]:
    paid_twice, stray = money.paid_orders_with_many_payments, money.payments_without_paid_order
    yield from _named(Kind.PAID_WITHOUT_PAYMENT, sale_id, money.paid_orders_without_payment, "paid, but without a payment")
    yield from _named(Kind.PAID_TWICE, sale_id, paid_twice, "paid by more than one payment")
    yield from _named(Kind.PAYMENT_WITHOUT_ORDER, sale_id, stray, "a payment was kept, but its order is not paid")
    yield from _named(Kind.REFUND_MISSING, sale_id, money.due_without_refund, "a refund is due, but it has no row in refunds")
    yield from _named(
        Kind.REFUND_WITHOUT_PAYMENT, sale_id, money.refunds_without_payment, "a refund without a payment, or for a payment that was kept"
    )
    yield from _named(Kind.REFUND_OVERPAID, sale_id, money.refunds_overpaid, "more was paid back than was due")
    for currency in sorted({*chain(money.received_minor, money.kept_minor, money.refunds_minor)}):
        received, kept = money.received_minor.get(currency, 0), money.kept_minor.get(currency, 0)
        refunds = money.refunds_minor.get(currency, 0)
        if received != kept + refunds:
            words = f"{received} {currency} received, but {kept} kept for orders and {refunds} in refunds"
            yield Difference(Kind.MONEY_UNBALANCED, sale_id, words)


def compare_outbox(lengths: Mapping[str, int], waiting_seconds: float) -> Iterator[Difference]:
    """Name the outboxes whose oldest entry was there `waiting_seconds` ago."""
    for stream, length in lengths.items():
        words = f"{length} entries are not published yet, the oldest for more than {waiting_seconds:g} s"
        yield Difference(Kind.OUTBOX_WAITING, stream, words)


def compare_accepted(accepted: Iterable[str], known: Iterable[str]) -> Iterator[Difference]:
    """Compare the orders that clients received with those that exist."""
    for order in sorted(set(accepted) - set(known)):
        yield Difference(Kind.ACCEPTED_MISSING, order, "a client received it as accepted, but it does not exist")


def _words(total: OrderTotals) -> str:
    return f"{total.orders} orders of {total.units} units, {total.sold} sold"


def _named(kind: Kind, sale_id: str, named: Violations, detail: str) -> Iterator[Difference]:
    """One difference for each name, and one for all rows that are only counted."""
    for name in named.names:
        yield Difference(kind, f"{sale_id} {name}".strip(), detail)
    if named.count > len(named.names):
        yield Difference(kind, sale_id, f"{detail} (and more)", named.count - len(named.names))

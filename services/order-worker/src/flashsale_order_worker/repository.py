"""The ledger in Postgres. All rows of a batch are written in one transaction."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import msgspec

from flashsale_core import crash
from flashsale_core.entry_ranges import EntryRange
from flashsale_core.errors import Rejected
from flashsale_core.ledger_locks import RECEIVING
from flashsale_core.named_queries import named_queries
from flashsale_core.orders import State
from flashsale_ledger import ROW_ERRORS, SERVER_ERRORS, LedgerPool, refuse_read_only
from flashsale_ledger.late_entries import LateEntriesError, late_positions
from flashsale_order_worker import metrics
from flashsale_order_worker.plan import Rows, without_arrivals
from flashsale_order_worker.settings import STATEMENT_CACHE_DEFAULT

SCHEMA_VERSION = 18
"""The migration this release needs."""
CONNECTIONS_MAX = 4
_BEGIN = "select set_config('idle_in_transaction_session_timeout', $1, true), pg_advisory_xact_lock_shared($2)"
_OPEN_REFUNDS = """
    select *, current_setting('transaction_read_only')::bool as read_only from (
        select count(*) filter (where state = 'due') as due, count(*) filter (where state = 'failed') as failed,
               coalesce(extract(epoch from now() - min(created_at) filter (where state = 'due')), 0) as oldest_seconds
          from refunds where state in ('due', 'failed')
    ) as open cross join (
        select count(*) as reported, coalesce(extract(epoch from now() - min(reported_at)), 0) as reported_oldest_seconds
          from reported_refunds
    ) as unasked
"""
Columns = Sequence[Sequence[Any] | None]
Statement = tuple[str, Columns]
"""A statement, and one array for each of its columns."""
_EPOCH = datetime.fromtimestamp(0, UTC)


class OpenRefunds(NamedTuple):
    """The refunds that somebody must still settle."""

    due: int
    failed: int
    oldest_seconds: float
    """The age of the oldest that is due; 0 if none is."""
    reported: int = 0
    """Paid orders whose payment the provider reported as paid back, and that nobody has returned or left as paid."""
    reported_oldest_seconds: float = 0
    """The age of the oldest of these reports; 0 without one."""


class Repository:
    def __init__(
        self,
        database_url: str,
        statement_timeout_seconds: float,
        retry_seconds: float,
        statement_cache: int = STATEMENT_CACHE_DEFAULT,
        installation: str | None = None,
    ) -> None:
        """With a `statement_cache` of 0 no statement outlives its transaction, as a pooler in transaction mode requires.

        With an `installation`, `check_schema` refuses the ledger of another one.
        """
        self._installation = installation
        self._statement_timeout_ms = str(int(statement_timeout_seconds * 1000))
        self._pool = LedgerPool(
            database_url,
            CONNECTIONS_MAX,
            statement_timeout_seconds,
            metrics.DATABASE_UP,
            statement_cache=statement_cache,
            retry_seconds=retry_seconds,
        )

    async def write(self, rows: Rows, *, with_arrivals: bool = True) -> None:
        """Write all rows in one transaction. A repeat changes nothing, except that `received_entries` gets the same ranges again.

        Raises Retryable when Postgres is away, Rejected when it will never accept these rows, and LateEntriesError if an entry is too late.
        Without `with_arrivals` no positions and markers are written.
        """
        new, claimed, rows = only_new(rows), rows.claimed, rows if with_arrivals else without_arrivals(rows)
        try:
            try:
                await self._commit(_prepared(rows, new=new), claimed)
            except asyncpg.UniqueViolationError:
                if not new:
                    raise
                # The batch was delivered before, or another message of an order came first: use the statements that read existing rows.
                metrics.KNOWN_BATCHES.inc()
                await self._commit(_prepared(rows, new=False), claimed)
        except ROW_ERRORS as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        self._pool.reached()

    async def _commit(self, statements: Sequence[Statement], claimed: Sequence[EntryRange]) -> None:
        async with self._pool.transaction() as connection:
            # Postgres does not notice when a worker's machine dies, and its rows stay locked: for two hours, with the kernel's defaults.
            await connection.execute(_BEGIN, self._statement_timeout_ms, RECEIVING)
            if late := await late_positions(connection, claimed):
                raise LateEntriesError(late)
            for statement, columns in statements:
                await connection.execute(statement, *columns)
            crash.point("ledger.written")
        crash.point("ledger.committed")

    async def check_schema(self) -> None:
        """Raises Retryable until the ledger takes writes, has a schema that is new enough for this release, and is this installation's."""
        await self._pool.check(SCHEMA_VERSION, self._installation)

    async def apply_reports(self) -> None:
        """Settle refunds by the provider's reports that their transaction did not see. Raises Retryable when Postgres is away."""
        try:
            await self._commit([(_QUERIES["apply_reports"], [None])], ())
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error

    async def open_refunds(self) -> OpenRefunds:
        """Raises Retryable when Postgres is away."""
        try:
            row = await self._one_row(_OPEN_REFUNDS)
        except SERVER_ERRORS as error:
            raise await self._pool.away(error) from error
        counts = int(row["due"]), int(row["failed"]), float(row["oldest_seconds"])
        return OpenRefunds(*counts, int(row["reported"]), max(0.0, float(row["reported_oldest_seconds"])))

    async def _one_row(self, query: str) -> asyncpg.Record:
        """The single row of an aggregate query. Raises ReadOnlySQLTransactionError if its column `read_only` is true."""
        async with self._pool.transaction() as connection:
            row = await connection.fetchrow(query)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        refuse_read_only(row)
        self._pool.reached()
        return row

    async def close(self) -> None:
        await self._pool.close()


def tables(rows: Rows) -> tuple[str, ...]:
    """The tables that get rows of orders, payments and sales, in the order in which they are written."""
    rows_by_table = {"sales": rows.sales or rows.retired, "orders": rows.orders, "order_events": rows.events, "payments": rows.payments,
               "refunds": rows.refunds, "refund_reports": rows.reports}  # fmt: skip
    return tuple(name for name, its_rows in rows_by_table.items() if its_rows)


def only_new(rows: Rows) -> bool:
    """Whether the batch contains orders, all of them `reserved`.

    Otherwise the whole batch is written by the statements that read existing rows. Two statements for one table would break the order of
    keys in which all workers write its rows, and two workers could deadlock.
    """
    return bool(rows.orders) and all(order.state is State.RESERVED for order in rows.orders.values())


def _prepared(rows: Rows, *, new: bool) -> list[Statement]:
    """The statements that have rows, with an array per column. Raises Rejected for a time that is out of range."""
    try:
        return [(_QUERIES[name], columns) for name, columns in _statements(rows, new=new) if columns]
    except (ValueError, OverflowError) as error:
        raise Rejected(f"{type(error).__name__}: {error}") from error


def _statements(rows: Rows, *, new: bool) -> Iterator[tuple[str, Columns]]:
    """Each statement with an array per column, in the order of the tables and of the rows' keys. Without rows there are no columns."""
    yield "write_sales", _columns(
        (sale, epoch, d.owner, d.generation, d.state, d.total, _maybe_at(d.starts_ms), _maybe_at(d.ends_ms), d.max_per_user,
         d.hold_seconds, d.rate_requests, d.rate_seconds, d.late_payment, _at(d.at), d.max_released, d.base, d.durability, d.price)
        for (sale, epoch), d in sorted(rows.sales.items(), key=_by_key)
    )  # fmt: skip
    yield (
        "write_retired",
        _columns(
            (sale, epoch, r.state, r.total, r.available, r.reserved, r.sold, _at(r.at))
            for (sale, epoch), r in sorted(rows.retired.items(), key=_by_key)
        ),
    )
    yield (
        "write_changes",
        _columns(
            (c.sale_id, c.epoch, _at(c.at_ms), c.change, row.by, msgspec.json.encode(row.terms).decode())
            for c, row in sorted(rows.changes.items(), key=_by_key)
        ),
    )
    if new:
        yield "write_new", _new_columns(rows)
    else:
        yield from _merge_statements(rows)
    payments, refunds = sorted(rows.payments.items(), key=_by_key), sorted(rows.refunds.items(), key=_by_key)
    yield "write_payments", _columns(
        (*key, p.epoch, "failed" if p.line.result == "failed" else "succeeded", p.line.result, p.line.reason, p.line.amount_minor,
         p.line.currency, _at(p.at_ms))
        for key, p in payments
    )  # fmt: skip
    sold = [(key, order) for key, order in sorted(rows.orders.items(), key=_by_key) if order.state in (State.PAID, State.RETURNED)]
    reports = sorted(rows.reports.items(), key=_by_key)
    returned = {order.payment_id for _, order in sold if order.state is State.RETURNED and order.payment_id}
    payment_ids = sorted({key.payment_id for key, _ in refunds} | {key.payment_id for key, _ in reports} | returned)
    refunded = [payment_ids] if payment_ids else []
    yield "lock_refunds", refunded
    yield "void_refunds", _columns(tuple(key) for key, p in payments if p.line.result == "paid")
    yield (
        "write_refunds",
        _columns((*key, p.epoch, p.line.reason, p.line.amount_minor, p.line.currency, _at(p.at_ms)) for key, p in refunds),
    )
    yield "amend_returned_refunds", _columns(key for key, _ in sold)
    yield "write_returned_refunds", _columns(key for key, _ in sold)
    yield "write_reports", _columns((*key, r.amount_minor, r.currency, _at(r.at)) for key, r in reports)
    yield "apply_reports", refunded
    yield "write_received", _columns(rows.received)
    yield "write_markers", _columns((marker, _at(at_ms), rows.consumer) for marker, at_ms in sorted(rows.markers.items()))


def _merge_statements(rows: Rows) -> Iterator[tuple[str, Columns]]:
    """The statements that read existing rows of orders and of their history."""
    yield (
        "write_orders",
        _columns(
            (
                *key,
                o.state.value,
                o.user_id,
                o.quantity,
                _at(o.deadline_ms),
                _maybe_at(o.reserved_at_ms or 0),
                o.payment_id,
                _at(o.at_ms),
                o.restocked,
            )
            for key, o in sorted(rows.orders.items(), key=_by_key)
        ),
    )
    yield (
        "write_events",
        _columns(
            (*key, state.value, _at(e.at_ms), e.message_id, e.by or None) for (key, state), e in sorted(rows.events.items(), key=_by_key)
        ),
    )


def _new_columns(rows: Rows) -> Columns:
    """The columns of write_new: first what the orders of each message share, then each order with the number of its message."""
    numbers: dict[tuple[Any, ...], int] = {}
    lines = []
    for key, order in sorted(rows.orders.items(), key=_by_key):
        head = (key.sale_id, key.epoch, order.deadline_ms, order.at_ms, rows.events[key, State.RESERVED].message_id)
        lines.append((numbers.setdefault(head, len(numbers) + 1), key.order_id, order.user_id, order.quantity))
    heads = ((sale, epoch, _ms(deadline_ms), _ms(at_ms), message_id) for sale, epoch, deadline_ms, at_ms, message_id in numbers)
    return [*_columns(heads), *_columns(lines)]


def _columns(records: Iterable[Sequence[Any]]) -> Columns:
    return list(zip(*records, strict=True))


def _by_key(item: tuple[Any, Any]) -> Any:
    return item[0]


# Cached, because the orders of a message share their times.
@lru_cache(maxsize=1024)
def _at(ms: int) -> datetime:
    # Not fromtimestamp: seconds in a float are some microseconds off in a far year.
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(ms: int) -> int:
    """Check a time that the statement itself converts: asyncpg encodes a number in a fifth of the time of a datetime."""
    # Raises for a time out of range, which Postgres would accept and no reader could display.
    _at(ms)
    return ms


def _maybe_at(ms: int) -> datetime | None:
    return _at(ms) if ms else None


_QUERIES = named_queries((Path(__file__).parent / "queries.sql").read_text())

"""The ledger in Postgres: rows in, one transaction, done."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import asyncpg

from flashsale_core.errors import Rejected, Retryable
from flashsale_core.faults import Server, describe_error
from flashsale_core.orders import State
from flashsale_order_worker import metrics
from flashsale_order_worker.plan import Rows
from flashsale_order_worker.settings import STATEMENT_CACHE_DEFAULT

SCHEMA_VERSION = 3
"""The migration this release needs."""
CONNECTIONS_MAX = 4
IDLE_SECONDS = 60.0
"""A connection that rests longer is closed: load balancers and NAT forget one after 240 s or more, without a word to either end."""
_SCHEMA = "select max(version), current_setting('transaction_read_only')::bool from schema_migrations"
_REFUNDS_DUE = "select count(*), coalesce(extract(epoch from now() - min(created_at)), 0) from refunds where state = 'due'"
Columns = Sequence[Sequence[Any]]
Statement = tuple[str, Columns]
"""A statement and the array of each of its columns."""
_EPOCH = datetime.fromtimestamp(0, UTC)
# Errors that speak of the rows (SQLSTATE classes 22, 23 and 54; asyncpg says 22 too of what does not fit a column's type).
_OF_THE_ROWS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError, asyncpg.ProgramLimitExceededError)
# Everything else speaks of the server, its configuration or the moment. A missing grant or database must never park a good message.
_OF_THE_SERVER = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError)


class Repository:
    def __init__(
        self,
        database_url: str,
        statement_timeout_seconds: float,
        retry_seconds: float,
        statement_cache: int = STATEMENT_CACHE_DEFAULT,
    ) -> None:
        """`statement_cache` 0: no statement outlives its transaction, as a pooler in transaction mode asks."""
        self._database_url = database_url
        self._statement_timeout_seconds = statement_timeout_seconds
        self._retry_seconds = retry_seconds
        self._statement_cache = statement_cache
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def write(self, rows: Rows) -> None:
        """Write all rows in one transaction; what is there already stays as it is.

        Raises Retryable when Postgres is away, Rejected when it will never take these rows.
        """
        new = only_new(rows)
        try:
            try:
                await self._commit(_prepared(rows, new=new))
            except asyncpg.UniqueViolationError:
                if not new:
                    raise
                # Delivered before, or another message of the same order came first: the statements that look.
                metrics.KNOWN_BATCHES.inc()
                await self._commit(_prepared(rows, new=False))
        except _OF_THE_ROWS as error:
            raise Rejected(f"{type(error).__name__}: {error}") from error
        except _OF_THE_SERVER as error:
            raise await self._away(error) from error
        metrics.DATABASE_UP.set(1)

    async def _commit(self, statements: "Sequence[Statement]") -> None:
        pool = await self._open()
        async with pool.acquire(timeout=self._statement_timeout_seconds) as connection, connection.transaction():
            # A worker whose machine is gone leaves no trace to Postgres, and its rows locked: for two hours, by the kernel's defaults.
            await connection.execute(f"set local idle_in_transaction_session_timeout = {int(self._statement_timeout_seconds * 1000)}")
            for statement, columns in statements:
                await connection.execute(statement, *columns)

    async def check_schema(self) -> None:
        """Raises Retryable until the schema is as new as this release needs, and takes writes."""
        try:
            version, read_only = await self._one_row(_SCHEMA)
            if read_only:
                raise asyncpg.ReadOnlySQLTransactionError("the ledger's transactions are read-only")
        except asyncpg.UndefinedTableError as error:
            raise Retryable("the ledger has no schema yet; run `flashsale migrate`", self._retry_seconds) from error
        except _OF_THE_SERVER as error:
            raise await self._away(error) from error
        metrics.DATABASE_UP.set(1)
        if (version or 0) < SCHEMA_VERSION:
            raise Retryable(
                f"the ledger's schema is {version}, this release needs {SCHEMA_VERSION}; run `flashsale migrate`", self._retry_seconds
            )

    async def refunds_due(self) -> tuple[int, float]:
        """(how many are due, age of the oldest in seconds). Raises Retryable when Postgres is away."""
        try:
            due, age_seconds = await self._one_row(_REFUNDS_DUE)
        except _OF_THE_SERVER as error:
            raise await self._away(error) from error
        return int(due), float(age_seconds)

    async def _one_row(self, query: str) -> asyncpg.Record:
        """The row of an aggregate."""
        pool = await self._open()
        # In a transaction, although it only reads: between the steps of a statement a pooler may change the connection behind ours.
        async with pool.acquire(timeout=self._statement_timeout_seconds) as connection, connection.transaction():
            row = await connection.fetchrow(query)
        assert row is not None  # noqa: S101 - an aggregate always has a row
        return row

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _away(self, error: BaseException) -> Retryable:
        metrics.DATABASE_UP.set(0)
        if isinstance(error, asyncpg.ReadOnlySQLTransactionError) and self._pool is not None:
            # A primary that became a standby lives on, and so do its connections: the next ones resolve the name again.
            await self._pool.expire_connections()
        return Retryable(describe_error(Server.POSTGRES, error), self._retry_seconds)

    async def _open(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._database_url,
                    min_size=0,
                    max_size=CONNECTIONS_MAX,
                    max_inactive_connection_lifetime=IDLE_SECONDS,
                    timeout=self._statement_timeout_seconds,
                    command_timeout=self._statement_timeout_seconds,
                    statement_cache_size=self._statement_cache,
                )
            return self._pool


def tables(rows: Rows) -> tuple[str, ...]:
    """The tables that get rows, in the order they are written."""
    written = {"sales": rows.sales or rows.retired, "orders": rows.orders, "order_events": rows.events, "payments": rows.payments,
               "refunds": rows.refunds}  # fmt: skip
    return tuple(name for name, found in written.items() if found)


def only_new(rows: Rows) -> bool:
    """Whether nothing but `reserved` is heard of every order.

    One order of another kind, and the batch takes the statements that look: two workers write the rows of one table in the order of
    their keys, which two statements for one table would break, and wait for each other in a circle.
    """
    return bool(rows.orders) and all(order.state is State.RESERVED for order in rows.orders.values())


def _prepared(rows: Rows, *, new: bool) -> list[Statement]:
    """The statements that have rows, with an array per column. Raises Rejected when a time is none."""
    try:
        return [(_QUERIES[name], columns) for name, columns in _statements(rows, new=new) if columns]
    except (ValueError, OverflowError) as error:
        raise Rejected(f"{type(error).__name__}: {error}") from error


def _statements(rows: Rows, *, new: bool) -> Iterator[tuple[str, Columns]]:
    """Each statement with an array per column, in the order of the tables and of the rows' keys; no column where there is no row."""
    yield "write_sales", _columns(
        (sale, epoch, d.owner, d.generation, d.state, d.total, _moment(d.starts_ms), _moment(d.ends_ms), d.max_per_user, d.hold_seconds,
         d.rate_requests, d.rate_seconds, d.late_payment, _at(d.at))
        for (sale, epoch), d in sorted(rows.sales.items(), key=_by_key)
    )  # fmt: skip
    yield (
        "write_retired",
        _columns(
            (sale, epoch, r.state, r.total, r.available, r.reserved, r.sold, _at(r.at))
            for (sale, epoch), r in sorted(rows.retired.items(), key=_by_key)
        ),
    )
    if new:
        yield "write_new", _new_columns(rows)
    else:
        yield (
            "write_orders",
            _columns(
                (*key, o.state.value, o.user_id, o.quantity, _at(o.deadline_ms), _moment(o.reserved_at_ms or 0), o.payment_id, _at(o.at_ms))
                for key, o in sorted(rows.orders.items(), key=_by_key)
            ),
        )
        yield (
            "write_events",
            _columns((*key, state.value, _at(e.at_ms), e.message_id) for (key, state), e in sorted(rows.events.items(), key=_by_key)),
        )
    yield "write_payments", _columns(
        (*key, p.epoch, "failed" if p.line.result == "failed" else "succeeded", p.line.result, p.line.reason, p.line.amount_minor,
         p.line.currency, _at(p.at_ms))
        for key, p in sorted(rows.payments.items(), key=_by_key)
    )  # fmt: skip
    yield "void_refunds", _columns(tuple(key) for key, p in sorted(rows.payments.items(), key=_by_key) if p.line.result == "paid")
    yield (
        "write_refunds",
        _columns(
            (*key, p.epoch, p.line.reason, p.line.amount_minor, p.line.currency, _at(p.at_ms))
            for key, p in sorted(rows.refunds.items(), key=_by_key)
        ),
    )


def _new_columns(rows: Rows) -> Columns:
    """Of write_new: what messages say of all their orders, then each order with the number of its message."""
    numbers: dict[tuple[Any, ...], int] = {}
    lines = []
    for key, order in sorted(rows.orders.items(), key=_by_key):
        head = (key.sale_id, key.epoch, order.deadline_ms, order.at_ms, rows.events[key, State.RESERVED].message_id)
        lines.append((numbers.setdefault(head, len(numbers) + 1), key.order_id, order.user_id, order.quantity))
    heads = ((sale, epoch, _ms(deadline_ms), _ms(at_ms), message_id) for sale, epoch, deadline_ms, at_ms, message_id in numbers)
    return [*_columns(heads), *_columns(lines)]


def _columns(found: Iterable[Sequence[Any]]) -> Columns:
    return list(zip(*found, strict=True))


def _by_key(item: tuple[Any, Any]) -> Any:
    return item[0]


# The orders of a message share their times.
@lru_cache(maxsize=1024)
def _at(ms: int) -> datetime:
    # Not fromtimestamp: seconds in a float are some microseconds off in a far year.
    return _EPOCH + timedelta(milliseconds=ms)


def _ms(ms: int) -> int:
    """For a statement that makes the time itself: asyncpg writes a number in a fifth of the time that it takes for a datetime."""
    # Raises for a time that is none, which Postgres would take and no reader could show.
    _at(ms)
    return ms


def _moment(ms: int) -> datetime | None:
    return _at(ms) if ms else None


def _read_queries(text: str) -> dict[str, str]:
    """The statements of queries.sql by the name above each."""
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


_QUERIES = _read_queries((Path(__file__).parent / "queries.sql").read_text())

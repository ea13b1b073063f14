"""The shop's orders, in SQLite: what it must remember when it crashes."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

_SCHEMA = """
create table if not exists orders (
    order_id text primary key, buyer text not null, quantity integer not null, amount_minor integer not null, currency text not null,
    state text not null, rank integer not null, payment_id text not null, payment text not null);
create table if not exists released (payment_id text primary key);
create table if not exists feed (id integer primary key check (id = 1), after text not null);
"""


class Order(NamedTuple):
    order_id: str
    buyer: str
    quantity: int
    amount_minor: int
    """The price of the whole order."""
    currency: str
    state: str = "reserved"
    """The engine's state, as far as the shop knows it."""
    rank: int = 0
    """The rank of the state: each order climbs, so an event that arrives late or twice changes nothing."""
    payment_id: str = ""
    payment: str = "none"
    """none, authorised, captured or released (the authorisation was cancelled, or the money sent back)."""


class Store:
    def __init__(self, file: str) -> None:
        self._file = file
        with self._open() as database:
            database.executescript(_SCHEMA)

    def add(self, order: Order) -> None:
        """A known order stays as it is."""
        with self._open() as database:
            database.execute("insert into orders values (?, ?, ?, ?, ?, ?, ?, ?, ?) on conflict do nothing", order)

    def get(self, order_id: str) -> Order | None:
        with self._open() as database:
            row = database.execute("select * from orders where order_id = ?", (order_id,)).fetchone()
        return Order(*row) if row else None

    def raise_state(self, order_id: str, state: str, rank: int) -> None:
        """Only a higher state replaces the known one: the engine promises no order of its events."""
        with self._open() as database:
            database.execute("update orders set state = ?, rank = ? where order_id = ? and rank < ?", (state, rank, order_id, rank))

    def set_authorised(self, order_id: str, payment_id: str) -> bool:
        """Whether the order has this authorised payment now; False if another one has been captured or may be."""
        with self._open() as database:
            database.execute(
                "update orders set payment_id = ?, payment = 'authorised' where order_id = ? and payment in ('none', 'released')",
                (payment_id, order_id),
            )
            row = database.execute("select payment_id from orders where order_id = ?", (order_id,)).fetchone()
        return row is not None and row[0] == payment_id

    def set_captured(self, order_id: str, payment_id: str) -> None:
        with self._open() as database:
            database.execute(
                "update orders set payment = 'captured' where order_id = ? and payment_id = ? and payment = 'authorised'",
                (order_id, payment_id),
            )

    def set_released(self, order_id: str, payment_id: str) -> None:
        """The payment's money was not taken, or sent back; it may be a second payment of the order."""
        with self._open() as database:
            database.execute("insert into released values (?) on conflict do nothing", (payment_id,))
            database.execute("update orders set payment = 'released' where order_id = ? and payment_id = ?", (order_id, payment_id))

    def was_released(self, payment_id: str) -> bool:
        with self._open() as database:
            return database.execute("select 1 from released where payment_id = ?", (payment_id,)).fetchone() is not None

    def undecided(self) -> list[Order]:
        """Orders with an authorised payment, of which the shop does not know what the engine decided."""
        with self._open() as database:
            return [Order(*row) for row in database.execute("select * from orders where payment = 'authorised'")]

    def feed_position(self) -> str:
        with self._open() as database:
            row = database.execute("select after from feed").fetchone()
        return str(row[0]) if row else ""

    def set_feed_position(self, after: str) -> None:
        with self._open() as database:
            database.execute("insert into feed values (1, ?) on conflict (id) do update set after = excluded.after", (after,))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        """A transaction. A connection of its own for each, because requests run in several threads."""
        database = sqlite3.connect(self._file, timeout=10, isolation_level="IMMEDIATE")
        try:
            with database:
                yield database
        finally:
            database.close()

"""Reads from the ledger what a rebuild restores. Everything is read in one snapshot, and orders a page at a time."""

import logging
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import asyncpg

from flashsale_core.named_queries import named_queries
from flashsale_core.orders import State
from flashsale_recovery.rebuild.facts import Definition, LedgerOrder, Refund, Stray
from flashsale_recovery.rebuild.report import Orphans

log = logging.getLogger(__name__)
T = TypeVar("T")
PAGE = 1000
SMALL_SALE = 200
"""Sales with up to this number of orders are read together, because most of the time of each would be waiting for an answer."""
SALES_AT_ONCE = 100
STATES = {state.value: state for state in State}


class Units(NamedTuple):
    orders: int = 0
    held: int = 0
    sold: int = 0
    unreserved: int = 0
    """Orders whose `reserved` the ledger never received."""
    returned: int = 0
    restocked: int = 0


class Ledger:
    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[None]:
        """All that is read inside is of one moment."""
        async with self._connection.transaction(isolation="repeatable_read", readonly=True):
            # After a great sale the planner's statistics still show empty tables, and it would read a whole table for each sale.
            await self._connection.execute("set local enable_seqscan = off; set local jit = off")
            yield

    async def definitions(self, *, with_requests: bool = False) -> dict[str, Definition]:
        """The sale with the highest epoch of each name; without the request ids of its changes, which are another read, unless asked."""
        requests = await self._requests() if with_requests else {}
        sales = [Definition(**dict(row)) for row in await self._connection.fetch(_QUERIES["definitions"])]
        return {sale.sale_id: replace(sale, requests=requests.get((sale.sale_id, sale.epoch), "")) for sale in sales}

    async def _requests(self) -> dict[tuple[str, int], str]:
        """The request ids of changes, by sale and epoch. Empty for a role without the right, which an earlier release did not need."""
        try:
            # A transaction of its own inside the snapshot, which goes on if this one fails.
            async with self._connection.transaction():
                rows = await self._connection.fetch(_QUERIES["requests"])
        except asyncpg.InsufficientPrivilegeError:
            log.warning("rebuild.requests_unknown", extra={"reason": "run `flashsale migrate`, which grants the keeper sale_changes"})
            return {}
        return {(row["sale_id"], row["epoch"]): row["requests"] for row in rows}

    async def orphans(self) -> list[Orphans]:
        return [Orphans(*row) for row in await self._connection.fetch(_QUERIES["orphans"])]

    async def units(self, sales: Iterable[Definition]) -> dict[str, Units]:
        """Orders and units of the sales that have any."""
        rows = await self._connection.fetch(_QUERIES["units"], *_keys(sales))
        return {sale_id: Units(*units) for sale_id, *units in rows}

    async def refunds(self, sales: Iterable[Definition]) -> dict[str, dict[str, list[Refund]]]:
        """The refunds of each order, by sale and order id, in the order of their times."""
        refunds: dict[str, dict[str, list[Refund]]] = {}
        for sale_id, order_id, payment_id, reason in await self._connection.fetch(_QUERIES["refunds"], *_keys(sales)):
            refunds.setdefault(sale_id, {}).setdefault(order_id, []).append(Refund(payment_id, reason))
        return refunds

    async def strays(self, since_ms: int) -> list[Stray]:
        return [Stray(*row) for row in await self._connection.fetch(_QUERIES["strays"], since_ms)]

    async def order_pages(self, sale: Definition, query: str = "orders") -> AsyncIterator[list[LedgerOrder]]:
        """All orders of a sale, in pages of at most PAGE. The query `order_states` reads less of each."""
        cursor = await self._connection.cursor(_QUERIES[query], sale.sale_id, sale.epoch)
        while rows := await cursor.fetch(PAGE):
            yield [_order(row) for row in rows]

    async def orders_of(self, sales: Iterable[Definition]) -> dict[str, dict[str, LedgerOrder]]:
        """All orders of small sales at once, by sale and order id."""
        orders: dict[str, dict[str, LedgerOrder]] = {}
        for sale_id, *columns in await self._connection.fetch(_QUERIES["orders_of_sales"], *_keys(sales)):
            orders.setdefault(sale_id, {})[columns[0]] = _order(columns)
        return orders

    async def orders(self, sale: Definition, order_ids: Sequence[str]) -> Mapping[str, LedgerOrder]:
        """The named orders that are in the ledger."""
        rows = await self._connection.fetch(_QUERIES["named_orders"], sale.sale_id, sale.epoch, list(order_ids))
        return {row[0]: _order(row) for row in rows}


def pages(ids: Sequence[T]) -> list[Sequence[T]]:
    """The ids in pieces of at most PAGE."""
    return [ids[start : start + PAGE] for start in range(0, len(ids), PAGE)]


def _order(row: Iterable[Any]) -> LedgerOrder:
    order_id, state, *rest = row
    return LedgerOrder(order_id, STATES[state], *rest)


def _keys(sales: Iterable[Definition]) -> tuple[list[str], list[int]]:
    listed = list(sales)
    return [sale.sale_id for sale in listed], [sale.epoch for sale in listed]


_QUERIES = named_queries((Path(__file__).parent / "queries.sql").read_text())

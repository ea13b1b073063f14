"""Lists as CSV files for a merchant, read from the ledger in parts while they are sent."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from flashsale_console import csv_files, requests
from flashsale_console.ledger import Row
from flashsale_console.pages import refunds, sale
from flashsale_console.services import console_of
from flashsale_core.errors import Retryable

PART_ROWS = 5_000
EXPORT_SECONDS_MAX = 900.0
"""Past this time the connection ends, so that the browser reports the file as incomplete."""
Parts = AsyncIterator[str]
RowKey = tuple[Any, ...]
"""What a list is sorted by: each part begins after that of the last row."""
log = logging.getLogger(__name__)


class Rows(Protocol):
    """What is asked of the ledger."""

    async def rows(self, query: str, /, *values: Any) -> list[Row]: ...


async def orders(request: Request) -> Response:
    """Every order of the sale."""
    _, shown, _ = await sale.find(request)
    log.info("export.orders", extra={"person": request.state.user.name, "sale": shown.sale_id})
    return await _file(request, f"orders-{shown.sale_id}", orders_of(console_of(request).ledger, shown.sale_id, shown.epoch))


async def refunds_of_state(request: Request) -> Response:
    """Every refund of a state, the oldest first."""
    state = requests.choice(requests.query(request, ("state",)), "state", refunds.STATES, "due")
    log.info("export.refunds", extra={"person": request.state.user.name, "state": state})
    return await _file(request, f"refunds-{state}", refunds_of(console_of(request).ledger, state))


async def _file(request: Request, name: str, parts: Parts) -> Response:
    """The parts as a download. The first one is read before the answer begins, so that a ledger that is away is a page that says so."""
    headers = {"content-disposition": f'attachment; filename="{name}.csv"'}
    first = await anext(parts)
    if request.method == "HEAD":
        return Response(headers=headers, media_type="text/csv")

    async def content() -> Parts:
        yield first
        async for part in parts:
            yield part

    return StreamingResponse(content(), headers=headers, media_type="text/csv")


def orders_of(ledger: Rows, sale_id: str, epoch: int) -> Parts:
    """The text of the file, in parts."""
    return _parts(
        csv_files.ORDER_COLUMNS,
        lambda after: ledger.rows("sale_orders", sale_id, epoch, *after, PART_ROWS),
        ("",),
        lambda row: (row["order_id"],),
        lambda row: csv_files.order_cells(sale_id, row),
    )


def refunds_of(ledger: Rows, state: str) -> Parts:
    """As `orders_of`."""
    return _parts(
        csv_files.REFUND_COLUMNS,
        lambda after: ledger.rows("list_refunds", state, *after, PART_ROWS),
        (refunds.FIRST.at, 0),
        lambda row: (row["created_at"], row["refund_id"]),
        csv_files.refund_cells,
    )


async def _parts(
    columns: Iterable[str],
    read: Callable[[RowKey], Awaitable[list[Row]]],
    first: RowKey,
    key: Callable[[Row], RowKey],
    cells: Callable[[Row], tuple[Any, ...]],
) -> Parts:
    """The text of the columns' names and the first rows, then of further ones. Raises Retryable, also in the middle of a file.

    `read` gives at most PART_ROWS rows after a key; `key` is that of a row.
    """
    ends_at, head, after = time.monotonic() + EXPORT_SECONDS_MAX, [tuple(columns)], first
    while True:
        rows = await read(after)
        yield csv_files.lines([*head, *map(cells, rows)])
        if len(rows) < PART_ROWS:
            return
        if time.monotonic() > ends_at:
            raise Retryable(f"the export took longer than {EXPORT_SECONDS_MAX:.0f} s")
        head, after = [], key(rows[-1])

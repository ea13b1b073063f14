"""Pages of sales share what is read of each sale."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from flashsale_gateway.http.catalogue import CHUNK_SIZE, Catalogue

FIELDS = {
    "total": "9", "available": "5", "reserved": "3", "sold": "1", "state": "open", "starts_ms": "0", "ends_ms": "0", "max_per_user": "0",
    "hold_seconds": "60", "rate_requests": "0", "rate_seconds": "0", "late_payment": "refund", "owner": "admin", "generation": "1",
}  # fmt: skip


class Sales:
    """A store that records its calls."""

    def __init__(self, count: int) -> None:
        self.hashes: dict[str, Mapping[str, str]] = {f"s{number:04}": FIELDS for number in range(count)}
        self.listed = 0
        self.read: list[str] = []
        self.largest_read = 0

    async def ids(self) -> Sequence[str]:
        self.listed += 1
        return sorted(self.hashes)

    async def read_sales(self, ids: Sequence[str]) -> Sequence[Mapping[str, str]]:
        await asyncio.sleep(0)
        self.read += ids
        self.largest_read = max(self.largest_read, len(ids))
        return [self.hashes.get(sale_id, {}) for sale_id in ids]


async def test_pages_read_each_sale_once_while_it_is_fresh() -> None:
    sales = Sales(300)
    catalogue = Catalogue(sales.ids, sales.read_sales, 60)
    pages = await asyncio.gather(*[catalogue.page(f"s{number:04}", 200) for number in range(300)])
    assert [sale_id for sale_id, _ in pages[5]] == [f"s{number:04}" for number in range(6, 206)]
    assert (sales.listed, len(sales.read), len(set(sales.read)), sales.largest_read) == (1, 299, 299, CHUNK_SIZE)


async def test_sale_being_read_is_not_read_again() -> None:
    sales = Sales(300)
    catalogue = Catalogue(sales.ids, sales.read_sales, 60)
    asked = []
    for _ in range(30):
        asked.append(asyncio.create_task(catalogue.page("", 300)))
        await asyncio.sleep(0)
    await asyncio.gather(*asked)
    assert len(sales.read) == 300


async def test_stale_sale_is_read_again_and_a_gone_or_broken_one_left_out(caplog: pytest.LogCaptureFixture) -> None:
    sales = Sales(4)
    catalogue = Catalogue(sales.ids, sales.read_sales, 0)
    assert [(sale_id, snapshot.stock) for sale_id, snapshot in await catalogue.page("", 2)] == [
        ("s0000", (9, 5, 3, 1)),
        ("s0001", (9, 5, 3, 1)),
    ]
    sales.hashes |= {"s0000": {}, "s0001": {**FIELDS, "sold": "x"}, "s0002": {**FIELDS, "sold": "4"}}
    del sales.hashes["s0003"]
    for _ in range(2):
        assert [(sale_id, snapshot.stock) for sale_id, snapshot in await catalogue.page("", 9)] == [("s0002", (9, 5, 3, 4))]
    assert [record.message for record in caplog.records] == ["sale.unreadable"]


async def test_page_is_full_although_sales_of_it_are_gone_or_broken() -> None:
    sales = Sales(8)
    catalogue = Catalogue(sales.ids, sales.read_sales, 60)
    sales.hashes |= {"s0000": {}, "s0002": {**FIELDS, "sold": "x"}, "s0003": {}}
    pages = [[sale_id for sale_id, _ in await catalogue.page(after, 2)] for after in ("", "s0004", "s0006", "s0007")]
    assert pages == [["s0001", "s0004"], ["s0005", "s0006"], ["s0007"], []]
    assert len(sales.read) == 8


async def test_sales_read_per_second_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    slept, sleep = 0.0, asyncio.sleep

    async def note(seconds: float) -> None:
        nonlocal slept
        slept += seconds
        await sleep(0)

    sales = Sales(1500)
    catalogue = Catalogue(sales.ids, sales.read_sales, 60)
    monkeypatch.setattr("flashsale_gateway.http.catalogue.asyncio.sleep", note)
    # The clock stands still: on a busy machine, the time between the reads would be a part of the pause.
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)
    await catalogue.page("", 1000)
    at_once = slept
    await catalogue.page("s0999", 500)
    assert (at_once < 0.1, slept > 0.1) == (True, True)

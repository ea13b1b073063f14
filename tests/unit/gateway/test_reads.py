"""Reads are bounded in each turn of the loop and in Redis, and those who ask for the same share it."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from flashsale_gateway.errors import NotReady
from flashsale_gateway.http.catalogue import CHUNK, Catalogue
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.read_limits import WAITING_PER_READ, ReadSlots, TurnLimiter
from flashsale_gateway.single_flight import SingleFlight

FIELDS = {
    "total": "9", "available": "5", "reserved": "3", "sold": "1", "state": "open", "starts_ms": "0", "ends_ms": "0", "max_per_user": "0",
    "hold_seconds": "60", "rate_requests": "0", "rate_seconds": "0", "late_payment": "refund", "owner": "admin", "generation": "1",
}  # fmt: skip


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_few_requests_begin_in_a_turn_and_in_the_order_they_came() -> None:
    async def run() -> None:
        pace, begun, per_turn, turns = TurnLimiter(per_turn=3), list[int](), list[int](), 0

        async def request(number: int) -> None:
            async with pace.turn():
                begun.append(number)

        requests = [asyncio.create_task(request(number)) for number in range(50)]
        while len(begun) < 50:
            before = len(begun)
            await asyncio.sleep(0)
            per_turn.append(len(begun) - before)
            turns += 1
        await asyncio.gather(*requests)
        assert begun == list(range(50))
        assert max(per_turn) <= 3

    asyncio.run(run())


def test_a_request_too_many_is_refused_and_the_next_has_the_place_of_one_that_ended() -> None:
    async def run() -> None:
        pace = TurnLimiter(in_progress_max=2)
        async with pace.turn():
            async with pace.turn():
                with pytest.raises(Problem, match="overloaded"):
                    await pace.turn().__aenter__()
            async with pace.turn():
                pass

    asyncio.run(run())


def test_who_leaves_while_waiting_keeps_nobody_waiting() -> None:
    async def run() -> None:
        pace = TurnLimiter(per_turn=1)
        async with pace.turn():
            gone = asyncio.create_task(pace.turn().__aenter__())
            waiting = asyncio.create_task(pace.turn().__aenter__())
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.wait_for(waiting, 5)

    asyncio.run(run())


def test_reads_of_the_store_are_bounded_and_those_that_wait_too() -> None:
    async def run() -> None:
        slots, done, running = ReadSlots(2, 30), asyncio.Event(), 0

        async def read() -> None:
            nonlocal running
            async with slots.slot():
                running += 1
                await done.wait()

        reads = [asyncio.create_task(read()) for _ in range(2 * (1 + WAITING_PER_READ) + 5)]
        await settle()
        refused = [task for task in reads if task.done()]
        assert (running, len(refused)) == (2, 5)
        done.set()
        results = await asyncio.gather(*reads, return_exceptions=True)
        assert [str(result) for result in results if result is not None] == ["overloaded"] * 5

    asyncio.run(run())


def test_a_read_does_not_wait_for_ever_for_its_slot() -> None:
    async def run() -> None:
        slots = ReadSlots(1, 0.01)
        async with slots.slot():
            with pytest.raises(Problem, match="overloaded"):
                await slots.slot().__aenter__()
        async with slots.slot():
            pass

    asyncio.run(run())


def test_who_asks_at_once_shares_one_answer_and_who_asks_later_gets_a_new_one() -> None:
    async def run() -> None:
        calls = 0

        async def make() -> int:
            nonlocal calls
            calls += 1
            await asyncio.sleep(0)
            return calls

        shared = SingleFlight(make)
        asked = [asyncio.create_task(shared.get()) for _ in range(50)]
        await asyncio.sleep(0)
        asked[0].cancel()
        assert (await asyncio.gather(*asked[1:]), await shared.get()) == ([1] * 49, 2)

    asyncio.run(run())


def test_a_failure_is_shared_and_forgotten() -> None:
    async def run() -> None:
        answers = iter([NotReady("full"), None])

        async def make() -> str:
            if error := next(answers):
                raise error
            return "well"

        shared = SingleFlight(make)
        assert [str(error) for error in await asyncio.gather(shared.get(), shared.get(), return_exceptions=True)] == ["full"] * 2
        assert await shared.get() == "well"

    asyncio.run(run())


class Sales:
    """A store that counts what it is asked."""

    def __init__(self, count: int) -> None:
        self.hashes: dict[str, Mapping[str, str]] = {f"s{number:04}": FIELDS for number in range(count)}
        self.listed = 0
        self.read: list[str] = []
        self.most = 0

    async def names(self) -> Sequence[str]:
        self.listed += 1
        return sorted(self.hashes)

    async def sales(self, names: Sequence[str]) -> Sequence[Mapping[str, str]]:
        await asyncio.sleep(0)
        self.read += names
        self.most = max(self.most, len(names))
        return [self.hashes.get(name, {}) for name in names]


def test_pages_read_each_sale_once_while_it_is_fresh_whoever_asks() -> None:
    async def run() -> None:
        sales = Sales(300)
        catalogue = Catalogue(sales.names, sales.sales, 60)
        pages = await asyncio.gather(*[catalogue.page(f"s{number:04}", 200) for number in range(300)])
        assert [name for name, _ in pages[5]] == [f"s{number:04}" for number in range(6, 206)]
        assert (sales.listed, len(sales.read), len(set(sales.read)), sales.most) == (1, 299, 299, CHUNK)

    asyncio.run(run())


def test_a_sale_that_is_being_read_is_not_read_again_for_who_asks_meanwhile() -> None:
    async def run() -> None:
        sales = Sales(300)
        catalogue = Catalogue(sales.names, sales.sales, 60)
        asked = []
        for _ in range(30):
            asked.append(asyncio.create_task(catalogue.page("", 300)))
            await asyncio.sleep(0)
        await asyncio.gather(*asked)
        assert len(sales.read) == 300

    asyncio.run(run())


def test_what_is_no_longer_fresh_is_read_again_and_what_is_gone_or_broken_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    async def run() -> None:
        sales = Sales(4)
        catalogue = Catalogue(sales.names, sales.sales, 0)
        assert [(name, shown.stock) for name, shown in await catalogue.page("", 2)] == [("s0000", (9, 5, 3, 1)), ("s0001", (9, 5, 3, 1))]
        sales.hashes |= {"s0000": {}, "s0001": {**FIELDS, "sold": "x"}, "s0002": {**FIELDS, "sold": "4"}}
        del sales.hashes["s0003"]
        for _ in range(2):
            assert [(name, shown.stock) for name, shown in await catalogue.page("", 9)] == [("s0002", (9, 5, 3, 4))]

    asyncio.run(run())
    assert [record.message for record in caplog.records] == ["sale.unreadable"]


def test_many_pages_cost_no_more_than_so_many_sales_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        slept, sleep = 0.0, asyncio.sleep

        async def note(seconds: float) -> None:
            nonlocal slept
            slept += seconds
            await sleep(0)

        sales = Sales(1500)
        catalogue = Catalogue(sales.names, sales.sales, 60)
        monkeypatch.setattr("flashsale_gateway.http.catalogue.asyncio.sleep", note)
        await catalogue.page("", 1000)
        at_once = slept
        await catalogue.page("s0999", 500)
        assert (at_once < 0.1, slept > 0.1) == (True, True)

    asyncio.run(run())

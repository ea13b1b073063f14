"""Reads are limited in each turn of the event loop and in Redis."""

import asyncio

import pytest

from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.read_limits import WAITING_PER_READ, ReadSlots, TurnLimiter


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_few_requests_begin_in_a_turn_in_order_of_arrival() -> None:
    limiter, begun, per_turn = TurnLimiter(per_turn=3), list[int](), list[int]()

    async def request(number: int) -> None:
        async with limiter.turn():
            begun.append(number)

    requests = [asyncio.create_task(request(number)) for number in range(50)]
    while len(begun) < 50:
        before = len(begun)
        await asyncio.sleep(0)
        per_turn.append(len(begun) - before)
    await asyncio.gather(*requests)
    assert begun == list(range(50))
    assert max(per_turn) <= 3


async def test_excess_request_is_refused_until_one_ends() -> None:
    limiter = TurnLimiter(in_progress_max=2)
    async with limiter.turn():
        async with limiter.turn():
            with pytest.raises(Problem, match="overloaded"):
                await limiter.turn().__aenter__()
        async with limiter.turn():
            pass


async def test_cancelled_waiter_does_not_block_the_next() -> None:
    limiter = TurnLimiter(per_turn=1)
    async with limiter.turn():
        gone = asyncio.create_task(limiter.turn().__aenter__())
        waiting = asyncio.create_task(limiter.turn().__aenter__())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait_for(waiting, 5)


async def test_running_and_waiting_reads_are_limited() -> None:
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


async def test_read_that_gets_no_slot_in_time_is_refused() -> None:
    slots = ReadSlots(1, 0.01)
    async with slots.slot():
        with pytest.raises(Problem, match="overloaded"):
            await slots.slot().__aenter__()
    async with slots.slot():
        pass

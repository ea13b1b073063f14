import asyncio

from flashsale_gateway.errors import NotReady
from flashsale_gateway.single_flight import SingleFlight


async def test_concurrent_callers_share_a_call_and_later_ones_start_another() -> None:
    calls = 0

    async def call() -> int:
        nonlocal calls
        calls += 1
        await asyncio.sleep(0)
        return calls

    flight = SingleFlight(call)
    asked = [asyncio.create_task(flight.get()) for _ in range(50)]
    await asyncio.sleep(0)
    asked[0].cancel()
    assert (await asyncio.gather(*asked[1:]), await flight.get()) == ([1] * 49, 2)


async def test_failure_is_shared_and_not_kept() -> None:
    answers = iter([NotReady("full"), None])

    async def call() -> str:
        if error := next(answers):
            raise error
        return "well"

    flight = SingleFlight(call)
    assert [str(error) for error in await asyncio.gather(flight.get(), flight.get(), return_exceptions=True)] == ["full"] * 2
    assert await flight.get() == "well"

"""Losses of Redis one at a time: each hits a Redis that is open and has sold since the one before, so that each takes something away."""

import asyncio
import time

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.inject import Injector
from flashsale_chaos.machine import ImpossibleError
from flashsale_chaos.overload import overload
from flashsale_chaos.servers.unpublished import kept_back
from flashsale_chaos.waiting import until

SOLD_SECONDS = 60.0
"""How long a loss waits for Redis to be open and to sell, on a machine that keeps up."""

FURTHER_SECONDS = 3.0
"""The same after a loss that waited in vain, until something is sold: the judge says soon what is broken."""


def in_turn(inject: Injector) -> Injector:
    """The injector, which waits for its turn if all faults of the run are losses. Raises ImpossibleError if Redis does not sell in time."""

    async def inject_in_turn(bench: Bench, fault: Fault) -> None:
        if not bench.losses_only:
            await inject(bench, fault)
            return
        async with bench.locks["losses"]:
            await until_sold(bench, bench.losses[-1].at if bench.losses else 0.0)
            async with kept_back(bench, fault.number) as since:
                await until_sold(bench, since)
                await inject(bench, fault)

    return inject_in_turn


async def until_sold(bench: Bench, since: float) -> None:
    """Wait until an order was accepted that was asked for after `since`, and Redis is open. Does not wait among faults of other kinds."""

    async def is_selling() -> bool:
        return bench.sold_at() > since and await asyncio.to_thread(lambda: bench.stack.is_open)

    if bench.losses_only:
        began = time.monotonic()
        limit_seconds = (SOLD_SECONDS if bench.sold_at() >= bench.unsold_at else FURTHER_SECONDS) * overload()
        if not await until(is_selling, limit_seconds):
            bench.unsold_at = time.monotonic()
            raise ImpossibleError(f"Redis was not open and selling after {time.monotonic() - began:.0f} s")

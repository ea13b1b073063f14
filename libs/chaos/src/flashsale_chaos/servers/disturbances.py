"""A Redis that runs on a slow disk, on a full one, or with a wrong clock."""

import asyncio

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.machine import ImpossibleError, slowed
from flashsale_chaos.servers.outages import until_redis_answers


async def slow_fsync(bench: Bench, fault: Fault) -> None:
    """Each fdatasync takes `amount` milliseconds longer. Raises ImpossibleError while Redis is dead."""
    for pid in bench.pids("redis"):
        async with slowed(pid, fault.amount):
            await asyncio.sleep(fault.lasts_seconds)
        return
    raise ImpossibleError("Redis is dead")


async def fill_disk(bench: Bench, fault: Fault) -> None:
    """The disk has no room. With `appendfsync always`, Redis ends itself at its next write, and starts once there is room."""
    disk = bench.machine.disk
    if disk is None:
        raise ImpossibleError("there is no small disk")
    async with bench.locks["redis"]:
        try:
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(fault.lasts_seconds)
        finally:
            await asyncio.to_thread(disk.free)
            await bench.launch("redis")
            await until_redis_answers(bench)


async def jump(bench: Bench, fault: Fault) -> None:
    """The wall clock of Redis jumps by `amount` milliseconds, and later back."""
    clock = bench.machine.clock
    if clock is None:
        raise ImpossibleError("there is no clock that can jump")
    clock.shift(fault.amount)
    try:
        await asyncio.sleep(fault.lasts_seconds)
    finally:
        clock.shift(-fault.amount)

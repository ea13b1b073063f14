"""Injects faults: the registry of all kinds, and the faults of processes."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress

from msgspec.structs import replace

from flashsale_chaos.bench import Bench, send
from flashsale_chaos.faults import Fault
from flashsale_chaos.further import GATEWAY_2, ORDER_WORKERS
from flashsale_chaos.left_entries import HANDED_OVER, PROVOKED_BY
from flashsale_chaos.overload import overload
from flashsale_chaos.waiting import until
from flashsale_local_stack import descendants

Injector = Callable[[Bench, Fault], Awaitable[None]]
STOP_TIMEOUT_SECONDS = 10.0
# Points that are passed only after Redis was lost or restarted, which the injector therefore does.
_PROVOKED_BY = {
    "server.kill": ("attestation.", "script.calling.seal", "script.answered.seal"),
    "redis.lost_disk": ("incarnation.", "marker.", "gateways.", "rebuild.", "script.calling.restore", "script.answered.restore"),
}
START_TIMEOUT_SECONDS = 15.0
"""How long a service gets to start, on a machine that is busy, before its crash point counts as armed."""


async def crash(bench: Bench, fault: Fault) -> None:
    """The target starts again and dies at a point; once more when it died, or `lasts_seconds` after it was ready for work."""
    service, _, point = fault.target.partition("/")
    if service == "gateway" and bench.locks[service].locked():
        service = GATEWAY_2
        bench.moved[fault.number] = f"{service}/{point}"
    elif service in ORDER_WORKERS:
        service = ORDER_WORKERS[fault.number % 2]
    async with bench.locks[service]:
        try:
            await bench.kill(service)
            # A keeper passes most of its points once in a recovery, and a gateway passes these once for each shard that has entries.
            once = service == "keeper" or point in PROVOKED_BY
            await bench.launch(service, f"{point}:{1 if once else fault.amount}")
            armed = bench.pids(service)
            await _listens(bench, service)
            await _provoke(bench, fault, service, point)
            if await bench.dies(service, fault.lasts_seconds * overload()):
                bench.note_death(fault.target, armed, in_order=point == HANDED_OVER)
        finally:
            await bench.kill(service)
            await bench.launch(service)


async def kill(bench: Bench, fault: Fault) -> None:
    async with _ended(bench, fault) as targets:
        for target in targets:
            await bench.kill(target)
        await asyncio.sleep(fault.lasts_seconds)


async def restart(bench: Bench, fault: Fault) -> None:
    """SIGTERM, and SIGKILL for what does not end in time."""
    async with _ended(bench, fault) as targets:
        for pid in [pid for target in targets for pid in bench.pids(target)]:
            send(pid, signal.SIGTERM)
        for target in targets:
            await bench.dies(target, STOP_TIMEOUT_SECONDS)
            await bench.kill(target)
        await asyncio.sleep(fault.lasts_seconds)


async def pause(bench: Bench, fault: Fault) -> None:
    """SIGSTOP and SIGCONT, to the target and its children."""
    with stopped(bench, *struck(fault)):
        await asyncio.sleep(fault.lasts_seconds)


def struck(fault: Fault) -> tuple[str, ...]:
    """The processes that a fault hits: of two order-workers either one or both, by its number."""
    if fault.target != ORDER_WORKERS[0]:
        return (fault.target,)
    return (ORDER_WORKERS[:1], ORDER_WORKERS[1:], ORDER_WORKERS)[fault.number % 3]


@contextmanager
def stopped(bench: Bench, *targets: str) -> Iterator[None]:
    """The targets and their children stand still while the block runs."""
    pids = [pid for target in targets for pid in bench.pids(target)]
    family = [member for pid in pids for member in (pid, *(child.pid for child in descendants(pid)))]
    try:
        for pid in family:
            send(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in family:
            send(pid, signal.SIGCONT)


INJECTORS: dict[str, Injector] = {"crash": crash, "kill": kill, "restart": restart, "pause": pause}
"""By kind. Each injects its fault, waits `lasts_seconds` and undoes it in `finally`. Other modules add theirs."""


async def heal(bench: Bench) -> None:
    """Everything runs, and all links are plain. Call it when no injector runs."""
    for link in bench.links.values():
        link.heal()
    await asyncio.to_thread(bench.machine.heal)
    for target in bench.targets:
        if not bench.pids(target):
            bench.ended.append(f"{target} ended by itself")
        await bench.launch(target)


@asynccontextmanager
async def _ended(bench: Bench, fault: Fault) -> AsyncIterator[tuple[str, ...]]:
    """The targets that the block ends: no other fault ends them meanwhile, and they start again afterwards."""
    targets = struck(fault)
    async with AsyncExitStack() as held:
        for target in targets:
            await held.enter_async_context(bench.locks[target])
        try:
            yield targets
        finally:
            for target in targets:
                await bench.launch(target)


async def _provoke(bench: Bench, fault: Fault, service: str, point: str) -> None:
    if leave_entries := PROVOKED_BY.get(point):
        await leave_entries(bench, service)
    for kind, prefixes in _PROVOKED_BY.items():
        if point.startswith(prefixes) and kind in INJECTORS:
            await INJECTORS[kind](bench, replace(fault, kind=kind, target="redis", lasts_seconds=0.1))


async def _listens(bench: Bench, service: str) -> None:
    """Wait until the service answers its port, or died on the way."""
    host, _, port = bench.address(service).partition(":")

    async def answers_or_died() -> bool:
        with suppress(OSError):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.close()
            return True
        return not bench.pids(service)

    await until(answers_or_died, START_TIMEOUT_SECONDS)

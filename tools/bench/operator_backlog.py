"""`python -m tools.bench.operator_backlog`: the operator with thousands of FlashSales that were applied at once, edited, and at rest.

It needs a cluster (KUBECONFIG) with the FlashSale resource, creates a namespace there and deletes it at the end, unless `--keep` leaves
it. The operator and its Redis are processes of this machine; at the end the operator is started a second time, as an upgrade would do it.
The apiserver's counters of requests are of all its clients: nobody else should use FlashSales meanwhile.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import aiohttp
import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_cli.console import EXIT_FAILED, EXIT_UNREACHABLE, EXIT_USAGE, console
from flashsale_core.errors import SettingsError
from flashsale_core.keys import sale_keys
from flashsale_core.scripts import read_scripts
from flashsale_core.settings import Environment
from flashsale_core.tasks import cancel_and_wait
from flashsale_operator.apiserver import open_apiserver
from flashsale_redis import open_redis
from flashsale_redis.fences import open_fences
from tools.bench.measurements import Measurement, Target
from tools.bench.operator_cluster import STOCK, Namespace, Request, SaleWatch, sale_name
from tools.bench.operator_process import OperatorProcess, run_operator, run_redis
from tools.repository import ROOT

CONNECTIONS = 32
EDITS = 50
WINDOW_SECONDS = 60
GIVE_UP_SECONDS = 900.0
REQUEST_TIMEOUT_SECONDS = 60.0
SETTLE_SECONDS = 30.0
"""The operator posts at most 500 Events after a change, 20 a second."""
REST_SECONDS = 60.0
CRD = "deploy/helm/flashsale/files/flashsales.flashsale.dev.yaml"
MEMORY_TARGET = Target(300, at_least=False)
EDIT_TARGET = Target(5.0, at_least=False)
NONE_TARGET = Target(0, at_least=False)
WRITES_TARGET = Target(3.1, at_least=False)
"""For each FlashSale: the finalizer, the claim and the status. A status that is written a second time, with newer numbers, is rare."""
REST_TARGET = Target(15, at_least=False)
READY_TARGETS = {1000: Target(35.0, at_least=False)}
"""FlashSales -> seconds from the first request to all Ready."""


async def in_parallel(act: Callable[[int], Awaitable[None]], numbers: Sequence[int]) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await act(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())


async def wait_until(condition: Callable[[], bool], what: str, pause_seconds: float) -> None:
    """Raises TimeoutError with `what` after GIVE_UP_SECONDS."""
    ends = monotonic() + GIVE_UP_SECONDS
    while not condition():
        if monotonic() > ends:
            raise TimeoutError(what)
        await asyncio.sleep(pause_seconds)


async def measure_edits(namespace: Namespace, watch: SaleWatch, redis: Any, flashsales: int) -> Measurement:
    """The longest time from an edit's request until a client sees it observed, in seconds. Each edit must then be in Redis."""
    edits, longest = min(EDITS, flashsales), 0.0
    for place in range(edits):
        number = place * flashsales // edits
        name, started = sale_name(number), monotonic()
        field, spec, value = [("total", "stock", STOCK + 1 + place), ("hold_seconds", "paymentWindowSeconds", WINDOW_SECONDS)][place % 2]
        generation = await namespace.edit_sale(number, {spec: value})
        await wait_until(lambda name=name, generation=generation: watch.observed[name] >= generation, f"the edit of {name}", 0.01)  # type: ignore[misc]
        longest = max(longest, monotonic() - started)
        kept = await redis.hget(sale_keys(name).sale, field)
        if int(kept) != value:
            raise RuntimeError(f"{name}: the edit is observed, and Redis has {field} {kept!r} instead of {value}")
    return Measurement(f"an edit until its generation is observed, the slowest of {edits}", longest, "s", EDIT_TARGET)


async def measure_rest(namespace: Namespace, operator: OperatorProcess) -> list[Measurement]:
    """What the operator uses while nothing changes."""
    await asyncio.sleep(SETTLE_SECONDS)
    requests, cpu = await namespace.requests(), operator.cpu_seconds()
    await asyncio.sleep(REST_SECONDS)
    share = 100 * (operator.cpu_seconds() - cpu) / REST_SECONDS
    sent = await namespace.requests() - requests
    return [
        Measurement("CPU of the operator at rest", share, "% of a core", REST_TARGET),
        Measurement("requests to the apiserver at rest", sent.total() * 60 / REST_SECONDS, "per minute", details=_in_words(sent)),
    ]


def writes(sent: Counter[Request], flashsales: int) -> Measurement:
    """Requests that changed FlashSales, without those of the bench itself. Events are bounded by their rate, and only named."""
    changed = sum(count for request, count in sent.items() if request.verb == "PATCH")
    return Measurement("writes of a FlashSale until it is Ready", changed / flashsales, "", WRITES_TARGET, details=_in_words(sent))


def _in_words(sent: Counter[Request]) -> str:
    return ", ".join(f"{count} {request.verb} {request.resource}" for request, count in sent.most_common())


async def measure(
    namespace: Namespace, watch: SaleWatch, operator: OperatorProcess, redis: Any, flashsales: int, screen: Console
) -> list[Measurement]:
    before, started = await namespace.requests(), monotonic()
    await in_parallel(namespace.create_sale, range(flashsales))
    applied_seconds = monotonic() - started
    screen.print(f"applied {flashsales} FlashSales in {applied_seconds:.1f} s")
    await wait_until(lambda: len(watch.ready) >= flashsales, "all FlashSales Ready", 0.1)
    ready_seconds, cpu_seconds = monotonic() - started, operator.cpu_seconds()
    screen.print(f"all Ready after {ready_seconds:.1f} s; the operator uses {operator.memory_mb():.0f} MB")
    sent = await namespace.requests() - before
    edited = await measure_edits(namespace, watch, redis, flashsales)
    rest = await measure_rest(namespace, operator)
    return [
        Measurement(f"{flashsales} FlashSales applied", applied_seconds, "s"),
        Measurement(f"{flashsales} FlashSales Ready", ready_seconds, "s", READY_TARGETS.get(flashsales)),
        writes(sent, flashsales),
        edited,
        Measurement("the operator's memory, at most", operator.memory_mb_max, "MB", MEMORY_TARGET),
        Measurement("restarts that the probes would have caused", operator.restarts(), "", NONE_TARGET),
        Measurement("FlashSales that were ever told RedisUnavailable", len(watch.unavailable), "", NONE_TARGET),
        Measurement("reconciliations that found Redis away", await operator.told_unavailable(), "", NONE_TARGET),
        Measurement("reconciliations that were repeated", await operator.repeated(), ""),
        Measurement("CPU time of the operator until all were Ready", cpu_seconds, "s"),
        *rest,
    ]


async def measure_restart(operator: OperatorProcess, flashsales: int) -> list[Measurement]:
    """An operator that starts with the FlashSales of another one: it lists them all at once."""
    started, live = monotonic(), 0.0
    while live < flashsales:
        if monotonic() - started > GIVE_UP_SECONDS:
            raise TimeoutError(f"a restarted operator counts {live:.0f} live FlashSales")
        await asyncio.sleep(0.5)
        live = await operator.live()
    return [
        Measurement("a restarted operator until it counts them all as live", monotonic() - started, "s"),
        Measurement("its memory, at most", operator.memory_mb_max, "MB", MEMORY_TARGET),
    ]


async def run(flashsales: int, name: str, screen: Console, *, keep: bool) -> list[Measurement]:
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="operator-backlog-")))
        apiserver = await held.enter_async_context(open_apiserver(Environment(), REQUEST_TIMEOUT_SECONDS))
        url = await held.enter_async_context(run_redis(folder))
        redis = open_redis(url, REQUEST_TIMEOUT_SECONDS, 4)
        held.push_async_callback(redis.aclose)
        await open_fences(redis, read_scripts(ROOT / "lua"))
        namespace = Namespace(apiserver, name)
        await namespace.create()
        if not keep:
            held.push_async_callback(clean, namespace, url, folder, screen)
        watch = SaleWatch(namespace)
        watching = asyncio.create_task(watch.run())
        held.push_async_callback(cancel_and_wait, watching)
        async with run_operator(url, name, folder / "operator.log") as operator:
            measured = await measure(namespace, watch, operator, redis, flashsales, screen)
        async with run_operator(url, name, folder / "operator-again.log") as operator:
            return [*measured, *await measure_restart(operator, flashsales)]


async def clean(namespace: Namespace, redis_url: str, folder: Path, screen: Console) -> None:
    """Delete the FlashSales and their namespace. Raises TimeoutError after GIVE_UP_SECONDS."""
    screen.print("deleting the FlashSales")
    async with run_operator(redis_url, namespace.name, folder / "operator-cleans.log"), asyncio.timeout(GIVE_UP_SECONDS):
        while not await namespace.is_empty():
            # The apiserver ends a request that deletes thousands after its own timeout.
            with suppress(aiohttp.ClientError, TimeoutError):
                await namespace.delete_sales()
            await asyncio.sleep(2)
        await namespace.delete()


def main(
    flashsales: Annotated[int, typer.Option(help="How many FlashSales are applied.", min=1, max=50_000)] = 10_000,
    namespace: Annotated[str, typer.Option(help="A namespace that does not exist. It is deleted at the end.")] = "flashsale-backlog",
    keep: Annotated[bool, typer.Option("--keep", help="Leave the FlashSales, if the cluster is deleted afterwards anyway.")] = False,
) -> None:
    screen = console()
    try:
        measurements = uvloop.run(run(flashsales, namespace, screen, keep=keep))
    except SettingsError as error:
        screen.print(f"{error}. The bench needs a cluster, such as that of `make kind-up`.", markup=False)
        raise typer.Exit(EXIT_USAGE) from None
    except aiohttp.ClientError as error:
        screen.print(f"the apiserver refused: {error}. Is the cluster up, and does it have the resource of {CRD}?", markup=False)
        raise typer.Exit(EXIT_UNREACHABLE) from None
    for measurement in measurements:
        screen.print(Text(measurement.verdict()))
    if not all(measurement.reached for measurement in measurements):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)

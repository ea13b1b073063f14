"""`python -m tools.bench.operator_backlog`: the operator with thousands of FlashSales that were applied at once.

It needs a cluster (KUBECONFIG) with the FlashSale resource, creates a namespace there and deletes it at the end. The operator and its Redis
are processes of this machine.
"""

import asyncio
import random
import tempfile
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

from flashsale_cli.console import EXIT_FAILED, console
from flashsale_core.keys import sale_keys
from flashsale_core.scripts import read_scripts
from flashsale_core.settings import Environment
from flashsale_operator.apiserver import Apiserver, collection, open_apiserver
from flashsale_operator.resource import GROUP, VERSION
from flashsale_redis import open_redis
from flashsale_redis.fences import open_fences
from tools.bench.measurements import Measurement, Target
from tools.bench.operator_process import OperatorProcess, run_operator, run_redis
from tools.repository import ROOT

CONNECTIONS = 32
EDITS = 50
POLL_SECONDS = 0.5
GIVE_UP_SECONDS = 900.0
REQUEST_TIMEOUT_SECONDS = 60.0
STOCK = 10
MEMORY_TARGET = Target(300, at_least=False)
EDIT_TARGET = Target(5.0, at_least=False)
NONE_TARGET = Target(0, at_least=False)
READY_TARGETS = {1000: Target(35.0, at_least=False)}
"""FlashSales -> seconds from the first request to all Ready."""


class Namespace:
    def __init__(self, apiserver: Apiserver, name: str) -> None:
        self.apiserver, self.name = apiserver, name
        self.flash_sales = apiserver.flash_sales(name)

    async def call(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        async with self.apiserver.request(method, path, body, content_type) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def create(self) -> None:
        await self.call("POST", "/api/v1/namespaces", {"metadata": {"name": self.name}})

    async def delete(self) -> None:
        await self.call("DELETE", f"/api/v1/namespaces/{self.name}")

    async def create_sale(self, number: int) -> None:
        name = sale_name(number)
        document = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "FlashSale", "metadata": {"name": name}, "spec": {"stock": STOCK}}
        await self.flash_sales.create(document)

    async def edit_sale(self, number: int, stock: int) -> None:
        path = f"{collection(self.name)}/{sale_name(number)}"
        await self.call("PATCH", path, {"spec": {"stock": stock}}, "application/merge-patch+json")

    async def delete_sales(self) -> None:
        await self.call("DELETE", f"{collection(self.name)}?gracePeriodSeconds=0")


def sale_name(number: int) -> str:
    return f"backlog-{number:05d}"


def is_ready(sale: dict[str, Any]) -> bool:
    status = sale.get("status", {})
    ready = [condition["status"] for condition in status.get("conditions", ()) if condition["type"] == "Ready"]
    return ready == ["True"] and status["observedGeneration"] == sale["metadata"]["generation"]


async def in_parallel(act: Callable[[int], Awaitable[None]], numbers: Sequence[int]) -> None:
    waiting = iter(numbers)

    async def work() -> None:
        for number in waiting:
            await act(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(CONNECTIONS):
            group.create_task(work())


async def wait_until(condition: Callable[[], Awaitable[bool]], what: str, pause_seconds: float = POLL_SECONDS) -> None:
    """Raises TimeoutError with `what` after GIVE_UP_SECONDS."""
    ends = monotonic() + GIVE_UP_SECONDS
    while not await condition():
        if monotonic() > ends:
            raise TimeoutError(what)
        await asyncio.sleep(pause_seconds)


async def measure_edits(namespace: Namespace, redis: Any, flashsales: int) -> float:
    """The longest time from an edit's request until Redis has it, in seconds."""
    longest = 0.0
    for place, number in enumerate(random.sample(range(flashsales), min(EDITS, flashsales))):
        stock, started = STOCK + 1 + place, monotonic()
        await namespace.edit_sale(number, stock)
        key = sale_keys(sale_name(number)).sale
        while int(await redis.hget(key, "total") or 0) != stock:
            if monotonic() - started > GIVE_UP_SECONDS:
                raise TimeoutError(f"the edit of {sale_name(number)}")
            await asyncio.sleep(0.02)
        longest = max(longest, monotonic() - started)
    return longest


async def measure(namespace: Namespace, operator: OperatorProcess, redis: Any, flashsales: int, screen: Console) -> list[Measurement]:
    started = monotonic()
    await in_parallel(namespace.create_sale, range(flashsales))
    applied = monotonic()
    screen.print(f"applied {flashsales} FlashSales in {applied - started:.1f} s")

    async def all_live() -> bool:
        return await operator.objects("Live") >= flashsales

    await wait_until(all_live, "all FlashSales Ready", 1.0)
    ready_seconds = monotonic() - started
    screen.print(f"all Live after {ready_seconds:.1f} s; the operator uses {operator.memory_mb():.0f} MB")

    async def all_ready() -> bool:
        sales = await namespace.flash_sales.documents()
        return sum(map(is_ready, sales)) == flashsales

    await wait_until(all_ready, "all FlashSales Ready in the apiserver", 2.0)
    edit_seconds = await measure_edits(namespace, redis, flashsales)
    restarts = operator.restarts()
    return [
        Measurement(f"{flashsales} FlashSales applied", applied - started, "s"),
        Measurement(f"{flashsales} FlashSales Ready", ready_seconds, "s", READY_TARGETS.get(flashsales)),
        Measurement("an edit until Redis has it, the slowest of 50", edit_seconds, "s", EDIT_TARGET),
        Measurement("the operator's memory, at most", operator.memory_mb_max, "MB", MEMORY_TARGET),
        Measurement("restarts that the probes would have caused", restarts, "", NONE_TARGET),
        Measurement("FlashSales that were ever told RedisUnavailable", await operator.told_unavailable(), "", NONE_TARGET),
        Measurement("CPU time of the operator", operator.cpu_seconds(), "s"),
    ]


async def run(flashsales: int, name: str, screen: Console) -> list[Measurement]:
    async with AsyncExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="operator-backlog-")))
        url = await held.enter_async_context(run_redis(folder))
        redis = open_redis(url, REQUEST_TIMEOUT_SECONDS, 4)
        held.push_async_callback(redis.aclose)
        await open_fences(redis, read_scripts(ROOT / "lua"))
        apiserver = await held.enter_async_context(open_apiserver(Environment(), REQUEST_TIMEOUT_SECONDS))
        namespace = Namespace(apiserver, name)
        await namespace.create()
        held.push_async_callback(namespace.delete)
        operator = await held.enter_async_context(run_operator(url, name, folder / "operator.log"))
        try:
            return await measure(namespace, operator, redis, flashsales, screen)
        finally:
            screen.print("deleting the FlashSales")

            async def gone() -> bool:
                # The apiserver ends a request that deletes thousands after its own timeout.
                with suppress(aiohttp.ClientError, TimeoutError):
                    await namespace.delete_sales()
                return not (await namespace.call("GET", f"{collection(name)}?limit=1"))["items"]

            await wait_until(gone, "all FlashSales gone", 2.0)


def main(
    flashsales: Annotated[int, typer.Option(help="How many FlashSales are applied.", min=1, max=50_000)] = 10_000,
    namespace: Annotated[str, typer.Option(help="A namespace that does not exist. It is deleted at the end.")] = "flashsale-backlog",
) -> None:
    screen = console()
    measurements = uvloop.run(run(flashsales, namespace, screen))
    for measurement in measurements:
        screen.print(Text(measurement.verdict()))
    if not all(measurement.reached for measurement in measurements):
        raise typer.Exit(EXIT_FAILED)


if __name__ == "__main__":
    typer.run(main)

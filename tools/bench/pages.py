"""`python -m tools.bench.pages`: the storefront under a crowd, that is polls for each core, and what 1,500 open pages cost the orders.

A page repeats its poll byte for byte; proxies may write something else into each, so polls that all differ are measured as well.
Orders with and without the streams take turns in one run, so that their ratio does not depend on the machine.
"""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from statistics import median
from time import monotonic

import typer
from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from flashsale_cli.http_client import raise_open_files_limit
from tools.bench.alone import measure_alone
from tools.bench.live_streams import LiveStream, open_streams
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.options import Rounds, Seconds
from tools.bench.processes import Server, cpu_seconds, free_port, serving
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_polls, run_wrk

STREAMS = 1500
POLL_CONNECTIONS = 64
ORDER_CONNECTIONS = 64
POLLS_TARGET = Target(10_000)
P99_TARGET = Target(50, at_least=False)
ORDERS_TARGET = Target(0.9)
SETTLE_SECONDS = 3.0
"""More than a refresh of the storefront."""


async def measure(testbed: Testbed, variables: Mapping[str, str], seconds: int, rounds: int, screen: Console) -> Section:
    """`variables` are the stack's environment variables."""
    raise_open_files_limit()
    sale_id, port = await testbed.new_sale("bench-pages"), free_port()
    env = {
        **os.environ,
        **variables,
        "FLASHSALE_STOREFRONT_PORT": str(port),
        "FLASHSALE_PROBE_PORT": str(free_port()),
        "FLASHSALE_STOREFRONT_DEMO": "false",
        "FLASHSALE_STOREFRONT_STREAMS_PER_ADDRESS_MAX": str(STREAMS),
        "FLASHSALE_LOG_LEVEL": "ERROR",
    }
    async with serving(testbed.session, port, f"/s/{sale_id}/live", "flashsale_storefront", env=env) as shop:
        polls = [await _polls(shop, sale_id, seconds, screen, differing=False) for _ in range(rounds)]
        differing = [await _polls(shop, sale_id, seconds, screen, differing=True) for _ in range(rounds)]
        alone, crowded, problems = await _orders(testbed, shop, sale_id, (seconds, rounds), screen)
    ratio = median(crowd.per_second / quiet.per_second for quiet, crowd in zip(alone, crowded, strict=True))
    details = f"{number(median(each.per_second for each in crowded))}/s and {number(median(each.per_second for each in alone))}/s"
    return Section(
        "Pages: polls and event streams of the storefront",
        [
            *_poll_measurements("polls", polls),
            *_poll_measurements("polls that all differ", differing),
            Measurement(f"accepted orders with {STREAMS:,} open streams, compared with none", ratio, "times", ORDERS_TARGET, details),
        ],
        [
            *problems,
            *_result_problems("polls", [result for _, result in (*polls, *differing)]),
            *_result_problems("orders", [*alone, *crowded]),
        ],
        [sale_id],
    )


def _poll_measurements(name: str, results: Sequence[tuple[float, WrkResult]]) -> list[Measurement]:
    rate, p99_ms = median(per_core for per_core, _ in results), median(result.p99_ms for _, result in results)
    return [
        Measurement(f"{name}, for each core of the storefront", rate, "/s", POLLS_TARGET, f"{POLL_CONNECTIONS} connections"),
        Measurement(f"{name}, p99", p99_ms, "ms", P99_TARGET),
    ]


async def _polls(shop: Server, sale_id: str, seconds: int, screen: Console, *, differing: bool) -> tuple[float, WrkResult]:
    """Polls for each second of the storefront's CPU time, and wrk's counts."""
    before = cpu_seconds(shop.pid)
    result = await run_polls(f"{shop.url}/s/{sale_id}/live", POLL_CONNECTIONS, seconds, differing=differing)
    per_core = result.requests / (cpu_seconds(shop.pid) - before)
    screen.print(Text(f"polls: {number(result.per_second)}/s, {number(per_core)} for each second of CPU time", "dim"))
    return per_core, result


async def _orders(
    testbed: Testbed, shop: Server, sale_id: str, length: tuple[int, int], screen: Console
) -> tuple[list[WrkResult], list[WrkResult], list[str]]:
    """The rounds without and with streams, and what was wrong with the streams. `length` is (seconds, rounds)."""
    seconds, rounds = length
    alone, crowded, problems = list[WrkResult](), list[WrkResult](), list[str]()
    await run_wrk(testbed.url, Load(sale_id), ORDER_CONNECTIONS, 1)
    for _ in range(rounds):
        await testbed.settle(sale_id)
        alone.append(await run_wrk(testbed.url, Load(sale_id), ORDER_CONNECTIONS, seconds))
        await testbed.settle(sale_id)
        async with open_streams(shop.url, f"/s/{sale_id}/events", STREAMS) as streams:
            started = monotonic()
            crowded.append(await run_wrk(testbed.url, Load(sale_id), ORDER_CONNECTIONS, seconds))
            elapsed = monotonic() - started
            await asyncio.sleep(SETTLE_SECONDS)
            problems += stream_problems(streams, await testbed.counter(sale_id, "available"), elapsed)
        screen.print(Text(f"orders: {number(alone[-1].per_second)}/s alone, {number(crowded[-1].per_second)}/s with streams", "dim"))
    return alone, crowded, problems


def stream_problems(streams: Sequence[LiveStream], available: int, elapsed_seconds: float) -> list[str]:
    """Each stream must be open, have had an event about once a second, and show what Redis has."""
    ended = sum(stream.ended for stream in streams)
    wrong = sum(json.loads(stream.last or b"{}").get("available") != available for stream in streams)
    silent = sum(stream.events < elapsed_seconds / 2 for stream in streams)
    counts = ((ended, "ended"), (wrong, f"do not show the {available:,} units that are left"), (silent, "had too few events"))
    return [f"{count} of {len(streams)} streams {words}" for count, words in counts if count]


def _result_problems(what: str, results: Sequence[WrkResult]) -> list[str]:
    return [f"{what}: {each.refused} refused, {each.broken} connections broke" for each in results if each.refused or each.broken]


def main(seconds: Seconds = 3, rounds: Rounds = 5) -> None:
    """Measure on a temporary stack. Exit status 1 if a stream or an answer was wrong. A missed target is shown and is not a failure."""
    measure_alone(lambda testbed, stack, screen: measure(testbed, stack.env(), seconds, rounds, screen))


if __name__ == "__main__":
    typer.run(main)

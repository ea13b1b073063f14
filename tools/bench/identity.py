"""The cost of buyer tokens: orders of a gateway that checks them, compared with a gateway that trusts the body.

Each mode is a gateway process of its own next to the stack's, and one receives load at a time.
Both get the same requests, with a token in each, so that the load costs wrk the same; the mode `body` does not look at it.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from secrets import token_hex
from statistics import median
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.processes import cpu_seconds, serving_gateway
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

TOKEN, BODY = "token", "body"
TARGET = Target(0.95)
WARM_SECONDS = 1


class Run(NamedTuple):
    result: WrkResult
    cpu_us: float
    """The gateway's CPU time for an order, in microseconds. Unlike the rate it hardly depends on what else the machine does."""


Results = Mapping[str, list[Run]]
"""By mode: the runs of all rounds at one number of connections."""


async def measure(
    testbed: Testbed, variables: Mapping[str, str], connections: Sequence[int], seconds: int, rounds: int, screen: Console
) -> Section:
    """`variables` are the stack's environment variables."""
    sale_id, key = await testbed.new_sale("bench-identity"), token_hex(32)
    load, env = Load(sale_id, token_key=key), {**os.environ, **variables, "FLASHSALE_BUYER_TOKEN_KEY": key}
    results: dict[int, dict[str, list[Run]]] = {count: {BODY: [], TOKEN: []} for count in connections}
    async with AsyncExitStack() as held:
        gateways = {
            mode: await held.enter_async_context(serving_gateway(testbed.session, {**env, "FLASHSALE_IDENTITY": mode}))
            for mode in (BODY, TOKEN)
        }
        for gateway in gateways.values():
            await run_wrk(gateway.url, load, connections[0], WARM_SECONDS)
        for index in range(rounds):
            for count in connections:
                # The other one begins each round, so that what one leaves to the workers slows down both.
                for mode in (BODY, TOKEN) if index % 2 == 0 else (TOKEN, BODY):
                    gateway = gateways[mode]
                    before = cpu_seconds(gateway.pid)
                    result = await run_wrk(gateway.url, load, count, seconds)
                    results[count][mode].append(Run(result, (cpu_seconds(gateway.pid) - before) * 1e6 / max(1, result.accepted)))
                    screen.print(Text(f"identity {mode}, {count} connections: {number(result.per_second)}/s", "dim"))
                    await testbed.settle(sale_id)
    measurements = [row(count, of_count) for count, of_count in results.items() for row in (_rate, _cpu)]
    problems = [problem for count, of_count in results.items() for problem in _problems(count, of_count)]
    return Section("Identity: buyer tokens compared with the body", measurements, problems, [sale_id])


def _rate(connections: int, results: Results) -> Measurement:
    """The median of the ratios of the rounds."""
    by_mode = {mode: [run.result for run in results[mode]] for mode in (TOKEN, BODY)}
    ratio = median(token.per_second / body.per_second for token, body in zip(by_mode[TOKEN], by_mode[BODY], strict=True))
    rates = " and ".join(f"{number(median(each.per_second for each in by_mode[mode]))}/s" for mode in (TOKEN, BODY))
    p99 = " and ".join(f"{median(each.p99_ms for each in by_mode[mode]):.1f}" for mode in (TOKEN, BODY))
    name = f"accepted orders with a buyer token, {connections} connections, compared with the mode body"
    return Measurement(name, ratio, "times", TARGET, f"{rates}, p99 {p99} ms")


def _cpu(connections: int, results: Results) -> Measurement:
    token, body = (median(run.cpu_us for run in results[mode]) for mode in (TOKEN, BODY))
    name = f"CPU time of the gateway with buyer tokens, {connections} connections, above the mode body"
    return Measurement(name, token - body, "µs per order", details=f"{token:.1f} and {body:.1f} µs")


def _problems(connections: int, results: Results) -> list[str]:
    bad = [(mode, run.result) for mode, of_mode in results.items() for run in of_mode if run.result.refused or run.result.broken]
    return [f"{connections} connections, {mode}: {result.refused} refused, {result.broken} connections broke" for mode, result in bad]

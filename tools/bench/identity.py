"""The cost of buyer tokens: orders of a gateway that checks them, compared with a gateway that trusts the body.

Each mode is a gateway process of its own next to the stack's, and one receives load at a time.
Both get the same requests, with a token in each, so that the load costs wrk the same; the mode `body` does not look at it.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from secrets import token_hex
from statistics import median

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.processes import serving_gateway
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

TOKEN, BODY = "token", "body"
TARGET = Target(0.95)
WARM_SECONDS = 1
Results = Mapping[str, list[WrkResult]]
"""By mode: the results of all rounds at one number of connections."""


async def measure(
    testbed: Testbed, variables: Mapping[str, str], connections: Sequence[int], seconds: int, rounds: int, screen: Console
) -> Section:
    """`variables` are the stack's environment variables."""
    sale_id, key = await testbed.new_sale("bench-identity"), token_hex(32)
    load, env = Load(sale_id, token_key=key), {**os.environ, **variables, "FLASHSALE_BUYER_TOKEN_KEY": key}
    results: dict[int, dict[str, list[WrkResult]]] = {count: {BODY: [], TOKEN: []} for count in connections}
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
                    result = await run_wrk(gateways[mode].url, load, count, seconds)
                    results[count][mode].append(result)
                    screen.print(Text(f"identity {mode}, {count} connections: {number(result.per_second)}/s", "dim"))
                    await testbed.settle(sale_id)
    measurements = [_measurement(count, of_count) for count, of_count in results.items()]
    problems = [problem for count, of_count in results.items() for problem in _problems(count, of_count)]
    return Section("Identity: buyer tokens compared with the body", measurements, problems, [sale_id])


def _measurement(connections: int, results: Results) -> Measurement:
    """The median of the ratios of the rounds."""
    ratio = median(token.per_second / body.per_second for token, body in zip(results[TOKEN], results[BODY], strict=True))
    rates = " and ".join(f"{number(median(each.per_second for each in results[mode]))}/s" for mode in (TOKEN, BODY))
    p99 = " and ".join(f"{median(each.p99_ms for each in results[mode]):.1f}" for mode in (TOKEN, BODY))
    name = f"accepted orders with a buyer token, {connections} connections, compared with the mode body"
    return Measurement(name, ratio, "times", TARGET, f"{rates}, p99 {p99} ms")


def _problems(connections: int, results: Results) -> list[str]:
    bad = [(mode, result) for mode, of_mode in results.items() for result in of_mode if result.refused or result.broken]
    return [f"{connections} connections, {mode}: {result.refused} refused, {result.broken} connections broke" for mode, result in bad]

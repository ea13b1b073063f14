"""The cost of tracing in the gateway: orders at 0, 1 and 100 % sampling, compared with the same gateway without tracing.

Each case is a gateway process of its own next to the stack's. All run all the time, and one receives load at a time.
Their spans go to a receiver process on the same cores. The workers do not trace, so their cost is not in the ratios.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from statistics import median
from types import MappingProxyType

from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from tools.bench.measurements import Measurement, Section
from tools.bench.processes import cpu_seconds, free_port, serving, serving_gateway
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

OFF, NONE, ALL = "off", "0%", "100%"
SHARES: Mapping[str, float] = MappingProxyType({NONE: 0.0, "1%": 0.01, ALL: 1.0})
SPANS_PER_ORDER = 3
"""In the gateway: the request, the script call, the send."""
WARM_SECONDS = 1
QUIET_SECONDS = 1.0
QUIET_TRIES = 15


@dataclass(frozen=True, slots=True)
class TracedGateway:
    """A gateway and its measurements, by number of connections."""

    name: str
    url: str
    pid: int
    results: dict[int, list[WrkResult]] = field(default_factory=dict)
    cpu_us: dict[int, list[float]] = field(default_factory=dict)
    """CPU microseconds of the gateway's process per accepted order."""
    accepted: list[int] = field(default_factory=list)
    """Orders that Redis accepted. wrk counts fewer, because it ends without waiting for the last answers."""

    def per_second(self, connections: int) -> float:
        return median(result.per_second for result in self.results[connections])

    def p99_ms(self, connections: int) -> float:
        return median(result.p99_ms for result in self.results[connections])

    def cpu_us_per_order(self, connections: int) -> float:
        return median(self.cpu_us[connections])


async def measure(
    testbed: Testbed, variables: Mapping[str, str], connections: Sequence[int], seconds: int, rounds: int, screen: Console
) -> Section:
    """`variables` are the stack's environment variables."""
    sale_id = await testbed.new_sale("bench-traced")
    port = free_port()
    async with serving(testbed.session, port, "/spans", "tools.bench.span_receiver", str(port)) as receiver:
        async with AsyncExitStack() as held:
            gateways = [await held.enter_async_context(_gateway(testbed, name, variables, receiver.url)) for name in (OFF, *SHARES)]
            for gateway in gateways:
                await _load(testbed, gateway, sale_id, connections[0], WARM_SECONDS, receiver.url)
            for _ in range(rounds):
                for count in connections:
                    for gateway in gateways:
                        result = await _measure(testbed, gateway, sale_id, count, seconds, receiver.url)
                        screen.print(Text(f"{count} connections, tracing {gateway.name}: {number(result.per_second)}/s", "dim"))
        # Only now: a gateway that ends sends the spans it still has.
        received = await _received(testbed, receiver.url)
    off, *traced = gateways
    measurements = [row for count in connections for gateway in traced for row in _measurements(off, gateway, count)]
    title = "Tracing: the gateway compared with itself without tracing"
    return Section(title, [*measurements, _received_share(gateways[-1], received)], _problems(gateways, received), [sale_id])


@asynccontextmanager
async def _gateway(testbed: Testbed, name: str, variables: Mapping[str, str], receiver: str) -> AsyncIterator[TracedGateway]:
    """A gateway of the stack, on a port of its own."""
    base = {variable: value for variable, value in os.environ.items() if not variable.startswith(("FLASHSALE_", "OTEL_"))}
    telemetry = {} if name == OFF else _telemetry(name, receiver)
    async with serving_gateway(testbed.session, {**base, **variables, **telemetry}) as server:
        yield TracedGateway(name, server.url, server.pid)


def _telemetry(name: str, receiver: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        "OTEL_TRACES_SAMPLER_ARG": str(SHARES[name]),
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
    }


async def _measure(testbed: Testbed, gateway: TracedGateway, sale_id: str, connections: int, seconds: int, receiver: str) -> WrkResult:
    """Load the gateway and record the result. The export of spans after the load counts as cost of the orders."""
    cpu_before = cpu_seconds(gateway.pid)
    result = await _load(testbed, gateway, sale_id, connections, seconds, receiver)
    gateway.results.setdefault(connections, []).append(result)
    gateway.cpu_us.setdefault(connections, []).append((cpu_seconds(gateway.pid) - cpu_before) * 1e6 / max(1, gateway.accepted[-1]))
    return result


async def _load(testbed: Testbed, gateway: TracedGateway, sale_id: str, connections: int, seconds: int, receiver: str) -> WrkResult:
    """Load the gateway, then wait until ledger and receiver have everything, so that nothing of it slows down the next measurement."""
    before = await testbed.counter(sale_id, "reserved")
    result = await run_wrk(gateway.url, Load(sale_id), connections, seconds)
    last = await _received(testbed, receiver)
    for _ in range(QUIET_TRIES):
        await asyncio.sleep(QUIET_SECONDS)
        last, previous = await _received(testbed, receiver), last
        if previous == last:
            break
    reserved = await testbed.counter(sale_id, "reserved")
    await testbed.wait_for_ledger(sale_id, reserved)
    gateway.accepted.append(reserved - before)
    return result


async def _received(testbed: Testbed, receiver: str) -> dict[str, int]:
    """Name of a gateway -> spans."""
    async with testbed.session.get(f"{receiver}/spans") as answer:
        counts: dict[str, int] = await answer.json()
        return counts


def _measurements(off: TracedGateway, traced: TracedGateway, connections: int) -> list[Measurement]:
    """Rate and CPU. Only CPU is exact: on shared cores, receiver, broker and Redis take time from the gateway and lower its rate."""
    where = f"{connections} connections, {traced.name} of orders sampled"
    rate, rate_off = traced.per_second(connections), off.per_second(connections)
    cpu_us, cpu_us_off = traced.cpu_us_per_order(connections), off.cpu_us_per_order(connections)
    latency = f"p99 {traced.p99_ms(connections):.1f} and {off.p99_ms(connections):.1f} ms"
    return [
        Measurement(f"accepted orders, {where}", rate / rate_off, "times", None, f"{number(rate)} and {number(rate_off)}/s, {latency}"),
        Measurement(f"CPU per order, {where}", cpu_us / cpu_us_off, "times", None, f"{cpu_us:.0f} and {cpu_us_off:.0f} us of the gateway"),
    ]


def _received_share(sampling_all: TracedGateway, received: Mapping[str, int]) -> Measurement:
    """Only at 100 % is the number of created spans known. The exporter drops spans when its queue is full."""
    arrived, created = received.get(ALL, 0), SPANS_PER_ORDER * sum(sampling_all.accepted)
    details = f"{number(arrived)} of {number(created)}; the exporter drops the others when its queue is full"
    return Measurement("spans that the receiver got, 100% of orders sampled", 100 * arrived / max(1, created), "%", None, details)


def _problems(gateways: Sequence[TracedGateway], received: Mapping[str, int]) -> list[str]:
    results = [(gateway.name, result) for gateway in gateways for of_count in gateway.results.values() for result in of_count]
    bad = [(name, result) for name, result in results if result.refused or result.broken]
    failed = [f"tracing {name}: {result.refused} refused, {result.broken} connections broke" for name, result in bad]
    silent = [f"tracing {name}: the receiver got no span" for name, share in SHARES.items() if share and not received.get(name)]
    unwanted = [f"tracing {name}: the receiver got {received[name]} spans" for name in (OFF, NONE) if received.get(name)]
    return [*failed, *silent, *unwanted]

"""What tracing costs the gateway: orders at 0, 1 and 100 % sampling beside the same gateway without tracing, in turn.

Each is a gateway process beside the stack's own; all are up all the time, one is asked at a time. Their spans go to a receiver in a
process of its own, on the same cores. The workers do not trace: what they would add is not in the ratios.
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
from tools.bench.figures import Line, Section
from tools.bench.site import Site, free_port, serving
from tools.bench.upkeep import cpu_seconds
from tools.bench.wrk import Load, Shot, shoot

OFF, NONE, ALL = "off", "0%", "100%"
SHARES: Mapping[str, float] = MappingProxyType({NONE: 0.0, "1%": 0.01, ALL: 1.0})
SPANS_OF_ORDER = 3
"""Of the gateway: the request, the script call, the send."""
WARM_SECONDS = 1
QUIET_SECONDS = 1.0
QUIET_TRIES = 15


@dataclass(frozen=True, slots=True)
class Traced:
    """A gateway and what was measured of it, by number of connections."""

    name: str
    url: str
    pid: int
    shots: dict[int, list[Shot]] = field(default_factory=dict)
    cpu_us: dict[int, list[float]] = field(default_factory=dict)
    """Of the gateway's process, for one accepted order."""
    accepted: list[int] = field(default_factory=list)
    """Orders, by what Redis holds: wrk ends without waiting for the last answers."""

    def per_second(self, connections: int) -> float:
        return median(shot.per_second for shot in self.shots[connections])

    def p99_ms(self, connections: int) -> float:
        return median(shot.p99_ms for shot in self.shots[connections])

    def cpu_us_each(self, connections: int) -> float:
        return median(self.cpu_us[connections])


async def measure(
    site: Site, environment: Mapping[str, str], connections: Sequence[int], seconds: int, rounds: int, screen: Console
) -> Section:
    """`environment` is the stack's."""
    sale_id = await site.new_sale("bench-traced")
    port = free_port()
    async with serving(site.session, port, "/spans", "tools.bench.receiver", str(port)) as served:
        receiver = served.url
        async with AsyncExitStack() as held:
            gateways = [await held.enter_async_context(_gateway(site, name, environment, receiver)) for name in (OFF, *SHARES)]
            for gateway in gateways:
                await _load(site, gateway, sale_id, connections[0], WARM_SECONDS, receiver)
            for _ in range(rounds):
                for count in connections:
                    for gateway in gateways:
                        shot = await _shoot(site, gateway, sale_id, count, seconds, receiver)
                        screen.print(Text(f"{count} connections, tracing {gateway.name}: {number(shot.per_second)}/s", "dim"))
        # A gateway that ends sends what it still has.
        received = await _received(site, receiver)
    off, *traced = gateways
    lines = [line for count in connections for one in traced for line in _lines(off, one, count)]
    return Section("Tracing: the gateway beside itself without", [*lines, _span_line(gateways[-1], received)],
                   _problems(gateways, received), [sale_id])  # fmt: skip


@asynccontextmanager
async def _gateway(site: Site, name: str, environment: Mapping[str, str], receiver: str) -> AsyncIterator[Traced]:
    """A gateway of the stack, on a port of its own."""
    port = free_port()
    base = {variable: value for variable, value in os.environ.items() if not variable.startswith(("FLASHSALE_", "OTEL_"))}
    own = {"FLASHSALE_PORT": str(port), "FLASHSALE_LOG_LEVEL": "ERROR"} | ({} if name == OFF else _telemetry(name, receiver))
    async with serving(site.session, port, "/readyz", "flashsale_gateway", env={**base, **environment, **own}) as served:
        yield Traced(name, served.url, served.pid)


def _telemetry(name: str, receiver: str) -> dict[str, str]:
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": receiver,
        "OTEL_TRACES_SAMPLER_ARG": str(SHARES[name]),
        "OTEL_RESOURCE_ATTRIBUTES": f"service.instance.id={name}",
    }


async def _shoot(site: Site, gateway: Traced, sale_id: str, connections: int, seconds: int, receiver: str) -> Shot:
    """One shot, noted. What the gateway exports after the load is the orders' cost too."""
    cpu_before = cpu_seconds(gateway.pid)
    shot = await _load(site, gateway, sale_id, connections, seconds, receiver)
    gateway.shots.setdefault(connections, []).append(shot)
    gateway.cpu_us.setdefault(connections, []).append((cpu_seconds(gateway.pid) - cpu_before) * 1e6 / max(1, gateway.accepted[-1]))
    return shot


async def _load(site: Site, gateway: Traced, sale_id: str, connections: int, seconds: int, receiver: str) -> Shot:
    """One shot, and the time until ledger and receiver have what it left behind, so that it disturbs nobody's figure."""
    before = await site.counter(sale_id, "reserved")
    shot = await shoot(gateway.url, Load(sale_id), connections, seconds)
    last = await _received(site, receiver)
    for _ in range(QUIET_TRIES):
        await asyncio.sleep(QUIET_SECONDS)
        last, known = await _received(site, receiver), last
        if known == last:
            break
    reserved = await site.counter(sale_id, "reserved")
    await site.caught_up(sale_id, reserved)
    gateway.accepted.append(reserved - before)
    return shot


async def _received(site: Site, receiver: str) -> dict[str, int]:
    async with site.session.get(f"{receiver}/spans") as answer:
        found: dict[str, int] = await answer.json()
        return found


def _lines(off: Traced, one: Traced, connections: int) -> list[Line]:
    """CPU tells what the rate hides where cores are shared: the receiver, the broker and Redis want theirs."""
    where = f"{connections} connections, {one.name} sampled, beside off"
    rate, rate_off = one.per_second(connections), off.per_second(connections)
    cpu_us, cpu_us_off = one.cpu_us_each(connections), off.cpu_us_each(connections)
    latency = f"p99 {one.p99_ms(connections):.1f} beside {off.p99_ms(connections):.1f} ms"
    return [
        Line(f"accepted, {where}", rate / rate_off, "x", None, f"{number(rate)} beside {number(rate_off)} orders/s, {latency}"),
        Line(f"CPU of an order, {where}", cpu_us / cpu_us_off, "x", None, f"{cpu_us:.0f} beside {cpu_us_off:.0f} us of the gateway"),
    ]


def _span_line(everything: Traced, received: Mapping[str, int]) -> Line:
    """At 100 % alone the number of spans that were made is known: the exporter drops what its queue has no room for."""
    came, made = received.get(ALL, 0), SPANS_OF_ORDER * sum(everything.accepted)
    words = f"{number(came)} of {number(made)}; the exporter's queue drops the others"
    return Line("spans received, 100% sampled", 100 * came / max(1, made), "%", None, words)


def _problems(gateways: Sequence[Traced], received: Mapping[str, int]) -> list[str]:
    shots = [(one.name, shot) for one in gateways for of_count in one.shots.values() for shot in of_count]
    bad = [
        f"tracing {name}: {shot.refused} refused, {shot.broken} connections broke" for name, shot in shots if shot.refused or shot.broken
    ]
    silent = [f"tracing {name}: no span came" for name, share in SHARES.items() if share and not received.get(name)]
    loud = [f"tracing {name}: {received[name]} spans came" for name in (OFF, NONE) if received.get(name)]
    return [*bad, *silent, *loud]

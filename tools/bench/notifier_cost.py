"""`python -m tools.bench.notifier_cost`: what events for shops cost, orders and checkouts with the notifier on and off in turns of one run.

On: RabbitMQ has the notifier's queue, and a notifier sends to one endpoint, which answers at once. Off: neither exists, and nothing may be
left that an event would need: no queue, no binding, and no row that is written.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import typer
from rich.console import Console
from rich.text import Text

from flashsale_cli.console import number
from flashsale_local_stack import Stack
from tools.bench.alone import measure_alone
from tools.bench.cpu_per_order import CpuPerOrder, CpuTimes, cpu_per_order, medians, read_cpu_times
from tools.bench.measurements import Measurement, Section, Target
from tools.bench.notifier_turn import notifying, traces
from tools.bench.options import Rounds, Seconds
from tools.bench.processes import Server, cpu_seconds
from tools.bench.testbed import Testbed
from tools.bench.wrk import Load, WrkResult, run_wrk

ON, OFF = "on", "off"
CONNECTIONS = (64, 512)
ORDERS_TARGET = Target(0.95)
"""A shop receives nothing of an order that is only accepted, so the notifier has nothing to do either."""
NOTHING = Target(0, at_least=False)


@dataclass
class Turns:
    """The rates of one kind of load at one number of connections, by turn."""

    per_second: dict[str, list[float]] = field(default_factory=lambda: {ON: [], OFF: []})
    cpu: dict[str, list[CpuPerOrder]] = field(default_factory=lambda: {ON: [], OFF: []})

    def measurement(self, name: str, target: Target | None) -> Measurement:
        """The median of the ratios of the rounds."""
        ratio = median(on / off for on, off in zip(self.per_second[ON], self.per_second[OFF], strict=True))
        rates = " and ".join(f"{number(median(self.per_second[turn]))}/s" for turn in (ON, OFF))
        return Measurement(f"{name}, notifier on compared with off", ratio, "times", target, rates)

    def cpu_measurements(self, name: str) -> list[Measurement]:
        """The notifier counts among the other processes."""
        by_turn = {turn: medians(rounds) for turn, rounds in self.cpu.items()}
        return [
            Measurement(f"CPU time, {name}, notifier {turn}", cpu.all_us, "µs per order", details=str(cpu)) for turn, cpu in by_turn.items()
        ]


class Bench:
    def __init__(self, testbed: Testbed, stack: Stack, orders_id: str, checkouts_id: str, screen: Console) -> None:
        self._testbed, self._stack, self._screen = testbed, stack, screen
        self._orders_id, self._checkouts_id = orders_id, checkouts_id
        self.orders, self.checkouts, self.problems = dict[int, Turns](), dict[int, Turns](), list[str]()

    async def turn(self, name: str, connections: Sequence[int], seconds: int, notifier: Server | None = None) -> None:
        """Measure everything once. Orders come first: events of checkouts are still being sent afterwards."""
        for count in connections:
            # What the checkouts of the turn before have left makes Redis rewrite its file, which would count against this turn.
            await self._testbed.finish_maintenance()
            before = self._cpu_times(notifier)
            result = await run_wrk(self._testbed.url, Load(self._orders_id), count, seconds)
            self.orders.setdefault(count, Turns()).cpu[name].append(cpu_per_order(before, self._cpu_times(notifier), result.accepted))
            self._note(self.orders, name, count, result, result.accepted / result.seconds, "orders")
            await self._testbed.settle(self._orders_id)
        for count in connections:
            sold_before = await self._testbed.counter(self._checkouts_id, "sold")
            result = await run_wrk(self._testbed.url, Load(self._checkouts_id, secret=self._testbed.webhook_secret), count, seconds)
            sold = await self._testbed.counter(self._checkouts_id, "sold")
            self._note(self.checkouts, name, count, result, (sold - sold_before) / result.seconds, "checkouts")
            held = await self._testbed.counter(self._checkouts_id, "reserved")
            await self._testbed.wait_for_ledger(self._checkouts_id, sold + held)

    def _cpu_times(self, notifier: Server | None) -> CpuTimes:
        times = read_cpu_times(self._stack)
        return replace(times, by_process={**times.by_process, "notifier": cpu_seconds(notifier.pid)}) if notifier else times

    def _note(self, rates: dict[int, Turns], name: str, count: int, result: WrkResult, rate: float, what: str) -> None:
        rates.setdefault(count, Turns()).per_second[name].append(rate)
        self._screen.print(Text(f"notifier {name}, {count} connections: {number(rate)} {what}/s", "dim"))
        if result.refused or result.broken:
            self.problems.append(f"{what}, {count} connections, notifier {name}: {result.refused} refused, {result.broken} broke")


async def measure(testbed: Testbed, stack: Stack, connections: Sequence[int], seconds: int, rounds: int, screen: Console) -> Section:
    """`stack` must have no notifier."""
    orders_id, checkouts_id = [await testbed.new_sale(f"bench-notifier-{kind}") for kind in ("orders", "checkouts")]
    bench, left, events = Bench(testbed, stack, orders_id, checkouts_id, screen), 0, 0
    for index in range(rounds):
        # The other one begins each round, so that what one leaves to the workers slows down both.
        for name in (OFF, ON) if index % 2 == 0 else (ON, OFF):
            if name == OFF:
                before = await _rows(testbed)
                await bench.turn(OFF, connections, seconds)
                left += await asyncio.to_thread(traces, stack) + await _rows(testbed) - before
                continue
            async with notifying(testbed, stack) as notifier:
                await bench.turn(ON, connections, seconds, notifier)
                events += await _events(testbed, checkouts_id)
            await _forget_events(testbed, (orders_id, checkouts_id))
    rows = [
        *(turns.measurement(f"accepted orders, {count} connections", ORDERS_TARGET) for count, turns in bench.orders.items()),
        *(row for count, turns in bench.orders.items() for row in turns.cpu_measurements(f"accepted orders, {count} connections")),
        *(turns.measurement(f"checkouts, {count} connections", None) for count, turns in bench.checkouts.items()),
        Measurement("queues, bindings and rows for events while the notifier is off", left, "", NOTHING),
    ]
    problems = [*bench.problems, *([] if left == 0 else ["events left something while the notifier was off"])]
    if events == 0:
        problems.append("the notifier wrote no event, so its turns prove nothing")
    return Section("Notifier: orders and checkouts with it on and off", rows, problems, [orders_id, checkouts_id])


async def _rows(testbed: Testbed) -> int:
    """How many rows exist for events."""
    tables = ("shop_events", "webhook_deliveries", "webhook_attempts")
    return sum([int(await testbed.ledger.fetchval(f"select count(*) from {table}")) for table in tables])  # noqa: S608 - names from here


async def _events(testbed: Testbed, sale_id: str) -> int:
    return int(await testbed.ledger.fetchval("select count(*) from shop_events where sale_id = $1", sale_id))


async def _forget_events(testbed: Testbed, sale_ids: Sequence[str]) -> None:
    """The next turn begins with as few rows as this one did."""
    await testbed.ledger.execute("delete from shop_events where sale_id = any($1)", sale_ids)


def main(seconds: Seconds = 4, rounds: Rounds = 3) -> None:
    """Measure on a temporary stack. Exit status 1 if events left something while the notifier was off, or counts and stores disagree.

    A missed target is shown and is not a failure.
    """
    measure_alone(lambda testbed, stack, screen: measure(testbed, stack, CONNECTIONS, seconds, rounds, screen))


if __name__ == "__main__":
    typer.run(main)

"""`python -m tools.bench.full`: every measurement with its target, in one run with one audit at the end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_audit.audit_all import Options, Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import console, number, table
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import DEFAULT_HOME, Stack, temporary_stack
from tools.bench import (
    checkout,
    confirmed,
    holds,
    identity,
    idle_and_start,
    many_gateways,
    many_sales,
    notifier_cost,
    open_loop,
    pages,
    rates,
    tracing,
)
from tools.bench.measurements import ACCEPTED, Measurement, Round, Section
from tools.bench.options import Home, ResultFolder, Rounds, Seconds
from tools.bench.result_file import rounds_to_json, section_to_json
from tools.bench.run import RESULTS, end, require_wrk, write
from tools.bench.testbed import Testbed, open_testbed

CONNECTIONS = (1, 64, 512, 2048)
BUSY_CONNECTIONS = (64, 512)
SECTIONS = (
    "idle",
    "open-loop",
    "checkout",
    "confirmed",
    "steady",
    "storm",
    "spread",
    "identity",
    "tracing",
    "notifier",
    "pages",
    "scale",
    "live",
    "cold-start",
)
SECTION_COLUMNS = (" what", "measured", "target", " details")
SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Plan:
    only: frozenset[str]
    """Names of sections; empty for all."""
    seconds: int
    rounds: int

    def includes(self, name: str) -> bool:
        return not self.only or name in self.only


@dataclass(frozen=True, slots=True)
class FullRun:
    rounds: list[Round]
    sections: list[Section]
    audit: Report

    def problems(self) -> list[str]:
        in_rounds = [f"{each.connections} connections: {problem}" for each in self.rounds for problem in each.problems()]
        return in_rounds + [f"{section.title}: {problem}" for section in self.sections for problem in section.problems]


async def measure(environment: CliEnvironment, stack: Stack, plan: Plan, screen: Console) -> FullRun:
    """Measure the rates, then the sections of the plan. The rates are always needed: other measurements are compared with them."""
    async with open_testbed(environment) as testbed:
        bench = await rates.prepare(testbed)
        connections, kinds = (BUSY_CONNECTIONS, rates.KINDS) if plan.only else (CONNECTIONS, rates.ALL_KINDS)
        rounds = await rates.measure(bench, connections, kinds, plan.seconds, plan.rounds, screen)
        accepted = median(each.results[ACCEPTED].per_second for each in rounds if each.connections == BUSY_CONNECTIONS[-1])
        starts = _sections(testbed, stack, plan, accepted, screen)
        sections = [await start() for name, start in starts.items() if plan.includes(name)]
        sale_ids = [*bench.sale_ids, *(sale_id for section in sections for sale_id in section.sale_ids)]
        audit = await audit_stores(environment, Options(tuple(sale_ids)), SETTLE_SECONDS)
    if plan.includes("cold-start"):
        sections.append(await idle_and_start.measure_cold_start(stack))
    return FullRun(rounds, sections, audit)


def _sections(
    testbed: Testbed, stack: Stack, plan: Plan, accepted_per_second: float, screen: Console
) -> dict[str, Callable[[], Awaitable[Section]]]:
    """Name of a section -> what measures it. The last one fills Redis with a million orders."""
    seconds, rounds = plan.seconds, plan.rounds
    return {
        "idle": lambda: idle_and_start.measure_idle(stack, screen),
        "open-loop": lambda: open_loop.measure(testbed, accepted_per_second, screen),
        "checkout": lambda: checkout.measure(testbed, BUSY_CONNECTIONS, seconds, rounds, screen),
        "confirmed": lambda: confirmed.measure(testbed, stack, BUSY_CONNECTIONS, seconds, rounds, screen),
        "steady": lambda: holds.measure_steady(testbed, screen),
        "storm": lambda: holds.measure_storm(testbed, accepted_per_second, screen),
        "spread": lambda: many_sales.measure(testbed, seconds, rounds, screen),
        "identity": lambda: identity.measure(testbed, stack.env(), BUSY_CONNECTIONS, seconds, rounds, screen),
        "tracing": lambda: tracing.measure(testbed, stack.env(), BUSY_CONNECTIONS, seconds, rounds, screen),
        "notifier": lambda: notifier_cost.measure(testbed, stack, BUSY_CONNECTIONS, seconds, rounds, screen),
        "pages": lambda: pages.measure(testbed, stack.env(), seconds, rounds, screen),
        "scale": lambda: many_gateways.measure(testbed, stack, seconds, rounds, screen),
        "live": lambda: holds.measure_live(testbed, seconds, rounds, screen),
    }


def main(
    seconds: Seconds = 4,
    rounds: Rounds = 3,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SECTIONS)}; may be repeated. Default: all.")] = None,
    home: Home = DEFAULT_HOME,
    results: ResultFolder = RESULTS,
) -> None:
    """Measure everything. Exit status 1 when counts and stores disagree. A missed target is shown and is not a failure."""
    screen = console()
    require_wrk(screen)
    if unknown := set(only or ()) - set(SECTIONS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}", param_hint="--only")
    with temporary_stack(home, 0, lambda words: screen.print(Text(words, "dim"))) as variables:
        plan = Plan(frozenset(only or ()), seconds, rounds)
        done = uvloop.run(measure(CliEnvironment(variables), Stack(home), plan, screen))
    problems = done.problems()
    document = {"problems": problems, **rounds_to_json(done.rounds), "sections": [section_to_json(section) for section in done.sections]}
    path = write(results, "bench-full", {**document, "audit": summarize_audit(audit_report.to_json(done.audit))})
    screen.print()
    rates.show(done.rounds, screen)
    for section in done.sections:
        screen.print()
        show(section, screen)
    screen.print()
    screen.print(audit_report.promises_table(done.audit))
    end(problems, done.audit, path, screen)


def summarize_audit(audit: Mapping[str, Any]) -> dict[str, Any]:
    """The audit without the numbers of each of ten thousand sales. Sales with wrong numbers are among its differences."""
    orders = sum(state["orders"] for sale in audit["sales"] for state in sale["ledger"].values())
    kept = {name: part for name, part in audit.items() if name not in {"sales", "money"}}
    return {**kept, "sales": len(audit["sales"]), "orders_in_the_ledger": orders}


def show(section: Section, screen: Console) -> None:
    screen.print(table(section.title, SECTION_COLUMNS, map(_row, section.measurements)))


def _row(measurement: Measurement) -> Sequence[str | Text]:
    value = f"{measurement.value:.2f}" if measurement.value < 100 else number(measurement.value)
    target = "" if measurement.target is None else str(measurement.target)
    style = "green" if measurement.reached else "yellow"
    return measurement.name, f"{value} {measurement.unit}".strip(), Text(target, style), measurement.details


if __name__ == "__main__":
    typer.run(main)

"""`python -m tools.bench.full`: every figure the engine is held to, with its bar, in one run with one audit at the end."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.audit_all import Options, Report, audit_stores
from flashsale_cli.console import console, number, table
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import DEFAULT_HOME, Stack, temporary_stack
from tools.bench import checkout, holds, rates, scale, spread, tracing, upkeep
from tools.bench.arrivals import arrive
from tools.bench.figures import ACCEPTED, Line, Round, Section, section_to_json, to_json
from tools.bench.run import RESULTS, end, require_wrk, write
from tools.bench.site import Site, open_site

CONNECTIONS = (1, 64, 512, 2048)
BUSY_CONNECTIONS = (64, 512)
SHARES = (0.25, 0.5, 0.75)
OPEN_SECONDS = 10
SECTIONS = ("idle", "open-loop", "checkout", "steady", "storm", "spread", "tracing", "scale", "live", "cold-start")
SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Found:
    rounds: list[Round]
    sections: list[Section]
    audit: Report

    def problems(self) -> list[str]:
        in_rounds = [f"{one.connections} connections: {problem}" for one in self.rounds for problem in one.problems()]
        return in_rounds + [f"{section.title}: {problem}" for section in self.sections for problem in section.problems]


async def open_loop(site: Site, capacity: float, screen: Console) -> Section:
    """Latency at constant rates that are shares of what the closed loop has reached."""
    sale_id = await site.new_sale("bench-open")
    lines, problems = [], []
    for share in SHARES:
        rate = int(capacity * share) // 100 * 100
        found = await arrive(site.url, sale_id, rate, OPEN_SECONDS)
        p50, p99, p999 = (found.percentile(at) for at in (0.5, 0.99, 0.999))
        words = f"p50 {p50:.1f} ms, p99.9 {p999:.1f} ms, largest {found.percentile(1.0):.1f} ms"
        screen.print(Text(f"open loop, {number(rate)}/s: p99 {p99:.1f} ms, {words}", "dim"))
        also = {"per_second": rate, "p50": p50, "p99": p99, "p99.9": p999}
        lines.append(Line(f"p99 at a constant {number(rate)} orders/s ({share:.0%})", p99, "ms", None, words, also))
        if found.refused or found.answered < found.asked:
            problems.append(f"{number(rate)}/s: of {found.asked} orders {found.answered} were accepted, {found.refused} refused")
    return Section("Open loop: constant arrival rate", lines, problems, [sale_id])


async def measure(environment: CliEnvironment, stack: Stack, only: set[str], seconds: int, rounds: int, screen: Console) -> Found:
    """The sections whose names are in `only`, or all; the rates come always, others are held against them."""
    async with open_site(environment) as site:
        what = await rates.open_rates(site)
        connections, kinds = (BUSY_CONNECTIONS, rates.KINDS) if only else (CONNECTIONS, rates.ALL_KINDS)
        found = await rates.measure(what, connections, kinds, seconds, rounds, screen)
        accepted = median(one.shots[ACCEPTED].per_second for one in found if one.connections == BUSY_CONNECTIONS[-1])
        sections: dict[str, Callable[[], Awaitable[Section]]] = {
            "idle": lambda: upkeep.idle(stack, screen),
            "open-loop": lambda: open_loop(site, accepted, screen),
            "checkout": lambda: checkout.measure(site, BUSY_CONNECTIONS, seconds, rounds, screen),
            "steady": lambda: holds.steady(site, screen),
            "storm": lambda: holds.storm(site, accepted, screen),
            "spread": lambda: spread.measure(site, seconds, rounds, screen),
            "tracing": lambda: tracing.measure(site, stack.env(), BUSY_CONNECTIONS, seconds, rounds, screen),
            "scale": lambda: scale.measure(site, stack, seconds, rounds, screen),
            "live": lambda: holds.live(site, seconds, rounds, screen),
        }
        done = [await start() for name, start in sections.items() if not only or name in only]
        sale_ids = [*what.sale_ids, *(sale_id for section in done for sale_id in section.sale_ids)]
        audit = await audit_stores(environment, Options(tuple(sale_ids)), SETTLE_SECONDS)
    if not only or "cold-start" in only:
        done.append(await upkeep.cold_start(stack))
    return Found(found, done, audit)


def main(
    seconds: Annotated[int, typer.Option(help="How long each measurement takes.", min=1, max=60)] = 4,
    rounds: Annotated[int, typer.Option(help="How often each is repeated, in turn; the medians count.", min=1, max=20)] = 3,
    only: Annotated[list[str] | None, typer.Option(help=f"One of {', '.join(SECTIONS)}; may be repeated. Default: all.")] = None,
    home: Annotated[Path, typer.Option(help="Folder of the stack; it is used if it runs, else started and stopped again.")] = DEFAULT_HOME,
    results: Annotated[Path, typer.Option(help="Folder for the result as JSON.")] = RESULTS,
) -> None:
    """Measure everything. Exit status 1 when figures and stores do not agree; a missed bar is said and is no failure."""
    screen = console()
    require_wrk(screen)
    if unknown := set(only or ()) - set(SECTIONS):
        raise typer.BadParameter(f"{', '.join(sorted(unknown))}: choose from {', '.join(SECTIONS)}", param_hint="--only")
    with temporary_stack(home, 0, lambda words: screen.print(Text(words, "dim"))) as variables:
        environment = CliEnvironment(variables)
        found = uvloop.run(measure(environment, Stack(home), set(only or ()), seconds, rounds, screen))
    problems = found.problems()
    figures = {"problems": problems, **to_json(found.rounds), "sections": [section_to_json(section) for section in found.sections]}
    path = write(results, "bench-full", {**figures, "audit": in_short(audit_report.to_json(found.audit))})
    screen.print()
    rates.show(found.rounds, screen)
    for section in found.sections:
        screen.print()
        show(section, screen)
    screen.print()
    screen.print(audit_report.promises_table(found.audit))
    end(problems, found.audit, path, screen)


def in_short(audit: Mapping[str, Any]) -> dict[str, Any]:
    """The audit without the numbers of each of ten thousand sales: those that are wrong are among its differences."""
    orders = sum(state["orders"] for sale in audit["sales"] for state in sale["ledger"].values())
    kept = {name: part for name, part in audit.items() if name not in {"sales", "money"}}
    return {**kept, "sales": len(audit["sales"]), "orders_in_the_ledger": orders}


def show(section: Section, screen: Console) -> None:
    screen.print(table(section.title, (" what", "measured", "bar", " more"), map(_row, section.lines)))


def _row(line: Line) -> Sequence[str | Text]:
    value = f"{line.value:.2f}" if line.value < 100 else number(line.value)
    bar = "" if line.bar is None else str(line.bar)
    return line.name, f"{value} {line.unit}".strip(), Text(bar, "green" if line.reached else "yellow"), line.words


if __name__ == "__main__":
    typer.run(main)

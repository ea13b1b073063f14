"""`python -m tools.bench.run`: accepted orders and "sold out" answers per second, compared with a bare Starlette endpoint."""

import json
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_audit.audit_all import Options, Report
from flashsale_cli.audit import report as audit_report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, EXIT_UNREACHABLE, console
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import DEFAULT_HOME, temporary_stack
from tools.bench import rates
from tools.bench.machine import describe
from tools.bench.measurements import Round
from tools.bench.options import Home, ResultFolder, Rounds, Seconds
from tools.bench.result_file import rounds_to_json
from tools.bench.testbed import open_testbed

CONNECTIONS = (64, 512)
SETTLE_SECONDS = 60.0
RESULTS = Path(__file__).parent / "results"


async def measure(environment: CliEnvironment, seconds: int, rounds: int, screen: Console) -> tuple[list[Round], Report]:
    async with open_testbed(environment) as testbed:
        bench = await rates.prepare(testbed)
        done = await rates.measure(bench, CONNECTIONS, rates.KINDS, seconds, rounds, screen)
        return done, await audit_stores(environment, Options(bench.sale_ids), SETTLE_SECONDS)


def main(
    seconds: Seconds = 5,
    rounds: Rounds = 3,
    home: Home = DEFAULT_HOME,
    results: ResultFolder = RESULTS,
) -> None:
    """Measure orders per second. Exit status 1 when counts and stores disagree. A missed target is shown and is not a failure."""
    screen = console()
    require_wrk(screen)
    with temporary_stack(home, 0, lambda words: screen.print(Text(words, "dim"))) as variables:
        environment = CliEnvironment(variables)
        done, audit = uvloop.run(measure(environment, seconds, rounds, screen))
    problems = [f"{each.connections} connections: {problem}" for each in done for problem in each.problems()]
    path = write(results, "bench", {"problems": problems, **rounds_to_json(done), "audit": audit_report.to_json(audit)})
    screen.print()
    rates.show(done, screen)
    screen.print()
    screen.print(audit_report.render(audit))
    end(problems, audit, path, screen)


def require_wrk(screen: Console) -> None:
    if shutil.which("wrk") is None:
        screen.print("bench: wrk is not installed; try `apt-get install wrk`", style="red")
        raise typer.Exit(EXIT_UNREACHABLE)


def end(problems: list[str], audit: Report, path: Path, screen: Console) -> None:
    """Print the problems. Raises typer.Exit when counts and stores disagree."""
    for problem in problems:
        screen.print(Text(problem, "red"))
    screen.print(Text(f"written to {path.name}", "dim"))
    if problems or not audit.clean():
        raise typer.Exit(EXIT_FAILED)


def write(results: Path, name: str, document: Mapping[str, Any]) -> Path:
    at = datetime.now(UTC)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{name}-{at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps({"at": at.isoformat(timespec="seconds"), "machine": describe(), **document}, indent=2) + "\n")
    return path


if __name__ == "__main__":
    typer.run(main)

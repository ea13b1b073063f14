"""A section of the full bench that is measured alone, on a stack of its own."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import typer
import uvloop
from rich.console import Console
from rich.text import Text

from flashsale_audit.audit_all import Options
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.console import EXIT_FAILED, console
from flashsale_cli.environment import CliEnvironment
from flashsale_local_stack import Stack, private_stack
from tools.bench.measurements import Section
from tools.bench.run import require_wrk
from tools.bench.testbed import Testbed, open_testbed

AUDIT_SECONDS = 60.0
Measure = Callable[[Testbed, Stack, Console], Awaitable[Section]]


def measure_alone(measure: Measure) -> None:
    """Measure on a temporary stack and show the results. Raises typer.Exit if the section or the audit of its sales has a problem."""
    screen = console()
    require_wrk(screen)
    with private_stack(say=lambda words: screen.print(Text(words, "dim"))) as stack:
        section = uvloop.run(_audited(measure, stack, screen))
    for measurement in section.measurements:
        screen.print(Text(measurement.verdict()))
    for problem in section.problems:
        screen.print(Text(f"WRONG {problem}", "red"))
    if section.problems:
        raise typer.Exit(EXIT_FAILED)


async def _audited(measure: Measure, stack: Stack, screen: Console) -> Section:
    environment = CliEnvironment(stack.env())
    async with open_testbed(environment) as testbed:
        section = await measure(testbed, stack, screen)
    audit = await audit_stores(environment, Options(tuple(section.sale_ids)), AUDIT_SECONDS)
    return replace(section, problems=[*section.problems, *([] if audit.clean() else ["the audit found differences"])])

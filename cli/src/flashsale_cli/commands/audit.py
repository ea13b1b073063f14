"""`flashsale audit`: hold the stores against each other."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from flashsale_cli.audit import report
from flashsale_cli.audit.audit_all import Options, audit_stores
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, write_json
from flashsale_cli.environment import CliEnvironment


def audit(
    sales: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="The sales; all when none is named.")] = None,
    overdue_grace_seconds: Annotated[float, typer.Option(help="How late an unpaid unit may come back.", min=0)] = 5.0,
    wait_seconds: Annotated[float, typer.Option(help="Give what is under way this long to arrive.", min=0)] = 0.0,
    expect_accepted: Annotated[Path | None, typer.Option(help="A file of order ids that must exist.", exists=True)] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Compare totals, counters, orders, buyers and deadlines in Redis with orders, history and payments in the ledger. Reads only.

    Exit status 1 when something is off. A sale that is being bought moves while it is read: use --wait-seconds, or audit when it is quiet.
    """
    accepted = expect_accepted.read_text().split() if expect_accepted else ()
    options = Options(tuple(sales or ()), overdue_grace_seconds, accepted)
    found = asyncio.run(audit_stores(CliEnvironment(), options, wait_seconds))
    if as_json:
        write_json(report.to_json(found))
    else:
        console().print(report.render(found))
    if not found.findings.clean():
        raise typer.Exit(EXIT_FAILED)

"""`flashsale audit`: compare the stores with each other."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from flashsale_audit.audit_all import Options
from flashsale_cli.audit import report
from flashsale_cli.audit.stores import audit_stores
from flashsale_cli.commands.id_file import read_ids
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, write_json
from flashsale_cli.environment import CliEnvironment


def audit(
    sales: Annotated[list[str] | None, typer.Argument(metavar="[PRODUCT]...", help="The sales to audit. Default: all.")] = None,
    overdue_grace_seconds: Annotated[float, typer.Option(help="How late an unpaid unit may be released.", min=0, max=3600)] = 5.0,
    wait_seconds: Annotated[
        float, typer.Option(help="Repeat the audit for up to this long if its differences may disappear by themselves.", min=0, max=3600)
    ] = 0.0,
    expect_accepted: Annotated[
        Path | None, typer.Option(help="A file with the ids of orders that must exist.", exists=True, dir_okay=False)
    ] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Compare the stock, orders, buyers and deadlines in Redis with the orders, history and payments in the ledger. Only reads.

    Exit status 1 if there are differences, or if something could not be judged, such as a shard that is being recovered.
    Sales may be running: a difference counts only if it holds in one look at both stores.
    """
    options = Options(tuple(sales or ()), overdue_grace_seconds, read_ids(expect_accepted, "--expect-accepted"))
    audit_report = asyncio.run(audit_stores(CliEnvironment(), options, wait_seconds))
    if as_json:
        write_json(report.to_json(audit_report))
    else:
        console().print(report.render(audit_report))
    if not audit_report.clean():
        raise typer.Exit(EXIT_FAILED)

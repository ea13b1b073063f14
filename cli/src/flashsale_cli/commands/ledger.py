"""`flashsale ledger prune`."""

import asyncio
import re
from datetime import timedelta
from typing import Annotated

import typer

from flashsale_cli.compaction import compact
from flashsale_cli.console import JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.retention import AGE_MIN, Pruned, prune
from flashsale_cli.server_urls import database_url as read_database_url
from flashsale_cli.stray_reports import prune_stray_reports

app = typer.Typer(no_args_is_help=True, help="Maintain the ledger.")
_DAYS = re.compile(r"^([0-9]{1,5})d$")


@app.callback()
def ledger() -> None:
    """Maintain the ledger."""


@app.command("prune")
def prune_command(
    older_than: Annotated[str, typer.Option(help="Delete sales that ended longer ago than this, in days, such as 400d; at least 30d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; show what would be deleted.")] = False,
    sales_max: Annotated[int, typer.Option(help="Most sales to delete in one run.", min=1, max=100_000)] = 1000,
    database_url: Annotated[str | None, typer.Option(help="URL of the ledger, as the owner of its tables. Default: DATABASE_URL.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Delete sales that were removed long ago, with all their orders, history, payments and refunds.

    It also deletes reports of refunds that are as old and belong to nothing in the ledger, and merges the ranges of received entries
    that are older than an hour; no position is forgotten.
    A sale is kept while it is open or closed, while it has a younger order, payment or change of a refund, while it has a refund that is
    not sent, or while a paid order of it is reported as paid back and nobody has decided on it.
    The command may be repeated.
    """
    age = read_age(older_than)
    url = read_database_url(CliEnvironment(), database_url)
    deleted: list[Pruned] = asyncio.run(_all(url, age, sales_max, dry_run))
    reports = asyncio.run(prune_stray_reports(url, age, dry_run=dry_run))
    compacted = asyncio.run(compact(url, age, dry_run=dry_run))
    if as_json:
        write_json({
            "dryRun": dry_run, "sales": [_document(pruned) for pruned in deleted],
            "receivedRanges": {"before": compacted.ranges_before, "after": compacted.ranges_after}, "markers": compacted.markers,
            "strayReports": reports,
        })  # fmt: skip
    else:
        console().print(table("", ("sale", " ended", "orders", "events", "payments", "refunds"), map(_row, deleted)))
        would = "would be " if dry_run else ""
        console().print(f"{len(deleted)} sales {would}deleted")
        console().print(f"{number(reports)} reports of refunds that belong to nothing {would}deleted")
        console().print(f"{number(compacted.ranges_before)} ranges of received entries {would}merged into {number(compacted.ranges_after)}")


def read_age(text: str) -> timedelta:
    """`400d` as a timedelta. Raises BadParameter if it is not in days or is less than AGE_MIN."""
    match = _DAYS.match(text)
    if match is None or timedelta(days=int(match[1])) < AGE_MIN:
        raise typer.BadParameter(f"give days, such as 400d; at least {AGE_MIN.days}d", param_hint="--older-than")
    return timedelta(days=int(match[1]))


async def _all(url: str, age: timedelta, sales_max: int, dry_run: bool) -> list[Pruned]:
    return [pruned async for pruned in prune(url, age, sales_max, dry_run=dry_run)]


def _row(pruned: Pruned) -> tuple[str, ...]:
    counts = (pruned.orders, pruned.events, pruned.payments, pruned.refunds)
    return (pruned.sale.sale_id, f"{pruned.sale.ended_at:%Y-%m-%d}", *map(number, counts))


def _document(pruned: Pruned) -> dict[str, object]:
    return {
        "productId": pruned.sale.sale_id, "epoch": pruned.sale.epoch, "endedAt": pruned.sale.ended_at.isoformat(),
        "orders": pruned.orders, "events": pruned.events, "payments": pruned.payments, "refunds": pruned.refunds,
    }  # fmt: skip

"""`flashsale ledger prune`."""

import asyncio
import re
from datetime import timedelta
from typing import Annotated

import typer

from flashsale_cli.console import JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.retention import AGE_MIN, Pruned, prune
from flashsale_core.credentials import database_url as checked_database_url

app = typer.Typer(no_args_is_help=True, help="Look after the ledger.")
_DAYS = re.compile(r"^([0-9]{1,5})d$")


@app.callback()
def ledger() -> None:
    """Look after the ledger."""


@app.command("prune")
def prune_command(
    older_than: Annotated[str, typer.Option(help="How long ago a sale must have ended, in days, such as 400d; at least 30d.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Delete nothing; show what would be.")] = False,
    sales_max: Annotated[int, typer.Option(help="Most sales in one run.", min=1, max=100_000)] = 1000,
    database_url: Annotated[str | None, typer.Option(help="The ledger, as the owner of its tables; else DATABASE_URL.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Delete sales that were removed long ago, whole: their orders, history, payments and refunds.

    A sale stays as long as it is open or closed, or has an order or payment younger than that, or a refund that is not sent.
    Repeating it is harmless.
    """
    age = read_age(older_than)
    url = checked_database_url(CliEnvironment().text("DATABASE_URL", database_url))
    gone: list[Pruned] = asyncio.run(_all(url, age, sales_max, dry_run))
    if as_json:
        write_json({"dryRun": dry_run, "sales": [_document(one) for one in gone]})
    else:
        console().print(table("", ("sale", " ended", "orders", "events", "payments", "refunds"), map(_row, gone)))
        console().print(f"{len(gone)} sales {'would be ' if dry_run else ''}deleted")


def read_age(text: str) -> timedelta:
    """`400d` as a timedelta. Raises BadParameter when it is not in days, or below AGE_MIN."""
    match = _DAYS.match(text)
    if match is None or timedelta(days=int(match[1])) < AGE_MIN:
        raise typer.BadParameter(f"use days, at least {AGE_MIN.days}d, such as 400d", param_hint="--older-than")
    return timedelta(days=int(match[1]))


async def _all(url: str, age: timedelta, sales_max: int, dry_run: bool) -> list[Pruned]:
    return [one async for one in prune(url, age, sales_max, dry_run=dry_run)]


def _row(one: Pruned) -> tuple[str, ...]:
    counts = (one.orders, one.events, one.payments, one.refunds)
    return (one.sale.sale_id, f"{one.sale.ended_at:%Y-%m-%d}", *map(number, counts))


def _document(one: Pruned) -> dict[str, object]:
    return {
        "productId": one.sale.sale_id, "epoch": one.sale.epoch, "endedAt": one.sale.ended_at.isoformat(),
        "orders": one.orders, "events": one.events, "payments": one.payments, "refunds": one.refunds,
    }  # fmt: skip

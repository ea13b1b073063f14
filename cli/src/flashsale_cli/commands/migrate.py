"""`flashsale migrate`: bring the ledger's schema up to date."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import asyncpg
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flashsale_cli import migrations
from flashsale_core.credentials import database_url as checked_database_url
from flashsale_core.faults import Server, describe_error


class Phase(StrEnum):
    PRE = "pre"
    POST = "post"
    ALL = "all"


def migrate(
    database_url: Annotated[str, typer.Option(envvar="DATABASE_URL", help="postgresql://user:password@host:port/database")],
    db_dir: Annotated[Path, typer.Option(envvar="FLASHSALE_DB_DIR", help="Folder with migrations/.")] = Path("db"),
    phase: Annotated[Phase, typer.Option(help="pre: before new code runs; post: after old code is gone.")] = Phase.ALL,
    wait_seconds: Annotated[float, typer.Option(min=0, max=600, help="How long to wait for the server to accept connections.")] = 30,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Apply the migrations that are missing, in order, under an advisory lock. Exit 1 with the reason when one cannot be."""
    try:
        outcome = asyncio.run(migrations.migrate(checked_database_url(database_url), db_dir, phase.value, wait_seconds))
    except migrations.MigrationError as error:
        _refuse(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        _refuse(describe_error(Server.POSTGRES, error))
    if as_json:
        found = [{"version": one.version, "phase": one.phase, "name": one.name} for one in outcome.applied]
        print(msgspec.json.encode(found).decode())  # noqa: T201 - exact bytes, no wrapping
    else:
        Console().print(_table(outcome.applied) if outcome.applied else _nothing(outcome.newer, db_dir))


def _refuse(reason: str) -> NoReturn:
    Console(stderr=True).print(f"flashsale migrate: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _nothing(newer: int | None, db_dir: Path) -> str:
    if newer is None:
        return "the schema is up to date"
    known = migrations.read_migrations(db_dir)[-1].version
    return f"nothing to do: the schema is at migration {newer}, of a newer release; this one knows {known}"


def _table(applied: list[migrations.Migration]) -> Table:
    table = Table("applied", "phase", "name")
    for one in applied:
        table.add_row(str(one.version), one.phase, one.name)
    return table

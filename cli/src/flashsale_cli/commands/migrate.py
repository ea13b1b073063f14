"""`flashsale migrate`: bring the ledger's schema up to date, and note whose ledger it is."""

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, NoReturn

import asyncpg
import msgspec
import typer
from rich.console import Console
from rich.table import Table

from flashsale_cli import migrations, roles
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.installation import NAME_DEFAULT, Installation
from flashsale_cli.installation import initialise as write_installation
from flashsale_cli.server_urls import database_url as read_database_url
from flashsale_core.credentials import token
from flashsale_core.faults import Server, describe_error


class Phase(StrEnum):
    PRE = "pre"
    POST = "post"
    ALL = "all"


def migrate(
    database_url: Annotated[str | None, typer.Option(help="postgresql://user:password@host:port/database. Default: DATABASE_URL.")] = None,
    db_dir: Annotated[Path | None, typer.Option(help="Folder that contains migrations/. Default: FLASHSALE_DB_DIR, or db.")] = None,
    phase: Annotated[
        Phase, typer.Option(help="pre: run before the new release starts; post: run after the old release has ended.")
    ] = Phase.ALL,
    wait_seconds: Annotated[float, typer.Option(min=0, max=600, help="How long to wait for the server to accept connections.")] = 30,
    initialise: Annotated[
        bool, typer.Option("--initialise", help="Then write the installation's name and shard count into the ledger, once.")
    ] = False,
    name: Annotated[str | None, typer.Option("--installation", help="Its name. Default: FLASHSALE_INSTALLATION.")] = None,
    shards: Annotated[int | None, typer.Option(min=1, max=4096, help="How many shards Redis has. Default: FLASHSALE_SHARDS.")] = None,
    create_roles: Annotated[
        bool,
        typer.Option(
            "--create-roles",
            help="Then create the services' roles, with the passwords in FLASHSALE_WRITER_PASSWORD, _KEEPER_, _READER_ and _RETENTION_, "
            "and _LEDGER_API_ and _NOTIFIER_ if they are set.",
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Apply missing migrations in order, under an advisory lock. Then grant the services' roles that exist their rights (db/*.sql).

    With --initialise, a ledger that has another installation's name or another shard count is refused. Exit status 1 if a migration cannot
    be applied, or the ledger is refused.
    """
    environment = CliEnvironment()
    url, folder = read_database_url(environment, database_url), db_dir or Path(environment.text("FLASHSALE_DB_DIR", default="db"))
    ours = Installation(environment.text("FLASHSALE_INSTALLATION", name, NAME_DEFAULT), environment.shards() if shards is None else shards)
    try:
        outcome = asyncio.run(migrations.migrate(url, folder, phase.value, wait_seconds))
        created = initialise and asyncio.run(write_installation(url, ours))
        granted = asyncio.run(roles.prepare(url, folder, _passwords() if create_roles else {}))
    except migrations.MigrationError as error:
        _refuse(str(error))
    except (asyncpg.PostgresError, OSError) as error:
        _refuse(describe_error(Server.POSTGRES, error))
    if as_json:
        applied = [{"version": migration.version, "phase": migration.phase, "name": migration.name} for migration in outcome.applied]
        print(msgspec.json.encode(applied).decode())  # noqa: T201 - exact bytes, no wrapping
    else:
        Console().print(_table(outcome.applied) if outcome.applied else _nothing(outcome.newer, folder))
        if created:
            Console().print(f"the ledger now belongs to the installation {ours.name!r} with {ours.shards} shards", highlight=False)
        if granted:
            Console().print(f"rights granted to {', '.join(roles.ROLES[role] for role in granted)}", highlight=False)


def _passwords() -> dict[str, str]:
    """The passwords of the roles by name, without optional ones. Raises SettingsError with the variable that is missing or wrong."""
    environment = CliEnvironment()
    variables = {name: roles.password_variable(name) for name in roles.ROLES}
    variables = {
        name: variable for name, variable in variables.items() if name not in roles.OPTIONAL or environment.text(variable, default="")
    }
    return {name: token(environment.text(variable), variable, 8, "openssl rand -hex 24") for name, variable in variables.items()}


def _refuse(reason: str) -> NoReturn:
    Console(stderr=True).print(f"flashsale migrate: {reason}", style="red", markup=False, highlight=False, soft_wrap=True)
    raise typer.Exit(1)


def _nothing(newer: int | None, db_dir: Path) -> str:
    if newer is None:
        return "the schema is up to date"
    known = migrations.read_migrations(db_dir)[-1].version
    return f"nothing to do: the schema has migration {newer} of a newer release; this release ends at {known}"


def _table(applied: list[migrations.Migration]) -> Table:
    table = Table("applied", "phase", "name")
    for migration in applied:
        table.add_row(str(migration.version), migration.phase, migration.name)
    return table

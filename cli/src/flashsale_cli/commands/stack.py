"""`flashsale stack up|down|status`: the local stack."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from flashsale_local_stack import DEFAULT_HOME, Stack, StackError, Status

app = typer.Typer(no_args_is_help=True, help="Run private Redis, RabbitMQ and Postgres servers and the services on this machine.")
Home = Annotated[Path, typer.Option(help="Folder of the stack for data, logs, state and the file env.")]
_out = Console()
_err = Console(stderr=True)


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    gateway_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the gateway on 127.0.0.1; 0 chooses a free one. Default: the previous port, at first 8000."
        ),
    ] = None,
    services: Annotated[bool, typer.Option(help="Start the services, not only the servers.")] = True,
    redis_server: Annotated[str, typer.Option(help="redis-server, valkey-server or a path. Default: the one that is installed.")] = "",
    redis_masters: Annotated[
        int | None,
        typer.Option(
            min=1, max=16, help="Number of Redis masters; more than one form a Redis Cluster. Default: the previous number, at first 1."
        ),
    ] = None,
    with_: Annotated[
        list[str] | None, typer.Option("--with", help="Also start console or storefront. May be repeated. Default: as before.")
    ] = None,
) -> None:
    """Start what is not running, wait until everything is ready, and write <home>/env. Exit status 1 if something cannot start."""
    stack = Stack(home, say=_say)
    try:
        started = stack.up(
            services=services, gateway_port=gateway_port, redis_server=redis_server, redis_masters=redis_masters, optional=with_
        )
    except StackError as error:
        _fail(error)
    _out.print("stack is up" if started else "stack is already up", f"· settings in {home / 'env'}", style="green", highlight=False)
    for line in stack.pages():
        _out.print(f"· {line}", highlight=False, soft_wrap=True)


@app.command()
def down(
    home: Home = DEFAULT_HOME, keep_data: Annotated[bool, typer.Option(help="Keep data and secrets for the next up.")] = False
) -> None:
    """Stop what `up` started, and nothing else."""
    try:
        stopped = Stack(home, say=_say).down(keep_data=keep_data)
    except StackError as error:
        _fail(error)
    _out.print("stack is down" if stopped else "nothing was running")


@app.command()
def status(
    home: Home = DEFAULT_HOME, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False
) -> None:
    """Show which components run, and where. Exit status 1 if one does not run."""
    components = Stack(home).status()
    if as_json:
        print(msgspec.json.encode([asdict(component) for component in components], enc_hook=str).decode())  # noqa: T201 - exact bytes, no wrapping
    elif components:
        _out.print(_table(components))
    else:
        _out.print(f"no stack in {home}; start one with `flashsale stack up`")
    if not components or not all(component.running for component in components):
        raise typer.Exit(1)


def _table(components: list[Status]) -> Table:
    table = Table("component", "state", "pid", "address", Column("log", overflow="fold"))
    for component in components:
        state = "[green]running[/]" if component.running else "[red]not running[/]"
        table.add_row(component.name, state, str(component.pid or ""), component.address, str(component.log))
    return table


def _say(line: str) -> None:
    _err.print(f"· {line}", style="dim", highlight=False)


def _fail(error: StackError) -> None:
    _err.print(f"flashsale stack: {error}", style="red", highlight=False, markup=False)
    raise typer.Exit(1)

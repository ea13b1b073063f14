"""`flashsale stack up|down|status`: the local stack."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Column, Table

from flashsale_local_stack import DEFAULT_HOME, Stack, StackError, Status

app = typer.Typer(no_args_is_help=True, help="Private Redis, RabbitMQ and Postgres, and the services, on this machine.")
Home = Annotated[Path, typer.Option(help="Folder of the stack: data, logs, state and the env file.")]
_out = Console()
_err = Console(stderr=True)


@app.command()
def up(
    home: Home = DEFAULT_HOME,
    gateway_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port of the gateway on 127.0.0.1; 0 takes a free one. Default: the one it had, at first 8000."
        ),
    ] = None,
    services: Annotated[bool, typer.Option(help="Start the services too, not only the servers.")] = True,
    redis_server: Annotated[str, typer.Option(help="redis-server, valkey-server or a path; default: what is installed.")] = "",
    redis_masters: Annotated[
        int | None, typer.Option(min=1, max=16, help="More than one are a Redis Cluster. Default: as many as it had, at first 1.")
    ] = None,
) -> None:
    """Start what is not running, wait until all is ready, write <home>/env. Exit 1 with the reason when it cannot."""
    stack = Stack(home, say=_say)
    try:
        started = stack.up(services=services, gateway_port=gateway_port, redis_server=redis_server, redis_masters=redis_masters)
    except StackError as error:
        _fail(error)
    _out.print("stack is up" if started else "stack is already up", f"· settings in {home / 'env'}", style="green", highlight=False)


@app.command()
def down(
    home: Home = DEFAULT_HOME, keep_data: Annotated[bool, typer.Option(help="Keep data and secrets for the next up.")] = False
) -> None:
    """End what `up` started, and nothing else."""
    try:
        stopped = Stack(home, say=_say).down(keep_data=keep_data)
    except StackError as error:
        _fail(error)
    _out.print("stack is down" if stopped else "nothing was running")


@app.command()
def status(home: Home = DEFAULT_HOME, as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """What runs where. Exit 1 when something does not run."""
    found = Stack(home).status()
    if as_json:
        print(msgspec.json.encode([asdict(one) for one in found], enc_hook=str).decode())  # noqa: T201 - exact bytes, no wrapping
    elif found:
        _out.print(_table(found))
    else:
        _out.print(f"no stack in {home}; start one with `flashsale stack up`")
    if not found or not all(one.running for one in found):
        raise typer.Exit(1)


def _table(found: list[Status]) -> Table:
    table = Table("component", "state", "pid", "address", Column("log", overflow="fold"))
    for one in found:
        state = "[green]running[/]" if one.running else "[red]not running[/]"
        table.add_row(one.name, state, str(one.pid or ""), one.address, str(one.log))
    return table


def _say(line: str) -> None:
    _err.print(f"· {line}", style="dim", highlight=False)


def _fail(error: StackError) -> None:
    _err.print(f"flashsale stack: {error}", style="red", highlight=False, markup=False)
    raise typer.Exit(1)

"""The command `flashsale`."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from flashsale_cli.console import EXIT_UNREACHABLE, EXIT_USAGE
from flashsale_core.errors import FlashsaleError, SettingsError

HELP = """Run and check flash sales.

A setting is taken from its option, from the environment, or from .flashsale/env in the current folder, in this order.

Exit status: 0 success; 1 a check failed; 2 an option or a setting is missing or wrong; 3 a server refused the request or did not answer.
"""


COMMANDS = {
    "migrate": "migrate:migrate",
    "load": "load:load",
    "pay": "pay:pay",
    "audit": "audit:audit",
    "recover": "recover:recover",
    "top": "top:top",
    "demo": "demo:demo",
    "topology": "topology:topology",
    "chaos": "chaos:chaos",
    "stack": "stack:app",
    "sale": "sale:app",
    "order": "order:app",
    "parked": "parked:app",
    "refunds": "refunds:app",
    "ledger": "ledger:app",
    "webhook": "webhook:app",
    "console": "console_users:app",
}
"""Where each command is, below flashsale_cli.commands: a function, or an app of further commands. In the order of the help."""


class OnDemand(Mapping[str, Any]):
    """The commands by name. Each is imported when it is asked for, because all clients of all servers take longer than a short command."""

    def __getitem__(self, name: str) -> Any:
        module, _, attribute = COMMANDS[name].partition(":")
        command = getattr(import_module(f"flashsale_cli.commands.{module}"), attribute)
        if isinstance(command, typer.Typer):
            group = typer.main.get_group(command)
            group.name = name
            return group
        single = typer.Typer(add_completion=False)
        single.command(name)(command)
        return typer.main.get_command(single)

    def __iter__(self) -> Iterator[str]:
        return iter(COMMANDS)

    def __len__(self) -> int:
        return len(COMMANDS)


class Commands(TyperGroup):
    """The only place where an error becomes an exit status."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = OnDemand()  # type: ignore[assignment] # nothing is added to them

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FlashsaleError as error:
            typer.secho(f"flashsale: {error}", err=True, fg="red")
            raise typer.Exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_UNREACHABLE) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


@app.callback(help=HELP)
def flashsale() -> None:
    """Nothing is common to all commands."""

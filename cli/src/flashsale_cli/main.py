"""The command `flashsale`."""

from typing import Any

import typer
from typer.core import TyperGroup

from flashsale_cli.commands import console_users, ledger, order, parked, refunds, sale, stack, webhook
from flashsale_cli.commands.audit import audit
from flashsale_cli.commands.chaos import chaos
from flashsale_cli.commands.demo import demo
from flashsale_cli.commands.load import load
from flashsale_cli.commands.migrate import migrate
from flashsale_cli.commands.pay import pay
from flashsale_cli.commands.recover import recover
from flashsale_cli.commands.top import top
from flashsale_cli.commands.topology import topology
from flashsale_cli.console import EXIT_UNREACHABLE, EXIT_USAGE
from flashsale_core.errors import FlashsaleError, SettingsError

HELP = """Run and check flash sales.

A setting is taken from its option, from the environment, or from .flashsale/env in the current folder, in this order.

Exit status: 0 success; 1 a check failed; 2 an option or a setting is missing or wrong; 3 a server refused the request or did not answer.
"""


class Commands(TyperGroup):
    """The only place where an error becomes an exit status."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FlashsaleError as error:
            typer.secho(f"flashsale: {error}", err=True, fg="red")
            raise typer.Exit(EXIT_USAGE if isinstance(error, SettingsError) else EXIT_UNREACHABLE) from None


app = typer.Typer(cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False, help=HELP)
app.add_typer(stack.app, name="stack")
app.add_typer(sale.app, name="sale")
app.add_typer(order.app, name="order")
app.add_typer(parked.app, name="parked")
app.add_typer(refunds.app, name="refunds")
app.add_typer(ledger.app, name="ledger")
app.add_typer(webhook.app, name="webhook")
app.add_typer(console_users.app, name="console")
for command in (migrate, load, pay, audit, recover, top, demo, topology, chaos):
    app.command()(command)

"""`flashsale order return`."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flashsale_cli import sales_client
from flashsale_cli.commands.sale import TIMEOUT_SECONDS, AdminUrl, Token
from flashsale_cli.console import JSON_OPTION, console, number, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_core.credentials import first

app = typer.Typer(no_args_is_help=True, help="Take paid orders back.")


@app.callback()
def main() -> None:
    """Take paid orders back."""


@app.command("return")
def return_(
    order: Annotated[str, typer.Argument(help="The order's id, as the buyer has it.")],
    restock: Annotated[bool, typer.Option("--restock/--no-restock", help="Whether the units are for sale again, or stay sold.")],
    token: Token = None,
    url: AdminUrl = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Take a paid order back: its refund is due, and the buyer may buy again. A repeat shows the first answer."""
    environment = CliEnvironment()
    returned = asyncio.run(_return(environment.admin_url(url), first(environment.text("FLASHSALE_ADMIN_TOKEN", token)), order, restock))
    if as_json:
        write_json(returned)
    else:
        units = f"{number(returned['quantity'])} units {'are for sale again' if returned['restocked'] else 'stay sold'}"
        console().print(f"{order} is returned: the refund of payment {returned['paymentId']} is due, and its {units}")


async def _return(url: str, token: str, order: str, restock: bool) -> Mapping[str, Any]:
    async with open_session(TIMEOUT_SECONDS) as session:
        return await sales_client.return_order(session, url, token, order, restock=restock)

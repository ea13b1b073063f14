"""`flashsale order return`."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flashsale_cli import sales_client
from flashsale_cli.commands.sale import TIMEOUT_SECONDS, AdminUrl, Token
from flashsale_cli.console import JSON_OPTION, console, number, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import Answer, document_of, open_session
from flashsale_cli.refunds_client import SERVER
from flashsale_core.credentials import first
from flashsale_core.errors import Rejected

GONE = frozenset({"sale_removed", "unknown_order"})
"""Codes of the gateway's refusal of an order that only the ledger may have."""
LedgerUrl = Annotated[str | None, typer.Option("--ledger-api-url", help="The ledger-api. Default: FLASHSALE_LEDGER_API_URL.")]
app = typer.Typer(no_args_is_help=True, help="Take paid orders back.")


@app.callback()
def main() -> None:
    """Take paid orders back."""


@app.command("return")
def return_(
    order: Annotated[str, typer.Argument(help="The order's id, as the buyer has it.")],
    restock: Annotated[bool, typer.Option("--restock/--no-restock", help="Whether the units are for sale again, or stay sold.")],
    reason: Annotated[str | None, typer.Option(help="Why; needed once the sale was removed, for the refund's history.")] = None,
    token: Token = None,
    url: AdminUrl = None,
    ledger_url: LedgerUrl = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Take a paid order back: its refund is due, and the buyer may buy again. A repeat shows the first answer.

    The ledger-api takes back an order whose sale was removed; its units stay sold.
    """
    environment = CliEnvironment()
    secret = first(environment.text("FLASHSALE_ADMIN_TOKEN", token))
    answer = _send(environment.admin_url(url), secret, order, {"restock": restock})
    if answer.code in GONE and reason is not None and not restock:
        refund = document_of(_send(environment.ledger_api_url(ledger_url), secret, order, {"reason": reason}), 200, server=SERVER)
        _print(refund, as_json, f"refund {refund['refundId']} of payment {refund['paymentId']} is due, and its units stay sold")
        return
    if answer.code in GONE:
        raise Rejected(f"the gateway has no order {order}; if its sale was removed, repeat with --no-restock and --reason TEXT")
    returned = document_of(answer, 200)
    units = f"{number(returned['quantity'])} units {'are for sale again' if returned['restocked'] else 'stay sold'}"
    _print(returned, as_json, f"the refund of payment {returned['paymentId']} is due, and its {units}")


def _send(url: str, token: str, order: str, document: Mapping[str, Any]) -> Answer:
    async def send() -> Answer:
        async with open_session(TIMEOUT_SECONDS) as session:
            return await sales_client.send_return(session, url, token, order, document)

    return asyncio.run(send())


def _print(document: Mapping[str, Any], as_json: bool, words: str) -> None:
    if as_json:
        write_json(document)
    else:
        console().print(f"{document['orderId']} is returned: {words}")

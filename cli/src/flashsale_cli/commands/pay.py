"""`flashsale pay`: signed webhooks, as a payment provider sends them."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer
from standardwebhooks.webhooks import Webhook

from flashsale_cli.commands.id_file import read_ids
from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_cli.payments import AMOUNT_MINOR_DEFAULT, CURRENCY_DEFAULT, Payment, Provider, new_payment_id
from flashsale_core.credentials import webhook_secrets

EXPECTED_RESULTS = ("paid", "replayed", "refund_due", "undecided", "noted")


def pay(
    orders: Annotated[list[str] | None, typer.Argument(metavar="[ORDER_ID]...", help="The orders to pay.")] = None,
    orders_in: Annotated[
        Path | None, typer.Option(help="A file with order ids, as `load --orders-out` writes it.", exists=True, dir_okay=False)
    ] = None,
    result: Annotated[Literal["succeeded", "failed"], typer.Option(help="The result of the payment.")] = "succeeded",
    payment_id: Annotated[
        str | None, typer.Option(help="The id of the payment, for a single order. Default: a new id for each order.")
    ] = None,
    replays: Annotated[int, typer.Option(help="How often each webhook is repeated.", min=0, max=100)] = 0,
    amount_minor: Annotated[
        int, typer.Option(help="Amount in the smallest unit of the currency, such as cents.", min=0)
    ] = AMOUNT_MINOR_DEFAULT,
    currency: Annotated[str, typer.Option(help="ISO 4217 code of the currency.")] = CURRENCY_DEFAULT,
    concurrency: Annotated[int, typer.Option(help="Most simultaneous webhooks.", min=1, max=5000)] = 32,
    timeout_seconds: Annotated[float, typer.Option(help="How long one webhook may take.", min=0.1, max=600)] = 10.0,
    secret: Annotated[str | None, typer.Option(help="Secret for signatures (whsec_...). Default: FLASHSALE_WEBHOOK_SECRET.")] = None,
    url: Annotated[str | None, typer.Option(help="The gateway. Default: FLASHSALE_URL.")] = None,
    as_json: Annotated[bool, JSON_OPTION] = False,
) -> None:
    """Pay orders with signed webhooks. Exit status 1 if the gateway refused a webhook or did not answer."""
    ids = [*(orders or []), *read_ids(orders_in, "--orders-in")]
    if not ids:
        raise typer.BadParameter("name orders, or a file with their ids with --orders-in")
    if payment_id is not None and len(ids) > 1:
        raise typer.BadParameter("a payment id is only allowed for a single order", param_hint="--payment-id")
    environment = CliEnvironment()
    provider = Provider(environment.url(url), Webhook(webhook_secrets(environment.text("FLASHSALE_WEBHOOK_SECRET", secret))[0]))
    payments = [Payment(order, payment_id or new_payment_id(), result, amount_minor, currency) for order in ids]
    outcomes = asyncio.run(_send(provider, payments, concurrency, 1 + replays, timeout_seconds))
    if as_json:
        write_json(dict(outcomes.most_common()))
    else:
        console().print(table("", ("outcome", "webhooks"), [(name, number(count)) for name, count in outcomes.most_common()]))
    if any(not name.startswith(EXPECTED_RESULTS) for name in outcomes):
        raise typer.Exit(EXIT_FAILED)


async def _send(provider: Provider, payments: Sequence[Payment], concurrency: int, times: int, timeout_seconds: float) -> Counter[str]:
    async with open_session(timeout_seconds) as session:
        return await provider.send_all(session, payments, concurrency, times)

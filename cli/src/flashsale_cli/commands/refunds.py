"""`flashsale refunds list|show|sent|failed|due|reported|leave`."""

import asyncio
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Annotated, Any, TypeVar

import typer

from flashsale_cli.console import EXIT_FAILED, JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_cli.refunds_client import Refund, RefundsClient
from flashsale_core.credentials import first

T = TypeVar("T")
TIMEOUT_SECONDS = 30.0
LIMIT = 1_000
LIMIT_MAX = 1_000_000
app = typer.Typer(no_args_is_help=True, help="List the refunds that are due, and note that they were sent or failed.")


class State(StrEnum):
    DUE = "due"
    SENT = "sent"
    FAILED = "failed"


RefundId = Annotated[str, typer.Argument(metavar="REFUND", help="A refund by id, as `refunds list` prints it.")]
Url = Annotated[str | None, typer.Option("--url", help="The ledger-api. Default: FLASHSALE_LEDGER_API_URL.")]
Token = Annotated[str | None, typer.Option(help="An admin key. Default: FLASHSALE_ADMIN_TOKEN.")]
Expected = Annotated[
    State | None, typer.Option("--expected-state", help="Change it only if this is its state; needed for a refund that is sent.")
]
Json = Annotated[bool, JSON_OPTION]


@app.command("list")
def list_(
    state: Annotated[list[State] | None, typer.Option("--state", help="A state; may be repeated. Default: due and failed.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only refunds for this reason, such as late or wrong_amount.")] = None,
    product: Annotated[str | None, typer.Option(help="Only refunds of this sale.")] = None,
    limit: Annotated[int, typer.Option(help="Most refunds to print.", min=1, max=LIMIT_MAX)] = LIMIT,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List refunds, the oldest first."""
    refunds = _with_client(url, token, lambda client: client.list(state or [State.DUE, State.FAILED], reason, product, limit))
    if as_json:
        write_json({"refunds": refunds})
        return
    columns = ("refund", " state", "age", "amount", " order", " buyer", " payment", " reason")
    console().print(table("", columns, map(_row, refunds)))
    more = f"; these are the first {number(limit)}" if len(refunds) == limit else ""
    console().print(f"{number(len(refunds))} refunds{more}")


@app.command()
def show(refund: RefundId, token: Token = None, url: Url = None, as_json: Json = False) -> None:
    """Show a refund and who changed it."""
    _print(_with_client(url, token, lambda client: client.show(refund)), as_json)


@app.command()
def sent(
    refund: RefundId,
    reference: Annotated[str, typer.Option(help="The provider's id of the refund.")],
    amount: Annotated[
        int | None,
        typer.Option(help="What the buyer was paid back, in the currency's smallest unit: at most the whole amount, the default.", min=1),
    ] = None,
    expected_state: Expected = None,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Note that the money was sent back. Exit status 1 if somebody else was first."""
    _change(refund, {"state": "sent", "reference": reference, "amountMinor": amount, "expectedState": expected_state}, token, url, as_json)


@app.command()
def failed(
    refund: RefundId,
    reason: Annotated[str, typer.Option(help="Why it could not be sent.")],
    expected_state: Expected = None,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Note that the money could not be sent back. Exit status 1 if somebody else was first."""
    _change(refund, {"state": "failed", "reason": reason, "expectedState": expected_state}, token, url, as_json)


@app.command()
def due(
    refund: RefundId,
    reason: Annotated[str, typer.Option(help="Why it is to be tried again.")],
    expected_state: Expected = None,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Note that a refund that failed, or that the bank returned, is to be sent. Exit status 1 if somebody else was first."""
    _change(refund, {"state": "due", "reason": reason, "expectedState": expected_state}, token, url, as_json)


@app.command()
def reported(
    product: Annotated[str | None, typer.Option(help="Only orders of this sale.")] = None,
    limit: Annotated[int, typer.Option(help="Most orders to print.", min=1, max=LIMIT_MAX)] = LIMIT,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """List paid orders that the provider reported as paid back: return each one, or leave it as paid. The oldest report comes first."""
    orders = _with_client(url, token, lambda client: client.reported(product, limit))
    if as_json:
        write_json({"reportedRefunds": orders})
        return
    columns = ("age", " paid", " reported", " order", " buyer", " payment", " provider's refund")
    console().print(table("", columns, map(_reported_row, orders)))
    more = f"; these are the first {number(limit)}" if len(orders) == limit else ""
    console().print(f"{number(len(orders))} paid orders{more}; `flashsale order return` or `flashsale refunds leave` settles each")


@app.command()
def leave(
    order: Annotated[str, typer.Argument(help="The order's id, as `refunds reported` prints it.")],
    reason: Annotated[str, typer.Option(help="Why it stays paid.")],
    reported_minor: Annotated[
        int | None, typer.Option(help="Leave it only if this is still what was reported in all, as `refunds reported` prints it.", min=1)
    ] = None,
    token: Token = None,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Leave an order as paid, although the provider reported a refund of it. A later report lists it again."""
    left = _with_client(url, token, lambda client: client.leave(order, reason, reported_minor))
    if as_json:
        write_json(left)
    else:
        console().print(f"{left['orderId']} stays paid: {left['leftBy']}, {left['leftAt']}: {left['reason']}")


def _change(refund_id: str, wanted: dict[str, Any], token: str | None, url: str | None, as_json: bool) -> None:
    given = {name: value for name, value in wanted.items() if value is not None}
    refund, is_done = _with_client(url, token, lambda client: client.change(refund_id, given))
    _print(refund, as_json)
    if not is_done:
        words = f"refund {refund_id} was not changed: it is {refund['state']}; --expected-state {refund['state']} changes it all the same"
        typer.secho(f"flashsale: {words}", err=True, fg="red")
        raise typer.Exit(EXIT_FAILED)


def _with_client(url: str | None, token: str | None, call: Callable[[RefundsClient], Awaitable[T]]) -> T:
    environment = CliEnvironment()
    address = environment.ledger_api_url(url)
    secret = first(environment.text("FLASHSALE_ADMIN_TOKEN", token))

    async def run() -> T:
        async with open_session(TIMEOUT_SECONDS) as session:
            return await call(RefundsClient(session, address, secret))

    return asyncio.run(run())


def _print(refund: Refund, as_json: bool) -> None:
    if as_json:
        write_json(refund)
        return
    fields = [(name, "" if value is None else str(value)) for name, value in refund.items() if name != "history"]
    console().print(table("", ("field", " value"), fields))
    columns = ("at", " who", " from", " to", "paid back", " reference", " reason")
    console().print(table("history", columns, map(_event, refund["history"])))


def _row(refund: Refund) -> tuple[str, ...]:
    return (
        refund["refundId"], refund["state"], _age(refund["ageSeconds"]), amount_text(refund["amountMinor"], refund["currency"]),
        refund["orderId"], refund["userId"] or "", refund["paymentId"], refund["reason"],
    )  # fmt: skip


def _reported_row(order: Refund) -> tuple[str, ...]:
    return (
        _age(order["ageSeconds"]), amount_text(order["amountMinor"], order["currency"]),
        amount_text(order["reportedMinor"], order["reportedCurrency"]),
        order["orderId"], order["userId"], order["paymentId"], order["reference"],
    )  # fmt: skip


def _event(event: dict[str, Any]) -> tuple[str, ...]:
    who = event["who"] or event["source"]
    return event["at"], who, event["fromState"], event["toState"], str(event["refundedMinor"]), event["reference"], event["reason"]


def amount_text(minor: int, currency: str) -> str:
    """In the smallest unit of the currency. What a rebuild restored has neither amount nor currency."""
    return f"{minor} {currency}" if minor or currency else "unknown"


def _age(seconds: int) -> str:
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit}"
    return f"{seconds} s"

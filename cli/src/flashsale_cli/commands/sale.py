"""`flashsale sale set|list|show|close|remove|release`."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from secrets import token_hex
from typing import Annotated, Any, Literal, TypeVar

import typer
from aiohttp import ClientSession
from rich.table import Table

from flashsale_cli import sales_client
from flashsale_cli.console import JSON_OPTION, console, number, table, write_json
from flashsale_cli.environment import CliEnvironment
from flashsale_cli.http_client import open_session
from flashsale_cli.sales_client import Sale
from flashsale_core.credentials import first

T = TypeVar("T")
app = typer.Typer(no_args_is_help=True, help="Create, change, show, close, remove and release sales.")
TIMEOUT_SECONDS = 10.0
Url = Annotated[str | None, typer.Option("--url", help="The gateway. Default: FLASHSALE_URL.")]
AdminUrl = Annotated[str | None, typer.Option("--url", help="The gateway. Default: FLASHSALE_ADMIN_URL, or FLASHSALE_URL.")]
Product = Annotated[str, typer.Argument(help="The sale.")]
Token = Annotated[str | None, typer.Option(help="The admin token. Default: FLASHSALE_ADMIN_TOKEN.")]
Json = Annotated[bool, JSON_OPTION]


@app.command("set")
def set_(
    product: Product,
    stock: Annotated[
        int | None, typer.Option(help="All units of the sale, including reserved and sold ones. A new sale needs it.", min=0)
    ] = None,
    add: Annotated[int | None, typer.Option(help="Units to add to the stock instead; negative to take some away.")] = None,
    if_match: Annotated[int | None, typer.Option(help="Change the sale only if its generation is still this one.", min=0)] = None,
    max_per_user: Annotated[int | None, typer.Option(help="Most units one buyer may have; 0 for no limit.", min=0)] = None,
    max_released: Annotated[
        int | None,
        typer.Option(help="Refuse a buyer after this many of the buyer's orders expired or were cancelled; 0 for no limit.", min=0),
    ] = None,
    window: Annotated[int | None, typer.Option(help="Payment window in seconds; one of the installation's windows.", min=1)] = None,
    starts_at: Annotated[str | None, typer.Option(help="RFC 3339 time, or `none`.")] = None,
    ends_at: Annotated[str | None, typer.Option(help="RFC 3339 time, or `none`.")] = None,
    rate: Annotated[str | None, typer.Option(help="Requests per buyer, such as 5/10s, or `none`.")] = None,
    late: Annotated[Literal["refund", "reacquire"] | None, typer.Option(help="What happens to a payment after the payment window.")] = None,
    durability: Annotated[
        Literal["fsync", "confirmed"] | None, typer.Option(help="Answer orders after Redis' fsync, or also after RabbitMQ's confirm.")
    ] = None,
    price: Annotated[
        str | None, typer.Option(help="Price of one unit in the currency's smallest unit, such as 1999EUR for 19.99 EUR, or `none`.")
    ] = None,
    pause: Annotated[bool | None, typer.Option("--pause/--resume", help="Accept no orders, or accept them again.")] = None,
    token: Token = None,
    url: AdminUrl = None,
    as_json: Json = False,
) -> None:
    """Create a sale, with --stock, or change one. Options that are not given stay unchanged."""
    environment = CliEnvironment()
    if stock is not None and add is not None:
        raise typer.BadParameter("give either --stock, all units, or --add, the difference", param_hint="--stock")
    # Without either, a difference of 0 changes the other fields of a sale that exists, and creates none.
    units = {"add": add or 0, "requestId": token_hex(16)} if stock is None else {"stock": stock}
    wanted: dict[str, Any] = {"productId": product} | units
    if max_per_user is not None:
        wanted["maxPerUser"] = max_per_user or None
    if max_released is not None:
        wanted["maxReleasedPerUser"] = max_released or None
    optional = {"paymentWindowSeconds": window, "startsAt": starts_at, "endsAt": ends_at, "latePayment": late, "paused": pause}
    optional["durability"] = durability
    wanted |= {name: None if value == "none" else value for name, value in optional.items() if value is not None}
    if rate is not None:
        wanted["rateLimit"] = parse_rate(rate)
    if price is not None:
        wanted["price"] = parse_price(price)
    secret = first(environment.text("FLASHSALE_ADMIN_TOKEN", token))
    sale = _with_session(lambda session: sales_client.set_sale(session, environment.admin_url(url), secret, wanted, if_match))
    _show([sale], sale, as_json)


@app.command("list")
def list_(url: Url = None, as_json: Json = False) -> None:
    """List all sales with their numbers."""
    sales = _with_session(lambda session: sales_client.list_sales(session, CliEnvironment().url(url)))
    _show(sales, {"sales": sales}, as_json)


@app.command()
def show(product: Product, url: Url = None, as_json: Json = False) -> None:
    """Show all fields of one sale."""
    sale = _with_session(lambda session: sales_client.get_sale(session, CliEnvironment().url(url), product))
    if as_json:
        write_json(sale)
    else:
        console().print(table("", ("field", " value"), [(name, _text(value)) for name, value in sale.items()]))


@app.command()
def close(product: Product, token: Token = None, url: AdminUrl = None, as_json: Json = False) -> None:
    """Accept no more orders, for good. Existing holds can still be paid or cancelled, and expire as before."""
    ended = _end(product, "close", token, url)
    _show_end(ended, f"{product} is closed; {ended['reserved']:,} units are reserved", as_json)


@app.command()
def remove(product: Product, token: Token = None, url: AdminUrl = None, as_json: Json = False) -> None:
    """Close a sale and delete it from Redis; the ledger keeps its orders. Exit status 1 while it has holds: repeat the command later.

    Do it once your shop has the outcome of each payment: for one that is asked about later, only the ledger has it.
    """
    ended = _end(product, "remove", token, url)
    done = ended["state"] == "removed"
    waits = f"{product} is closed but not yet removed: {ended['reserved']:,} units are reserved; repeat this when they are paid or expired"
    _show_end(ended, f"{product} is removed" if done else waits, as_json)
    if not done:
        raise typer.Exit(1)


@app.command()
def release(product: Product, token: Token = None, url: AdminUrl = None, as_json: Json = False) -> None:
    """Give up a sale that has no FlashSale. It goes on, and a FlashSale of any namespace, or `sale set`, may take it."""
    ended = _end(product, "release", token, url)
    _show_end(ended, f"{product} is released: whoever defines it next owns it", as_json)


def parse_rate(text: str) -> dict[str, int] | None:
    """`5/10s` means five requests in ten seconds, `none` no limit. Raises BadParameter for anything else."""
    if text == "none":
        return None
    match = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)?s", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a rate; write 5/10s for five requests in ten seconds", param_hint="--rate")
    return {"requests": int(match[1]), "seconds": int(match[2] or 1)}


def parse_price(text: str) -> dict[str, Any] | None:
    """`1999EUR` means 19.99 EUR, `none` no price. Raises BadParameter for anything else."""
    if text == "none":
        return None
    match = re.fullmatch(r"([1-9]\d*) ?([A-Za-z]{3})", text)
    if match is None:
        raise typer.BadParameter(f"{text!r} is not a price; write 1999EUR for 19.99 EUR", param_hint="--price")
    return {"amountMinor": int(match[1]), "currency": match[2].upper()}


def sales_table(sales: Sequence[Sale]) -> Table:
    columns = ("sale", "stock", "available", "reserved", "sold", " state", " pay within", " per buyer", " rate", " late payment")
    return table("", columns, [_row(sale) for sale in sales])


def _row(sale: Sale) -> tuple[str, ...]:
    numbers = [number(sale[name]) for name in ("stock", "available", "reserved", "sold")]
    limit = sale["maxPerUser"]
    words = (f"{sale['paymentWindowSeconds']} s", "any" if limit is None else str(limit), _rate(sale["rateLimit"]), sale["latePayment"])
    return (sale["productId"], *numbers, sale["state"], *words)


def _rate(rate: Any) -> str:
    return f"{rate['requests']}/{rate['seconds']}s" if rate else "any"


def _text(value: Any) -> str:
    match value:
        case None:
            return "none"
        case {"requests": _, "seconds": _}:
            return _rate(value)
        case {"amountMinor": amount, "currency": currency}:
            return f"{amount} {currency}"
        case _:
            return str(value)


def _show(sales: Sequence[Sale], document: Any, as_json: bool) -> None:
    if as_json:
        write_json(document)
    else:
        console().print(sales_table(sales))


def _end(product: str, mode: str, token: str | None, url: str | None) -> dict[str, Any]:
    environment = CliEnvironment()
    secret = first(environment.text("FLASHSALE_ADMIN_TOKEN", token))
    return dict(_with_session(lambda session: sales_client.end_sale(session, environment.admin_url(url), secret, product, mode)))


def _show_end(ended: dict[str, Any], words: str, as_json: bool) -> None:
    if as_json:
        write_json(ended)
    else:
        console().print(words)


def _with_session(call: Callable[[ClientSession], Awaitable[T]]) -> T:
    async def run() -> T:
        async with open_session(TIMEOUT_SECONDS) as session:
            return await call(session)

    return asyncio.run(run())

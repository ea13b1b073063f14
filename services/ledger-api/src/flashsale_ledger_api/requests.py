"""What every operation reads of a request: who sends it, its query and its body. Every refusal names the field."""

from collections.abc import Iterable
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request

from flashsale_core import on_behalf
from flashsale_core.ids import OrderRef, is_sale_id, parse_order_ref
from flashsale_core.request_bodies import read_body
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.settings import Settings

PAGE_MAX = 1000
PAGE_DEFAULT = 100
QUERY_BYTES_MAX = 4096
B = TypeVar("B", bound=msgspec.Struct)


def authorize(request: Request) -> str:
    """The name of the admin key that the request bears, and of the person for whom it asks.

    Raises Problem: unauthorized, or bad_request for two Authorization headers or a person that is no name.
    """
    given = request.headers.getlist("authorization")
    if len(given) > 1:
        raise Problem("bad_request", "Send this header once", field="Authorization")
    name: str | None = request.app.state.keys.name_of_bearer("".join(given))
    if name is None:
        raise Problem("unauthorized")
    try:
        return on_behalf.with_person(name, request.headers.getlist(on_behalf.HEADER))
    except ValueError as error:
        raise Problem("bad_request", str(error), field=on_behalf.HEADER) from None


def query(request: Request, known: Iterable[str]) -> dict[str, str]:
    """The query's parameters. Raises Problem for one that is unknown or repeated: a misspelt filter must not show everything."""
    if len(request.scope["query_string"]) > QUERY_BYTES_MAX:
        raise Problem("bad_request", f"A query string has at most {QUERY_BYTES_MAX} bytes")
    values: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise Problem("bad_request", f"There is no such parameter; use {', '.join(known)}", field=name)
        if name in values:
            raise Problem("bad_request", "Must be given once", field=name)
        values[name] = value
    return values


def sale_filter(values: dict[str, str]) -> list[str]:
    """The sale to which a list is narrowed; empty for all."""
    if "productId" not in values:
        return []
    if not is_sale_id(values["productId"]):
        raise Problem("bad_request", "Must be a product id", field="productId")
    return [values["productId"]]


def order_of(request: Request) -> OrderRef:
    """The order that the path names."""
    order = parse_order_ref(request.path_params["order_id"])
    if order is None:
        raise Problem("unknown_order", "An order id is the product id, a dot and 20 characters")
    return order


def limit(values: dict[str, str]) -> int:
    """The size of a page."""
    text = values.get("limit", str(PAGE_DEFAULT))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 1 <= int(text) <= PAGE_MAX:
        raise Problem("bad_request", f"Must be a whole number from 1 to {PAGE_MAX}", field="limit")
    return int(text)


async def body(request: Request, decoder: msgspec.json.Decoder[B], settings: Settings) -> B:
    """The JSON body. Raises Problem if its media type is not JSON, if it is too large, too slow or has wrong fields."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Problem("unsupported_media_type", field="Content-Type")
    wanted = decode(decoder, await read_body(request.stream(), settings.body_bytes_max, settings.body_timeout_seconds, Problem))
    for field, value in msgspec.structs.asdict(wanted).items():
        # Postgres would refuse it as a fault of the server, and the client would send it again and again.
        if isinstance(value, str) and "\0" in value:
            raise Problem("bad_request", "Must be without the character U+0000, which the ledger cannot keep", field=field)
    return wanted


def decode(decoder: msgspec.json.Decoder[B], raw: bytes) -> B:
    """Raises Problem(bad_request) that names the field."""
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ValueError) as error:
        text, _, path = str(error).partition(" - at `$.")
        raise Problem("bad_request", text or "The body is not valid JSON", field=path.removesuffix("`")) from None


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.settings
    return settings


def ledger_of(request: Request) -> Any:
    return request.app.state.ledger

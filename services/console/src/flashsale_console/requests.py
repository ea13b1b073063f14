"""What pages read of a request: a form, the query, a key of a list. Whatever is wrong names the field."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode

from starlette.requests import Request

from flashsale_console.answers import PageError
from flashsale_console.settings import Settings
from flashsale_core.request_bodies import read_body

FIELDS_MAX = 20
QUERY_BYTES_MAX = 2048
PAGE_SIZE = 50
LATEST = datetime(9999, 1, 1, tzinfo=UTC)
EPOCH = datetime.fromtimestamp(0, UTC)


async def form(request: Request, settings: Settings) -> dict[str, str]:
    """The fields of an HTML form. Raises PageError if it is too large, too slow or no form."""
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/x-www-form-urlencoded":
        raise PageError(415, "This is no form of the console")

    def refuse(code: str, _: str) -> PageError:
        if code == "body_too_large":
            return PageError(413, "The form is too large", f"At most {settings.body_bytes_max} bytes.")
        return PageError(408, "The form did not arrive in time", f"Send it within {settings.body_timeout_seconds:g} s.")

    raw = await read_body(request.stream(), settings.body_bytes_max, settings.body_timeout_seconds, refuse)
    try:
        return _once(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        raise PageError(400, "This is no form of the console") from None


def query(request: Request, known: Iterable[str]) -> dict[str, str]:
    """The query's parameters, empty ones left out. Raises PageError for one that is unknown or repeated."""
    if len(request.scope["query_string"]) > QUERY_BYTES_MAX:
        raise PageError(400, "The address is too long", f"A query has at most {QUERY_BYTES_MAX} bytes.")
    values = _once(request.query_params.multi_items())
    for name in values.keys() - set(known):
        raise PageError(400, "The address has an unknown part", f"There is no parameter {name[:40]!r}; use {', '.join(known)}.")
    return {name: value.strip() for name, value in values.items() if value.strip()}


def choice(values: Mapping[str, str], name: str, allowed: Iterable[str], default: str) -> str:
    """One of `allowed`. Raises PageError otherwise."""
    value = values.get(name, default)
    if value not in (*allowed, default):
        raise PageError(400, "The address has an unknown value", f"{name} must be one of {', '.join(allowed)}.")
    return value


def whole(text: str, name: str) -> int:
    """A whole number of at most 18 digits. Raises PageError that names it."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise PageError(400, "The address has a wrong value", f"{name} must be a whole number.")
    return int(text)


class Key(NamedTuple):
    """Where the next page of a list begins: after the row with this time and these texts."""

    at: datetime
    parts: tuple[str, ...]

    def __str__(self) -> str:
        return "~".join((str((self.at - EPOCH) // timedelta(microseconds=1)), *self.parts))


def read_key(text: str, parts: int) -> Key:
    """Raises PageError if it is no key of an earlier page."""
    at, *rest = text.split("~")
    try:
        if len(rest) != parts:
            raise ValueError
        return Key(EPOCH + timedelta(microseconds=int(at)), tuple(rest))
    except (ValueError, OverflowError):
        raise PageError(400, "The address of this page is not complete", "Begin at the first page.") from None


def link(path: str, **values: object) -> str:
    """`path` with a query of the values that are not empty."""
    given = {name: str(value) for name, value in values.items() if value not in ("", None)}
    return f"{path}?{urlencode(given)}" if given else path


def _once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise PageError(400, "A field was given twice", f"{name[:40]!r} must be given once.")
        if "\0" in value:
            # Postgres would refuse it as a fault of the server.
            raise PageError(400, "A field has a character that is no text", f"{name[:40]!r} must be without the character U+0000.")
        values[name] = value
    return values

"""The templates, what they may call, and the files that pages load."""

import json
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from flashsale_console.attention import age_words, code_words, plural
from flashsale_core.ids import order_name
from flashsale_core.prices import money

FOLDER = Path(__file__).parent
ASSETS = {
    name: ((FOLDER / "assets" / name).read_bytes(), media_type)
    for name, media_type in (("console.css", "text/css"), ("console.js", "text/javascript"), ("icon.svg", "image/svg+xml"))
}
NAVIGATION = (
    ("/", "Attention"), ("/sales", "Sales"), ("/orders", "Orders"), ("/refunds", "Refunds"),
    ("/webhooks", "Webhooks"), ("/changes", "Changes"), ("/system", "System"),
)  # fmt: skip


def asset_url(name: str) -> str:
    """The path of a file, with the beginning of its hash: a new release loads its own."""
    return f"/assets/{name}?v={sha256(ASSETS[name][0]).hexdigest()[:12]}"


def units(value: int | None) -> str:
    """A number as people read it; a dash if nobody knows it."""
    return "\u2013" if value is None else f"{value:,}"


def moment(value: datetime | str | None) -> str:
    """A time of the ledger, or of an answer of the ledger-api, which is a text."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    return "\u2013" if value is None else value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def amount(minor: int, currency: str) -> str:
    """Money as people read it. What a rebuild restored has neither amount nor currency until the payment's own message arrives."""
    return money(minor, currency) if minor or currency else "an unknown amount"


def site(url: str) -> str:
    """The address of a webhook without path and query, which may have a token of the shop: every viewer reads it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}" + ("/\u2026" if parts.path.strip("/") or parts.query else "")


def ago(value: datetime | None) -> str:
    return "\u2013" if value is None else age_words(datetime.now(UTC), value)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        # Everything is escaped: ids, owners, reasons and answers of shops are other people's texts.
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    filters: dict[str, Any] = {"units": units, "moment": moment, "ago": ago, "words": code_words, "from_json": json.loads, "site": site}
    environment.filters.update(filters)
    environment.globals.update(asset=asset_url, money=amount, plural=plural, order_name=order_name, navigation=NAVIGATION)
    return environment


TEMPLATES = _environment()


def compile_templates() -> None:
    """Compile all of them now: some tens of milliseconds each, which nobody should wait for."""
    for name in TEMPLATES.list_templates(extensions=["html"]):
        TEMPLATES.get_template(name)

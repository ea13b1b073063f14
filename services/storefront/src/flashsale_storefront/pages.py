"""A sale's page as HTML. It reads well without JavaScript; with it, assets/page.js keeps it current and orders."""

import zlib
from html import escape

from flashsale_core.timestamps import rfc3339_of_ms
from flashsale_storefront.answers import NO_SNIFFING, SHARED, Answer, is_current
from flashsale_storefront.assets import Assets
from flashsale_storefront.documents import State
from flashsale_storefront.links import Links
from flashsale_storefront.live_sales import WatchedSale
from flashsale_storefront.ordering import Ordering
from flashsale_storefront.problems import Problem
from flashsale_storefront.wording import NAMELESS, NOT_KNOWN, REFRESH_SECONDS, price_of, seller_of, sentence_of, title_of

_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{sale} · {shop}</title>
<link rel="stylesheet" href="{css}">
<link rel="icon" href="{icon}" type="image/svg+xml">
<link rel="modulepreload" href="{decide}">
<script type="module" src="{script}"></script>
{refresh}
</head>
<body>
<main id="page" data-phase="{phase}"{data}>
<header>
<p id="shop">{shop}</p>
<h1>{sale}</h1>
<p id="price">{price}</p>
</header>
<section id="panel" aria-labelledby="title">
<h2 id="title" tabindex="-1"><span id="mark" aria-hidden="true"></span><span id="title-text">{title}</span></h2>
<p id="clock"><span id="clock-label"></span><time id="clock-time" role="timer"></time></p>
<p id="detail">{detail}</p>
<div id="stock"{unknown}><progress id="bar" max="1" value="{share}" aria-label="Units left"></progress><p id="left">{left}</p></div>
<div id="actions" hidden>
<label id="quantity"><span>Quantity</span><select></select></label>
<button id="primary" type="button"></button>
<a id="link"></a>
<button id="secondary" type="button"></button>
</div>
</section>
<p id="status" role="status"></p>
<footer><p id="fresh">{fresh}</p><noscript><p>This page reloads itself.{how}</p></noscript></footer>
</main>
</body>
</html>
"""


class Pages:
    def __init__(self, shop_name: str, links: Links, ordering: Ordering, assets: Assets, *, is_demo: bool) -> None:
        self._shop = escape(shop_name)
        self._links, self._ordering = links, ordering
        self._data = "".join(
            f' data-{name}="{escape(value)}"'
            for name, value in (
                ("api", links.api),
                ("sign-in", links.sign_in),
                ("pay", links.pay),
                ("orders", ordering),
                ("demo", "yes" if is_demo else ""),
            )
        )
        self._files = {name: assets.path(file) for name, file in _FILES.items()}
        # What differs between two releases, or two settings, of the same sale's page.
        self._tag = zlib.crc32("".join((_TEMPLATE, self._shop, self._data, *self._files.values())).encode())
        self._headers = (
            (b"content-type", b"text/html; charset=utf-8"),
            NO_SNIFFING,
            (b"cache-control", SHARED),
            (b"content-security-policy", content_security_policy(links).encode()),
            (b"referrer-policy", b"no-referrer"),
            (b"cross-origin-opener-policy", b"same-origin"),
            (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
        )

    def of_sale(self, sale: WatchedSale, body: bytes, now_ms: int, if_none_match: bytes) -> Answer:
        """The page of a sale whose document is `body` at `now_ms`."""
        document = sale.content.document
        # The time below changes with every answer, so it is not part of the tag.
        etag = b'W/"%08x"' % zlib.crc32(sale.content.head, self._tag)
        headers = (*self._headers, (b"etag", etag))
        if is_current(if_none_match, etag):
            return Answer(304, headers, b"")
        html = self._render(
            sale=escape(sale.sale_id),
            phase=sale.content.state,
            data=f' data-sale="{escape(sale.sale_id)}" data-live="{escape(body.decode())}"',
            price=escape(price_of(document["price"])),
            title=title_of(sale.content.state),
            detail=seller_of(sale.content.state, self._ordering, self._links) + escape(sentence_of(sale.content.state, document)),
            how=self._how_to_buy(sale.sale_id),
            unknown="",
            share=f"{document['available'] / max(1, document['stock']):.3f}",
            left=f"{document['available']:,} of {document['stock']:,} left",
            fresh=f"As of {rfc3339_of_ms(now_ms)[11:19]} UTC",
            refresh=REFRESH_SECONDS[sale.content.state],
        )
        return Answer(200, headers, html)

    def without_sale(self, sale_id: str, problem: Problem) -> Answer:
        """The page while the sale is not known, or if there is no such sale; `sale_id` is empty if the address names none."""
        is_unknown = problem.status == 404
        if is_unknown:
            phase, title, detail = "unknown", "There is no such sale", "Check the address of this page."
        elif problem.code == "recovering":
            phase, title, detail = State.RECOVERING, title_of(State.RECOVERING), sentence_of(State.RECOVERING, {})
        else:
            # Units may be sold meanwhile.
            phase, title, detail = "loading", title_of(State.RECOVERING), NOT_KNOWN
        html = self._render(
            sale=escape(sale_id[:64]) or NAMELESS,
            phase=phase,
            data="" if is_unknown or not sale_id else f' data-sale="{escape(sale_id)}"',
            price="",
            title=title,
            detail=detail,
            how="",
            # An empty bar would say that no unit is left.
            unknown=" hidden",
            share="0",
            left="",
            fresh="",
            refresh=0 if is_unknown else REFRESH_SECONDS[State.RECOVERING],
        )
        headers = [(name, b"no-store" if name == b"cache-control" else value) for name, value in self._headers]
        more = ((b"retry-after", b"%d" % problem.retry_after_seconds),) if problem.retry_after_seconds else ()
        return Answer(problem.status, (*headers, *more), html)

    def _how_to_buy(self, sale_id: str) -> str:
        """For a browser without JavaScript."""
        if self._ordering is not Ordering.NOBODY:
            return " To buy, allow JavaScript for it."
        href = escape(self._links.sign_in.replace("{sale}", sale_id))
        return f' <a href="{href}">Buy in the shop</a>' if href else ""

    def _render(self, *, refresh: int, data: str, **parts: str) -> bytes:
        again = f'<noscript><meta http-equiv="refresh" content="{refresh}"></noscript>' if refresh else ""
        return _TEMPLATE.format(shop=self._shop, data=data + self._data, refresh=again, **self._files, **parts).encode()


_FILES = {"css": "page.css", "icon": "icon.svg", "script": "page.js", "decide": "decide.js"}


def content_security_policy(links: Links) -> str:
    """Only the page's own files, and requests to itself and to the gateway."""
    api = f" {links.api}" if links.api else ""
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        f"connect-src 'self'{api}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

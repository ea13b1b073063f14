"""What the page says without JavaScript. With it, assets/decide.js says the same. Pure."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from flashsale_core.prices import money
from flashsale_storefront.documents import State
from flashsale_storefront.links import Links
from flashsale_storefront.ordering import Ordering

TITLES: Mapping[State, str] = MappingProxyType(
    {
        State.NOT_STARTED: "Not started yet",
        State.ON_SALE: "On sale",
        State.SOLD_OUT: "Sold out",
        State.PAUSED: "Paused",
        State.ENDED: "The sale has ended",
        State.RECOVERING: "One moment",
    }
)
REFRESH_SECONDS: Mapping[State, int] = MappingProxyType(
    {
        State.NOT_STARTED: 10,
        State.ON_SALE: 5,
        State.SOLD_OUT: 15,
        State.PAUSED: 15,
        State.ENDED: 60,
        State.RECOVERING: 5,
    }
)
"""How often a page without JavaScript reloads itself."""
SOLD_BY_SHOP = "Sold through the shop. "
"""Precedes the sentence of a sale that one cannot buy on the page."""
NAMELESS = "Flash sale"
"""The heading of a page whose address names no sale."""
NOT_KNOWN = "What is left is not known right now. This page asks again by itself."


def title_of(state: State) -> str:
    return TITLES[state]


def sentence_of(state: State, document: Mapping[str, Any]) -> str:
    match state:
        case State.NOT_STARTED:
            return f"It starts at {_moment(document['startsAt'])}."
        case State.ON_SALE:
            return f"You have {_duration(document['paymentWindowSeconds'])} to pay once a unit is yours."
        case State.SOLD_OUT:
            return "Units that are not paid in time come back." if document["reserved"] else "Every unit is sold."
        case State.PAUSED:
            return "The shop has paused the sale. This page shows when it goes on."
        case State.ENDED:
            return "No more orders are taken."
        case State.RECOVERING:
            return "What is left is not known right now. Nothing is sold meanwhile, and this page asks again by itself."


def seller_of(state: State, ordering: Ordering, links: Links) -> str:
    """Where one buys, if that is not this page."""
    is_page = ordering is Ordering.ANYBODY or (ordering is Ordering.SIGNED_IN and links.sign_in)
    return "" if is_page or state in (State.ENDED, State.RECOVERING) else SOLD_BY_SHOP


def price_of(price: Mapping[str, Any] | None) -> str:
    """A price such as 49.00 EUR; empty without one."""
    return "" if price is None else money(price["amountMinor"], price["currency"])


def _moment(text: str) -> str:
    return f"{text[:10]} {text[11:19]} UTC"


def _duration(seconds: int) -> str:
    count, unit = (seconds, "second") if seconds % 60 else (seconds // 60, "minute")
    return f"{count:,} {unit}{'' if count == 1 else 's'}"

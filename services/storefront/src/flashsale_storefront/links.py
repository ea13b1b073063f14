"""Where the page leads: to the gateway with orders, and to the shop with buyers who sign in or pay. Pure."""

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flashsale_core.errors import SettingsError

_UNSAFE = re.compile(r"[\s\"'<>;,\\]")


@dataclass(frozen=True, slots=True)
class Links:
    api: str = ""
    """FLASHSALE_STOREFRONT_API_URL: the gateway's origin as browsers reach it; empty if it is the page's own."""
    sign_in: str = ""
    """FLASHSALE_STOREFRONT_SIGN_IN_URL: where a buyer without a token signs in, or buys if the page takes no orders.
    `{sale}` becomes the sale's id."""
    pay: str = ""
    """FLASHSALE_STOREFRONT_PAY_URL: where the shop takes the payment; `{orderId}` becomes the order's id."""


def origin(text: str, variable: str) -> str:
    """An origin without a path, empty if `text` is. Raises SettingsError."""
    if not text:
        return ""
    url = text.rstrip("/")
    parts = urlsplit(url)
    # It becomes part of the Content-Security-Policy, so nothing in it may end a directive.
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path or parts.query or parts.fragment or _UNSAFE.search(url):
        raise SettingsError(f"{variable} must be an origin such as https://sale.example, without a path; it is {text!r}")
    return url


def link(text: str, variable: str, placeholder: str) -> str:
    """A link to the shop, empty if `text` is. Raises SettingsError."""
    if not text:
        return ""
    if urlsplit(text).scheme not in ("http", "https") or not urlsplit(text).hostname or _UNSAFE.search(text):
        raise SettingsError(f"{variable} must be a link such as https://shop.example/?for={placeholder}; it is {text!r}")
    return text

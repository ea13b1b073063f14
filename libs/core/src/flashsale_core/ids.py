"""Identifiers: their alphabets, and the keyed hash that turns a request into an order id."""

import base64
import re
from functools import lru_cache
from typing import NamedTuple, NewType

from flashsale_core.macs import mac_with

SaleId = NewType("SaleId", str)
UserId = NewType("UserId", str)
OrderId = NewType("OrderId", str)
PaymentId = NewType("PaymentId", str)

# No '|', ':', '{' or '}' in a sale id: it is part of key names and of the members of the deadlines set.
# The end is a lookahead, not '$': Python's '$' also matches before a final newline, and JSON Schema's dialect has no \\Z.
_END = r"(?![\s\S])"
_SALE_ID = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
SALE_ID_PATTERN = rf"^{_SALE_ID}{_END}"
# Clients choose these ids: printable ASCII, such as `auth0|65a1` and `o'brien@example.com`, without '"' and '\\', as scripts write JSON.
# Scripts keep fields that begin with '#' among the users, and '|' separates the parts of a stray payment's name.
_USER_ID = r"[!$-\[\]-~][!#-\[\]-~]{0,254}"
USER_ID_PATTERN = rf"^{_USER_ID}{_END}"
_REQUEST_ID = r"[!#-\[\]-~]{1,255}"
REQUEST_ID_PATTERN = rf"^{_REQUEST_ID}{_END}"
PAYMENT_ID_PATTERN = rf"^[!#-\[\]-z~]{{1,255}}{_END}"
ID_LENGTH_MAX = 255
_PRINTABLE = "1 to 255 printable ASCII characters without spaces, '\"' and '\\'"
ID_RULES = {
    SALE_ID_PATTERN: "1 to 64 letters, digits, '.', '_' and '-', the first a letter or digit",
    USER_ID_PATTERN: f"{_PRINTABLE}, the first not '#'",
    REQUEST_ID_PATTERN: _PRINTABLE,
    PAYMENT_ID_PATTERN: "1 to 255 printable ASCII characters without spaces, '\"', '\\', '{', '|' and '}'",
}
"""What each pattern accepts, in words for an error."""
ORDER_ID_LENGTH = 20

_SALE = re.compile(SALE_ID_PATTERN)
_OF_ORDER = re.compile(rf"{_SALE_ID}\0{_USER_ID}\0{_REQUEST_ID}")
_ORDER = re.compile(rf"^[A-Za-z0-9_-]{{{ORDER_ID_LENGTH}}}{_END}")


class OrderRef(NamedTuple):
    """An order as clients name it: `<sale>.<order id>`. It contains the sale, which determines the shard."""

    sale_id: SaleId
    order_id: OrderId

    def __str__(self) -> str:
        return f"{self.sale_id}.{self.order_id}"


def order_name(sale_id: str, order_id: str) -> str:
    """An order as clients name it. A payment may be for a sale that does not exist, and its order is then named without one."""
    return f"{sale_id}.{order_id}" if sale_id else order_id


def order_id(key: bytes, sale_id: str, user_id: str, request_id: str) -> OrderId:
    """The order id of a request: 120 bits of HMAC-SHA-256 (RFC 2104), base64url, 20 characters.

    The same request always has the same id, so idempotency needs no other key. Without `key` nobody can guess another buyer's order id.
    A zero byte separates the parts, and none of their alphabets has one.
    """
    mac = _mac_with(key)(f"{sale_id}\0{user_id}\0{request_id}".encode())
    return OrderId(base64.urlsafe_b64encode(mac[:15]).decode())


# Setting up a key takes longer than hashing a request.
_mac_with = lru_cache(maxsize=8)(mac_with)


def are_ids_of_order(sale_id: str, user_id: str, request_id: str) -> bool:
    """Whether each text matches its pattern. All are matched at once, because three matches take twice as long."""
    return _OF_ORDER.fullmatch(f"{sale_id}\0{user_id}\0{request_id}") is not None


def parse_order_ref(text: str) -> OrderRef | None:
    """The order that `text` names, or None if it is not an order id."""
    sale, _, order = text.rpartition(".")
    if _SALE.match(sale) and _ORDER.match(order):
        return OrderRef(SaleId(sale), OrderId(order))
    return None


def is_sale_id(text: str) -> bool:
    return _SALE.match(text) is not None

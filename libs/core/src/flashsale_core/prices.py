"""The price of a sale's unit as one text, such as `1999 EUR`, in Redis, messages and the ledger. No price is an empty text.

lua/lib/price.lua reads the same text. It is one field, so that amount and currency never come from two definitions.
"""

import re
from typing import NamedTuple

_PRICE = re.compile(r"([1-9][0-9]{0,12}) ([A-Z]{3})")
NO_PRICE = ""


class Price(NamedTuple):
    amount_minor: int
    """The amount for one unit, in the currency's smallest unit: 1999 is 19.99 EUR."""
    currency: str
    """ISO 4217, in upper case."""


def price_text(amount_minor: int, currency: str) -> str:
    return f"{amount_minor} {currency.upper()}"


def read_price(text: str) -> Price | None:
    """None if there is no price. Raises ValueError if the text cannot be read."""
    if text == NO_PRICE:
        return None
    match = _PRICE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a price, such as 1999 EUR")
    return Price(int(match[1]), match[2])

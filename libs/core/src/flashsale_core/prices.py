"""The price of a sale's unit as one text, such as `1999 EUR`, in Redis, messages and the ledger; and amounts as people read them.

No price is an empty text.

lua/lib/price.lua reads the same text. It is one field, so that amount and currency never come from two definitions.
"""

import re
from typing import NamedTuple

_PRICE = re.compile(r"([1-9][0-9]{0,12}) ([A-Z]{3})")
NO_PRICE = ""
DECIMALS = (
    dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0
    )
    | dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3)
    | dict.fromkeys(("CLF", "UYW"), 4)
)
"""The decimals of currencies that have another number than 2 (ISO 4217, list one, "minor unit")."""


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


def money(amount_minor: int, currency: str) -> str:
    """The amount as people read it, such as `1,019.99 EUR`."""
    return f"{_decimal(amount_minor, currency, ',')} {currency}".strip()


def plain_amount(amount_minor: int, currency: str) -> str:
    """The amount as programs and spreadsheets read it, such as `1019.99`."""
    return _decimal(amount_minor, currency, "")


def _decimal(amount_minor: int, currency: str, grouping: str) -> str:
    decimals = DECIMALS.get(currency, 2)
    whole, rest = divmod(abs(amount_minor), 10**decimals)
    sign = "-" if amount_minor < 0 else ""
    return f"{sign}{whole:{grouping}}{f'.{rest:0{decimals}d}' if decimals else ''}"

"""Amounts as people read them."""

import pytest

from flashsale_core.prices import money


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "EUR", "19.99 EUR"), (-5, "EUR", "-0.05 EUR"), (5, "JPY", "5 JPY"), (250_000, "PYG", "250,000 PYG"),
        (1_234_567, "KWD", "1,234.567 KWD"), (1, "IQD", "0.001 IQD"), (10_000, "CLF", "1.0000 CLF"), (100, "", "1.00"),
    ],
)  # fmt: skip
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency) == text

"""Amounts as people read them."""

import pytest

from flashsale_core.prices import money, plain_amount


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (1999, "EUR", "19.99 EUR"), (-5, "EUR", "-0.05 EUR"), (5, "JPY", "5 JPY"), (250_000, "PYG", "250,000 PYG"),
        (1_234_567, "KWD", "1,234.567 KWD"), (1, "IQD", "0.001 IQD"), (10_000, "CLF", "1.0000 CLF"), (100, "", "1.00"),
    ],
)  # fmt: skip
def test_money_has_the_decimals_of_its_currency(amount: int, currency: str, text: str) -> None:
    assert money(amount, currency) == text


@pytest.mark.parametrize(
    ("amount", "currency", "text"), [(101_999, "EUR", "1019.99"), (-5, "KWD", "-0.005"), (1_500_000, "JPY", "1500000")]
)
def test_plain_amount_has_neither_groups_nor_a_currency(amount: int, currency: str, text: str) -> None:
    assert plain_amount(amount, currency) == text

"""The example shop's pages."""

from examples.shop import pages
from examples.shop.settings import read_settings
from flashsale_core.prices import DECIMALS, money

ENGINE = {"FLASHSALE_URL": "http://engine", "FLASHSALE_WEBHOOK_SECRET": "whsec_x"}


def test_price_has_the_decimals_of_its_currency() -> None:
    for currency in ("EUR", *DECIMALS):
        front = pages.front(read_settings(ENGINE | {"SHOP_CURRENCY": currency, "SHOP_AMOUNT_MINOR": "1234567"}))
        assert f"<p>{money(1_234_567, currency)}</p>" in front, currency

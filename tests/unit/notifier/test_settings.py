import base64
import json

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_core.shop_events import DEFAULT_TYPES
from flashsale_notifier.settings import NamedEndpoint, Settings, read_settings

SERVERS = {"AMQP_URL": "amqp://u:p@broker:5672/", "DATABASE_URL": "postgresql://u:p@ledger:5432/flashsale"}
OLD, NEW = ("whsec_" + base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def read(*endpoints: object, **variables: str) -> Settings:
    return read_settings(Environment(SERVERS | {"FLASHSALE_NOTIFIER_ENDPOINTS": json.dumps(endpoints)} | variables))


def test_endpoint_has_the_secrets_of_its_variable() -> None:
    shop = {"name": "shop-eu", "url": "https://shop.example/hooks"}
    settings = read(shop, FLASHSALE_NOTIFIER_SECRET_SHOP_EU=f"{NEW} {OLD}")
    assert settings.endpoints == (NamedEndpoint("shop-eu", "https://shop.example/hooks", DEFAULT_TYPES, (NEW, OLD)),)


def test_no_endpoint_is_needed_and_the_schedule_is_the_standard_one() -> None:
    settings = read_settings(Environment(SERVERS))
    assert (settings.endpoints, settings.attempt_timeout_seconds, settings.disable_after_seconds) == ((), 15, 5 * 86_400)
    assert settings.with_reserved is False


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ({"name": "shop"}, "must be JSON such as"),
        ({"name": "Shop", "url": "https://shop.example"}, "FLASHSALE_NOTIFIER_ENDPOINTS: name must be"),
        ({"name": "shop", "url": "shop.example"}, "FLASHSALE_NOTIFIER_ENDPOINTS: url of shop"),
        ({"name": "shop", "url": "https://shop.example", "types": ["paid"]}, "types of shop must be some of"),
        ({"name": "other", "url": "https://shop.example"}, "FLASHSALE_NOTIFIER_SECRET_OTHER is not set"),
        ({"name": "weak", "url": "https://shop.example"}, "FLASHSALE_NOTIFIER_SECRET_WEAK"),
        ({"name": "shop", "url": "https://shop.example", "kinds": []}, "kinds"),
    ],
)
def test_wrong_endpoint_is_refused_by_name(endpoint: object, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read(endpoint, FLASHSALE_NOTIFIER_SECRET_SHOP=NEW, FLASHSALE_NOTIFIER_SECRET_WEAK="whsec_abc")


def test_two_endpoints_of_one_name_are_refused() -> None:
    shop = {"name": "shop", "url": "https://shop.example"}
    with pytest.raises(SettingsError, match="two endpoints of one name"):
        read(shop, shop, FLASHSALE_NOTIFIER_SECRET_SHOP=NEW)

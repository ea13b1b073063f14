"""The storefront's settings: what is refused, and with which words."""

import base64

import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.settings import Environment
from flashsale_storefront.links import Links
from flashsale_storefront.ordering import Ordering
from flashsale_storefront.pages import content_security_policy
from flashsale_storefront.settings import read_settings

ENV = {"REDIS_URL": "redis://127.0.0.1:6379/0"}
DEMO = {
    "FLASHSALE_STOREFRONT_DEMO": "true",
    "FLASHSALE_URL": "http://127.0.0.1:8000",
    "FLASHSALE_WEBHOOK_SECRET": "whsec_" + base64.b64encode(bytes(32)).decode(),
}


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        (DEMO, "FLASHSALE_STOREFRONT_DEMO pays for everybody"),
        (DEMO | {"FLASHSALE_HOST": "10.0.0.1"}, "set FLASHSALE_HOST to 127.0.0.1"),
        ({"FLASHSALE_STOREFRONT_API_URL": "https://api.example/path"}, "FLASHSALE_STOREFRONT_API_URL must be an origin"),
        ({"FLASHSALE_STOREFRONT_API_URL": "https://api.example; script-src *"}, "FLASHSALE_STOREFRONT_API_URL must be an origin"),
        ({"FLASHSALE_STOREFRONT_PAY_URL": "javascript:alert(1)"}, "FLASHSALE_STOREFRONT_PAY_URL must be a link"),
        ({"FLASHSALE_STOREFRONT_TRUSTED_PROXIES": "10.0.0.0/8,all"}, "FLASHSALE_STOREFRONT_TRUSTED_PROXIES must be addresses"),
        ({"FLASHSALE_STOREFRONT_STALE_SECONDS": "1"}, "FLASHSALE_STOREFRONT_STALE_SECONDS must be longer"),
    ],
)
def test_wrong_setting_names_the_variable(variables: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings(Environment(ENV | variables))


def test_demo_is_possible_on_loopback_only() -> None:
    settings = read_settings(Environment(ENV | DEMO | {"FLASHSALE_HOST": "127.0.0.1"}))
    assert settings.demo is not None
    assert settings.demo.gateway_url == "http://127.0.0.1:8000"


@pytest.mark.parametrize(
    ("modes", "ordering"),
    [
        ({}, Ordering.ANYBODY),
        ({"FLASHSALE_IDENTITY": "service,header"}, Ordering.ANYBODY),
        ({"FLASHSALE_IDENTITY": "service, token"}, Ordering.SIGNED_IN),
        ({"FLASHSALE_IDENTITY": "jwt"}, Ordering.SIGNED_IN),
        ({"FLASHSALE_IDENTITY": "service"}, Ordering.NOBODY),
        ({"FLASHSALE_IDENTITY": "service,body"}, Ordering.NOBODY),
        (DEMO | {"FLASHSALE_IDENTITY": "service", "FLASHSALE_HOST": "127.0.0.1"}, Ordering.ANYBODY),
    ],
)
def test_modes_of_the_gateway_decide_who_orders_on_the_page(modes: dict[str, str], ordering: Ordering) -> None:
    assert read_settings(Environment(ENV | modes)).ordering is ordering


def test_policy_allows_requests_to_the_gateway_and_nothing_inline() -> None:
    policy = content_security_policy(Links(api="https://api.example"))
    assert "connect-src 'self' https://api.example;" in policy
    assert "unsafe" not in policy
    assert "*" not in policy

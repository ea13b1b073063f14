import pytest

from flashsale_core.errors import SettingsError
from flashsale_core.shop_events import DEFAULT_TYPES, EventType, endpoint_name, endpoint_url, event_id, event_types


def test_event_id_is_the_same_for_the_same_state_and_has_no_dot() -> None:
    key = event_id("shoe", 7, "o1", "paid")
    # It never changes: a shop compares it with the ids that it has.
    assert key == "evt_bd559165ffae783f152ffee4a963d971"
    assert len({key, event_id("shoe", 8, "o1", "paid"), event_id("shoe", 7, "o1", "expired"), event_id("shoe", 7, "o2", "paid")}) == 4
    # No part runs into the next one.
    assert event_id("shoe", 7, "1", "paid") != event_id("shoe", 71, "", "paid")


def test_reserved_orders_and_tests_are_not_sent_by_default() -> None:
    assert event_types([]) == DEFAULT_TYPES
    assert set(EventType) - set(DEFAULT_TYPES) == {EventType.ORDER_RESERVED, EventType.WEBHOOK_TEST}
    assert event_types(["order.paid", "order.paid", "order.reserved"]) == (EventType.ORDER_PAID, EventType.ORDER_RESERVED)


@pytest.mark.parametrize("name", ["order.payed", "webhook.test", ""])
def test_unknown_type_is_refused_by_name(name: str) -> None:
    with pytest.raises(SettingsError, match=r"types must be some of order\.reserved, order\.paid"):
        event_types([name])


@pytest.mark.parametrize("url", ["https://shop.example/hooks?x=1", "http://10.0.0.7:8080/", "https://[2001:db8::1]:8443/a"])
def test_urls_of_endpoints_are_accepted(url: str) -> None:
    assert endpoint_url(url) == url


@pytest.mark.parametrize(
    "url",
    ["", "shop.example", "ftp://shop.example", "https://", "https://user:word@shop.example", "https://shop.example/#a",
     "https://shop.example/ a", "https://shop.example:99999/", "https://shop.example/\n", "https://shop.example/" + "a" * 2000, "https://[::1"],
)  # fmt: skip
def test_other_urls_are_refused_with_the_fix(url: str) -> None:
    with pytest.raises(SettingsError, match=r"url .*; use https://HOST/PATH"):
        endpoint_url(url)


@pytest.mark.parametrize("name", ["", "Shop", "a_b", "a" * 41, "shop\n"])
def test_names_are_short_lower_case_words(name: str) -> None:
    assert endpoint_name("shop-2") == "shop-2"
    with pytest.raises(SettingsError, match="name must be 1 to 40"):
        endpoint_name(name)

"""The page as HTML: when a browser may keep it, and what it says while nothing is known."""

from flashsale_storefront.answers import Answer, header
from flashsale_storefront.assets import Assets
from flashsale_storefront.documents import State, body_at, describe
from flashsale_storefront.links import Links
from flashsale_storefront.live_sales import WatchedSale
from flashsale_storefront.ordering import Ordering
from flashsale_storefront.pages import Pages
from flashsale_storefront.problems import Problem
from flashsale_storefront.wording import seller_of
from tests.unit.storefront.test_documents import FIELDS

ASSETS = Assets()


def pages(shop_name: str = "Shoes", links: Links | None = None, ordering: Ordering = Ordering.ANYBODY, *, is_demo: bool = False) -> Pages:
    return Pages(shop_name, links or Links(), ordering, ASSETS, is_demo=is_demo)


def answer_of(pages: Pages, if_none_match: bytes = b"") -> Answer:
    sale = WatchedSale("shoe")
    sale.set(describe("shoe", FIELDS, 1000))
    return pages.of_sale(sale, body_at(sale.content, 1500), 1500, if_none_match)


def test_page_is_kept_until_a_setting_changes() -> None:
    etag = header(answer_of(pages()).headers, b"etag")
    assert answer_of(pages(), etag).status == 304
    changed = (
        pages("Hats"),
        pages(links=Links(pay="https://shop.example/pay")),
        pages(links=Links(api="https://api.example")),
        pages(ordering=Ordering.NOBODY),
        pages(is_demo=True),
    )
    assert [answer_of(other, etag).status for other in changed] == [200] * 5


def test_only_a_recovering_sale_is_said_to_sell_nothing() -> None:
    said = {code: b"Nothing is sold" in pages().without_sale("shoe", Problem(code)).body for code in ("recovering", "overloaded")}
    assert said == {"recovering": True, "overloaded": False}


def test_page_without_a_known_stock_shows_no_bar_of_it() -> None:
    hidden = b'<div id="stock" hidden>'
    assert [hidden in pages().without_sale("shoe", Problem(code)).body for code in ("unknown_sale", "overloaded", "recovering")] == [
        True
    ] * 3
    assert (hidden in answer_of(pages()).body, b'<div id="stock">' in answer_of(pages()).body) == (False, True)


def test_page_that_takes_no_orders_says_where_one_buys() -> None:
    sign_in = Links(sign_in="https://shop.example/?for={sale}&now")
    link = b'<a href="https://shop.example/?for=shoe&amp;now">Buy in the shop</a>'
    cases = (
        (pages(), False, False, True),
        (pages(ordering=Ordering.SIGNED_IN, links=sign_in), False, False, True),
        (pages(ordering=Ordering.SIGNED_IN), True, False, True),
        (pages(ordering=Ordering.NOBODY), True, False, False),
        (pages(ordering=Ordering.NOBODY, links=sign_in), True, True, False),
    )
    for each, is_elsewhere, has_link, needs_script in cases:
        body = answer_of(each).body
        assert (b"Sold through the shop. You" in body, link in body, b"To buy, allow" in body) == (is_elsewhere, has_link, needs_script)
    said = {state for state in State if seller_of(state, Ordering.NOBODY, Links())}
    assert said == {State.NOT_STARTED, State.ON_SALE, State.SOLD_OUT, State.PAUSED}

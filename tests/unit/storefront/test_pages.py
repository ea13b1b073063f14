"""The page as HTML: when a browser may keep it, and what it says while nothing is known."""

from flashsale_storefront.answers import Answer, header
from flashsale_storefront.assets import Assets
from flashsale_storefront.documents import body_at, describe
from flashsale_storefront.links import Links
from flashsale_storefront.live_sales import WatchedSale
from flashsale_storefront.pages import Pages
from flashsale_storefront.problems import Problem
from tests.unit.storefront.test_documents import FIELDS

ASSETS = Assets()


def pages(shop_name: str = "Shoes", links: Links | None = None, *, is_demo: bool = False) -> Pages:
    return Pages(shop_name, links or Links(), ASSETS, is_demo=is_demo)


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
        pages(is_demo=True),
    )
    assert [answer_of(other, etag).status for other in changed] == [200] * 4


def test_only_a_recovering_sale_is_said_to_sell_nothing() -> None:
    said = {code: b"Nothing is sold" in pages().without_sale("shoe", Problem(code)).body for code in ("recovering", "overloaded")}
    assert said == {"recovering": True, "overloaded": False}

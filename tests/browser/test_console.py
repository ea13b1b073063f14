"""The console in a real browser: a merchant logs in, finds a sale, changes it, and every page passes axe."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flashsale_local_stack import Stack, wait_until
from tests.browser.pages import EachView, axe, layout_shifts, scrolls_sideways
from tests.integration.client import Client
from tests.integration.console import Visitor

if TYPE_CHECKING:
    from playwright.async_api import Page

PAGES = ("/", "/sales", "/orders", "/refunds", "/webhooks", "/changes", "/system")


@pytest.fixture(scope="module")
def sale(console_stack: Stack) -> str:
    """A sale of 10 units, one of them held, that the console knows."""
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    sale = shop.new_sale(10, price={"amountMinor": 1999, "currency": "EUR"})
    assert shop.order(sale, "ann").status == 200
    assert wait_until(lambda: merchant.get(f"/sales/{sale}").status == 200, 20)
    return sale


async def log_in(page: Page, stack: Stack, name: str, then: str) -> str:
    """Log in with the keyboard alone, and return where the console is."""
    visitor = Visitor(stack)
    url = f"http://{visitor.origin.removeprefix('http://')}"
    await page.goto(url + then)
    assert await axe(page) == []
    await page.keyboard.type(name)
    await page.keyboard.press("Tab")
    await page.keyboard.type(visitor.password)
    await page.keyboard.press("Enter")
    await page.wait_for_url(url + then)
    return url


async def test_each_page_passes_axe_in_each_view(console_stack: Stack, sale: str, page: Page, each_view: EachView) -> None:
    url = await log_in(page, console_stack, "viewer", "/")
    for path in (*PAGES, f"/sales/{sale}"):
        await page.goto(url + path)
        name = path.split("/")[1] or "attention"
        async for view in each_view(page, f"console-{name}-{len(path.split('/'))}"):
            assert (path, str(view), await axe(page), await scrolls_sideways(page)) == (path, str(view), [], False)


async def test_merchant_pauses_and_resumes_a_sale_after_one_question(console_stack: Stack, sale: str, page: Page) -> None:
    shop = Client(console_stack.env())
    url = await log_in(page, console_stack, "merchant", f"/sales/{sale}")
    for action, state, refused in (("pause", "paused", True), ("resume", "open", False)):
        await page.goto(f"{url}/sales/{sale}/change?action={action}&units=")
        assert await axe(page) == []
        await page.locator("main button").first.click()
        await page.wait_for_url(f"{url}/sales/{sale}*")
        assert shop.get(f"/sales/{sale}").body["state"] == state
        assert (shop.order(sale, f"bob-{action}").status != 200) == refused


async def test_numbers_of_a_sale_follow_without_a_reload(console_stack: Stack, sale: str, page: Page) -> None:
    shop = Client(console_stack.env())
    await log_in(page, console_stack, "viewer", f"/sales/{sale}")
    before, moved = await page.locator("main").inner_text(), await layout_shifts(page)
    assert shop.order(sale, "eve").status == 200
    await page.wait_for_function("before => document.querySelector('main').innerText !== before", arg=before)
    assert await moved() == []


FOLLOW = """async () => {
  const { update, spoken, news } = await import(document.querySelector("script[type=module]").src);
  const root = document.querySelector("main").appendChild(document.createElement("section"));
  const item = ([id, kind, words]) => `<li id="${id}" data-kind="${kind}"><strong>${words}</strong> <a href="/system">See</a></li>`;
  const html = (items) => `<div id="list">
    <ul>${items.map(item).join(" ")}</ul> <details id="more"><summary>More</summary>${items.length}</details></div>`;
  const seen = [];
  const show = (...items) => {
    const before = spoken(root), focused = document.activeElement;
    update(root, new DOMParser().parseFromString(html(items), "text/html"));
    seen.push([news(before, spoken(root)), root.querySelectorAll("li").length, document.activeElement === focused]);
  };
  root.innerHTML = html([["a", "now", "A"], ["b", "later", "6 s behind"]]);
  root.querySelector("#b a").focus();
  show(["c", "now", "C"], ["b", "later", "7 s behind"]);
  show(["b", "later", "8 s behind"], ["c", "now", "C"]);
  show(["c", "now", "C"], ["b", "now", "9 s behind"]);
  root.querySelector("summary").click();
  root.querySelector("summary").focus();
  show(["b", "now", "10 s behind"]);
  seen.push([root.querySelector("details").open, root.querySelector("details").lastChild.data, root.querySelector("strong").textContent]);
  root.querySelector("#b a").focus();
  show(["c", "now", "C"]);
  seen.push(document.activeElement.id);
  return seen;
}"""


async def test_list_follows_around_the_focus_and_reads_only_news_aloud(console_stack: Stack, page: Page) -> None:
    await log_in(page, console_stack, "viewer", "/")
    assert await page.evaluate(FOLLOW) == [
        [["C"], 2, True],
        [[], 2, True],
        [["9 s behind"], 2, True],
        [[], 1, True],
        [True, "1", "10 s behind"],
        [["C"], 1, False],
        "main",
    ]


async def test_buyers_see_a_change_of_the_console_without_a_reload(console_stack: Stack, sale: str, page: Page) -> None:
    merchant = Visitor(console_stack).log_in("merchant")
    await page.goto(f"{console_stack.env()['FLASHSALE_STOREFRONT_URL']}/s/{sale}")
    await page.locator("#page[data-phase=on_sale]").wait_for()
    for action, phase in (("pause", "paused"), ("resume", "on_sale")):
        asked = merchant.get(f"/sales/{sale}/change?action={action}&units=")
        assert merchant.post(f"/sales/{sale}/change", asked.fields()).status == 303
        await page.locator(f"#page[data-phase={phase}]").wait_for()

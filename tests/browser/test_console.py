"""The console in a real browser: a merchant logs in, finds a sale, changes it, and every page passes axe."""

from __future__ import annotations

import re
import uuid
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import pytest

from flashsale_local_stack import Stack, wait_until
from tests.browser.pages import EachView, Watch, axe, layout_shifts, scrolls_sideways, tab_to
from tests.integration.client import Client
from tests.integration.console import Visitor

if TYPE_CHECKING:
    from playwright.async_api import Page


class Step(NamedTuple):
    """A change of the console: its button, the one that agrees after the question, and what is said at the end."""

    path: str
    ask: str
    agree: str
    done: str
    entered: tuple[str, str] | None = None
    """The label of a field, and what a person types there."""


class Subjects(NamedTuple):
    """What a merchant can change: a sale without holds, a paid order of it, and a refund that is due."""

    sale: str
    order: str
    refund: str


PAGES = ("/", "/sales", "/orders", "/refunds", "/webhooks", "/changes", "/system")


@pytest.fixture(scope="module")
def sale(console_stack: Stack) -> str:
    """A sale of 10 units, one of them held, that the console knows."""
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    sale = shop.new_sale(10, price={"amountMinor": 1999, "currency": "EUR"})
    assert shop.order(sale, "ann").status == 200
    assert wait_until(lambda: merchant.get(f"/sales/{sale}").status == 200, 20)
    return sale


@pytest.fixture
def subjects(console_stack: Stack) -> Subjects:
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    sale = shop.new_sale(10)
    # A long name and a large amount, so that pages are as wide as they may become.
    order = bought(shop, sale, "b" * 60)
    assert shop.pay(order, f"second-{uuid.uuid4().hex}", amount_minor=9_999_999_99).body["result"] == "refund_due"
    row = re.compile(rf'href="/refunds/(\d+)"(?:(?!</tr>).)*{re.escape(order)}', re.DOTALL)
    assert wait_until(lambda: row.search(merchant.get("/refunds").text) is not None, 60)
    refund = row.search(merchant.get("/refunds").text)
    assert refund
    return Subjects(sale, order, refund[1])


def bought(shop: Client, sale: str, buyer: str) -> str:
    """The id of a new order, which is paid."""
    order = str(shop.order(sale, buyer).body["orderId"])
    assert shop.pay(order, f"pay-{uuid.uuid4().hex}").body["result"] == "paid"
    return order


async def log_in(page: Page, stack: Stack, name: str, then: str) -> str:
    """Log in with the keyboard alone, and return where the console is."""
    visitor = Visitor(stack)
    url = f"http://{visitor.origin.removeprefix('http://')}"
    await page.goto(url + then)
    # The browser moves the focus to the first field when it draws the page, which may be after it has loaded.
    await page.wait_for_function("document.activeElement.id === 'name'")
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


async def test_each_question_and_its_subject_pass_axe_in_each_view(
    console_stack: Stack, subjects: Subjects, page: Page, watch: Watch, each_view: EachView
) -> None:
    """Pages of one order, refund or change; with the login, and what is said after a refusal."""
    watch.expect("status of 401|status of 412")

    async def is_fine(name: str) -> None:
        async for view in each_view(page, f"console-{name}"):
            assert (name, str(view), await axe(page), await scrolls_sideways(page)) == (name, str(view), [], False)

    shop, (sale, order, refund) = Client(console_stack.env()), subjects
    await page.goto(f"{Visitor(console_stack).origin}/login")
    await is_fine("login")
    await page.get_by_label("Name").fill("merchant")
    await page.get_by_label("Password").fill("wrong")
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").wait_for()
    await is_fine("login-refused")
    url = await log_in(page, console_stack, "merchant", f"/orders/{order}")
    await is_fine("order")
    for name, path in (
        ("return-question", f"/orders/{order}/return?restock=yes"),
        ("refund", f"/refunds/{refund}"),
        ("refund-question", f"/refunds/{refund}/change?state=sent&reference=re_1"),
        ("end-question", f"/sales/{sale}/change?action=close&units="),
        ("stock-question", f"/sales/{sale}/change?action=add&units=5"),
    ):
        await page.goto(url + path)
        await is_fine(name)
    # Somebody else changes the sale meanwhile.
    assert shop.admin({"productId": sale, "add": 1}).status == 200
    await page.get_by_role("button", name="Add 5 to the stock").click()
    await page.get_by_role("alert").wait_for()
    await is_fine("refused")


CHANGES = (
    Step("/sales/{sale}", "Pause…", "Pause the sale", "The sale is paused."),
    Step("/sales/{sale}", "Resume…", "Resume the sale", "The sale goes on."),
    Step("/sales/{sale}", "Add to the stock…", "Add 5 to the stock", "The stock was changed.", ("Units", "5")),
    Step("/sales/{sale}", "Set the stock…", "Set the stock to 20", "The stock was set.", ("Units", "20")),
    Step("/orders/{order}", "Return, and keep as sold…", "Return the order", "The order is returned"),
    Step("/refunds/{refund}", "It failed…", "Note it as failed", "The refund was changed.", ("Why it failed", "no account")),
    Step("/refunds/{refund}", "It is due again…", "Note it as due", "The refund was changed.", ("Why it is due again", "found")),
    Step("/refunds/{refund}", "It was sent…", "Note it as sent", "The refund was changed.", ("The provider's id of the refund", "re_1")),
    Step("/sales/{sale}", "End…", "End the sale", "The sale has ended."),
    Step("/sales/{sale}", "Remove…", "Remove the sale", "The sale was removed."),
)


async def test_merchant_makes_each_change_with_the_keyboard_alone(console_stack: Stack, subjects: Subjects, page: Page) -> None:
    shop, keys, sale = Client(console_stack.env()), cycle(("Enter", "Space")), subjects.sale
    url = await log_in(page, console_stack, "merchant", f"/sales/{sale}")
    await tab_to(page, page.get_by_role("textbox", name="Units"))
    await page.keyboard.type("7")
    bought(shop, sale, "eve")
    await page.locator("#sold", has_text="2").wait_for()
    assert await page.evaluate("[document.activeElement.id, document.activeElement.value]") == ["units", "7"]
    engine = []
    for step in CHANGES:
        await page.goto(url + step.path.format(**subjects._asdict()))
        await tab_to(page, page.get_by_role("link", name="Skip to the content"))
        await page.keyboard.press("Enter")
        if step.entered:
            label, text = step.entered
            await tab_to(page, page.get_by_role("textbox", name=label, exact=True))
            await page.keyboard.type(text)
        for button in (step.ask, step.agree):
            await tab_to(page, page.get_by_role("button", name=button, exact=True))
            await page.keyboard.press(next(keys))
            await page.wait_for_load_state()
        await page.get_by_role("status").filter(has_text=step.done).wait_for()
        if "sale" in step.path and step.ask != "Remove…":
            shown = shop.get(f"/sales/{sale}").body
            engine.append((shown["state"], shown["stock"]))
    assert engine == [("paused", 10), ("open", 10), ("open", 15), ("open", 20), ("closed", 20)]
    await tab_to(page, page.get_by_role("button", name="Log out"))
    await page.keyboard.press("Enter")
    await page.wait_for_url(f"{url}/login")


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

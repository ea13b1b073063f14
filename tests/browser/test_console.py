"""The console in a real browser: a merchant logs in, finds a sale, changes it, and every page passes axe."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import asyncpg
import pytest

from flashsale_local_stack import Stack, wait_until
from tests.browser.console_views import BY_A_FORM, VIEWS, Subjects, View
from tests.browser.pages import EachView, Watch, axe, layout_shifts, scrolls_sideways, tab_to
from tests.integration.client import Client
from tests.integration.console import Visitor, own_by_flashsale, pay_back

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


class Changed(NamedTuple):
    """What a merchant changes: a sale without holds, a paid order of it, and a refund that is due."""

    sale: str
    order: str
    refund: str


LONG_BUYER = "b" * 60


@pytest.fixture(scope="module")
def sale(console_stack: Stack) -> str:
    """A sale of 10 units, one of them held, that the console knows."""
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    sale = shop.new_sale(10, price={"amountMinor": 1999, "currency": "EUR"})
    assert shop.order(sale, "ann").status == 200
    assert wait_until(lambda: merchant.get(f"/sales/{sale}").status == 200, 20)
    return sale


@pytest.fixture
def changed(console_stack: Stack) -> Changed:
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    sale = shop.new_sale(10)
    order = bought(shop, sale, LONG_BUYER)
    return Changed(sale, order, refund_of(shop, merchant, order))


@pytest.fixture(scope="module")
def subjects(console_stack: Stack) -> Iterator[Subjects]:
    """Something in each list and in each state, with long names and large amounts, so that pages are as wide as they may become."""
    shop, merchant = Client(console_stack.env()), Visitor(console_stack).log_in("merchant")
    price = {"price": {"amountMinor": 1999, "currency": "EUR"}}
    sale = shop.new_sale(12_345_678, **price)
    assert shop.order(sale, "ann").status == 200
    orders = [bought(shop, sale, buyer, 1999) for buyer in (LONG_BUYER, "cy", "dan", "eve")]
    due, failed, sent = (refund_of(shop, merchant, order) for order in orders[:3])
    for refund, asked in ((failed, "state=failed&reason=no+account"), (sent, f"state=sent&reference={'re_' + 60 * '1'}")):
        page = merchant.get(f"/refunds/{refund}/change?{asked}")
        assert merchant.post(f"/refunds/{refund}/change", page.fields()).status == 303
    reported = orders[3]
    pay_back(shop, reported, f"pay-{reported}", 1999)
    assert wait_until(lambda: reported in merchant.get("/refunds?state=reported").text, 60)
    owned, paused, upcoming = (shop.new_sale(5, **more) for more in ({}, {"paused": True}, {"startsAt": "2099-01-01T00:00:00Z"}))
    own_by_flashsale(console_stack, owned)
    ended = shop.new_sale(1, **price)
    assert shop.end_sale(ended, "?mode=close").status == 200
    assert wait_until(lambda: all(merchant.get(f"/sales/{each}").status == 200 for each in (owned, paused, upcoming, ended)), 60)
    with webhooks(console_stack):
        yield Subjects(sale, owned, paused, upcoming, ended, orders[0], reported, due, failed, LONG_BUYER, "failing")


def refund_of(shop: Client, merchant: Visitor, order: str) -> str:
    """The id of a new refund: the order is paid a second time."""
    assert shop.pay(order, f"second-{uuid.uuid4().hex}", amount_minor=9_999_999_99).body["result"] == "refund_due"
    row = re.compile(rf'href="/refunds/(\d+)"(?:(?!</tr>).)*{re.escape(order)}', re.DOTALL)
    assert wait_until(lambda: row.search(merchant.get("/refunds").text) is not None, 60)
    refund = row.search(merchant.get("/refunds").text)
    assert refund
    return refund[1]


@contextmanager
def webhooks(stack: Stack) -> Iterator[None]:
    """An endpoint that fails, one that is disabled, and attempts of more than a page. Rows, because a real endpoint would be called."""

    async def write(*statements: str) -> None:
        ledger = await asyncpg.connect(stack.env()["DATABASE_URL"])
        try:
            for statement in statements:
                await ledger.execute(statement)
        finally:
            await ledger.close()

    asyncio.run(
        write(
            """insert into webhook_endpoints (endpoint, url, types, source, state, reason, failing_since)
               select name, 'https://shop.example/' || repeat('long/', 30), '{order.paid,sale.closed}', 'command', state, reason, since
                 from (values ('failing', 'enabled', '', now() - interval '3 h'),
                              ('stopped', 'disabled', 'it answered 410 Gone', null)) as e (name, state, reason, since)""",
            """insert into webhook_attempts (endpoint, event_id, status, duration_ms, answer)
               select 'failing', 'evt_' || n, nullif(500 + n % 4, 500), 12345, repeat('An answer of the shop. ', 9)
                 from generate_series(1, 60) as n""",
        )
    )
    try:
        yield
    finally:
        asyncio.run(
            write("delete from webhook_attempts where endpoint = 'failing'", "delete from webhook_endpoints where source = 'command'")
        )


def bought(shop: Client, sale: str, buyer: str, amount_minor: int = 1000) -> str:
    """The id of a new order, which is paid."""
    order = str(shop.order(sale, buyer).body["orderId"])
    assert shop.pay(order, f"pay-{order}", amount_minor=amount_minor).body["result"] == "paid"
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


@pytest.mark.parametrize("person", ["viewer", "merchant"])
async def test_each_page_passes_axe_in_each_view(
    console_stack: Stack, subjects: Subjects, page: Page, watch: Watch, each_view: EachView, person: str
) -> None:
    # A refusal is a page as well.
    watch.expect("status of 40[034]")
    url = await log_in(page, console_stack, person, "/")
    for view in VIEWS:
        if view.person == person:
            await page.goto(url + view.path.format(**subjects._asdict()))
            await is_fine(page, each_view, view)


async def is_fine(page: Page, each_view: EachView, view: View) -> None:
    """The page of this template, in each view."""
    assert (view.name, await page.locator("main").get_attribute("data-page")) == (view.name, view.template)
    async for shown in each_view(page, f"console-{view.name}"):
        assert (view.name, str(shown), await axe(page), await scrolls_sideways(page)) == (view.name, str(shown), [], False)


async def test_pages_by_a_form_pass_axe_in_each_view(
    console_stack: Stack, changed: Changed, page: Page, watch: Watch, each_view: EachView
) -> None:
    """The login, also after a wrong password, and what is said after a refusal."""
    watch.expect("status of 401|status of 412")
    shop, (login, not_done) = Client(console_stack.env()), BY_A_FORM
    await page.goto(f"{Visitor(console_stack).origin}/login")
    await is_fine(page, each_view, login)
    await page.get_by_label("Name").fill("merchant")
    await page.get_by_label("Password").fill("wrong")
    await page.keyboard.press("Enter")
    await page.get_by_role("alert").wait_for()
    await is_fine(page, each_view, login._replace(name="login-refused"))
    await log_in(page, console_stack, "merchant", f"/sales/{changed.sale}/change?action=add&units=5")
    # Somebody else changes the sale meanwhile.
    assert shop.admin({"productId": changed.sale, "add": 1}).status == 200
    await page.get_by_role("button", name="Add 5 to the stock").click()
    await page.get_by_role("alert").wait_for()
    await is_fine(page, each_view, not_done)


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


async def test_merchant_makes_each_change_with_the_keyboard_alone(console_stack: Stack, changed: Changed, page: Page) -> None:
    shop, keys, sale = Client(console_stack.env()), cycle(("Enter", "Space")), changed.sale
    url = await log_in(page, console_stack, "merchant", f"/sales/{sale}")
    await tab_to(page, page.get_by_role("textbox", name="Units"))
    await page.keyboard.type("7")
    bought(shop, sale, "eve")
    await page.locator("#sold", has_text="2").wait_for()
    assert await page.evaluate("[document.activeElement.id, document.activeElement.value]") == ["units", "7"]
    engine = []
    for step in CHANGES:
        await page.goto(url + step.path.format(**changed._asdict()))
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


async def test_merchant_downloads_all_orders_of_a_sale(console_stack: Stack, subjects: Subjects, page: Page) -> None:
    await log_in(page, console_stack, "merchant", f"/sales/{subjects.sale}")
    async with page.expect_download() as begun:
        await page.get_by_role("link", name="Download all orders").click()
    download = await begun.value
    rows = list(csv.DictReader(io.StringIO((await download.path()).read_text())))
    assert (download.suggested_filename, len(rows)) == (f"orders-{subjects.sale}.csv", 5)
    assert [row["buyer"] for row in rows if row["order"] == subjects.order] == [LONG_BUYER]


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

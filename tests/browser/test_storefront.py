"""The page of a sale in a real browser, with a real gateway and Redis behind it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import pytest

from flashsale_local_stack import Stack, free_ports
from flashsale_storefront.assets import FOLDER
from tests.browser.pages import EachView, Watch, axe, layout_shifts, open_page, scrolls_sideways, tab_to
from tests.integration.client import Client
from tests.integration.gateways import Gateway, gateway_on
from tests.integration.shops import shop_on
from tests.integration.storefronts import storefront_on

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page, Route

BUYERS = int(os.environ.get("FLASHSALE_TEST_BUYERS", "12"))
"""Browsers at once. With 50, which buy out 20 units, the test takes half a minute on a machine that does nothing else."""
UNITS = -(-BUYERS * 2 // 5)
FOREIGN = {"access-control-allow-origin": "*", "access-control-allow-headers": "*"}
"""By which a page reads the answer of another origin."""
ANY_END = "#page[data-phase=held], #page[data-phase=sold_out]"

OF_2021 = "delete AbortSignal.timeout;"
"""A browser that a phone of some years may have."""
WITHOUT_STREAMS = """window.EventSource = class {
  constructor() { setTimeout(() => this.onerror()); }
  addEventListener() {}
  close() {}
};"""


@dataclass(frozen=True)
class Shop:
    url: str
    gateway: Gateway
    further_port: int
    """For a storefront without simulated payments, whose page may call the gateway as well."""

    def page_of(self, sale: str) -> str:
        return f"{self.url}/s/{sale}"


@pytest.fixture(scope="module")
def shop(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """A storefront whose payments are simulated, and a gateway that its page may call."""
    folder, (port, further) = tmp_path_factory.mktemp("storefront"), free_ports(2)
    page = f"http://127.0.0.1:{port}"
    origins = f"{page},http://127.0.0.1:{further}"
    with gateway_on(stack.env() | {"FLASHSALE_CORS_ORIGINS": origins}, folder / "gateway.log") as gateway:
        more = {"FLASHSALE_STOREFRONT_PORT": str(port), "FLASHSALE_STOREFRONT_API_URL": gateway.url, "FLASHSALE_STOREFRONT_DEMO": "true"}
        with storefront_on(stack.env() | {"FLASHSALE_URL": gateway.url}, folder / "storefront.log", **more):
            yield Shop(page, gateway, further)


async def reach(page: Page, *phases: str) -> None:
    await page.locator(", ".join(f"#page[data-phase={phase}]" for phase in phases)).wait_for()


def at(seconds: float) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()


async def test_buyer_orders_reloads_cancels_and_pays_with_the_keyboard_alone(
    shop: Shop, client: Client, page: Page, each_view: EachView
) -> None:
    sale = client.new_sale(10, paymentWindowSeconds=60, maxPerUser=4, price={"amountMinor": 4900, "currency": "EUR"})
    primary, secondary, quantity = (page.locator(name) for name in ("#primary", "#secondary", "select"))
    await page.goto(shop.page_of(sale))
    await reach(page, "on_sale")
    assert await axe(page) == []
    await tab_to(page, quantity)
    await page.keyboard.press("ArrowDown")
    assert client.order(sale, "ann").status == 200
    await page.get_by_text("9 of 10 left").wait_for()
    # Neither the focus nor the choice is lost when numbers change.
    assert await quantity.evaluate("element => [element === document.activeElement, element.value]") == [True, "2"]
    await tab_to(page, primary)
    await page.keyboard.press("Enter")
    await reach(page, "held")
    await page.reload()
    await reach(page, "held")
    assert client.stock(sale) == (10, 7, 3, 0)
    async for view in each_view(page, "storefront-held"):
        assert (str(view), await axe(page), await scrolls_sideways(page)) == (str(view), [], False)
    await tab_to(page, secondary)
    await page.keyboard.press("Space")
    # What cancels stands before what keeps the order, which has taken the place of the question.
    await page.keyboard.press("Shift+Tab")
    await page.get_by_role("button", name="Yes, cancel").and_(page.locator(":focus-visible")).wait_for()
    await page.keyboard.press("Enter")
    await reach(page, "cancelled")
    assert client.stock(sale) == (10, 9, 1, 0)
    for phase, button in (("on_sale", "Order again"), ("held", "Buy"), ("paid", "Pay (simulated)")):
        await page.get_by_role("button", name=button, exact=True).and_(page.locator(":focus-visible")).wait_for()
        await page.keyboard.press("Enter")
        await reach(page, phase)
    assert (client.stock(sale), await axe(page)) == ((10, 7, 1, 2), [])
    assert "Paid" in await page.locator("#status").inner_text()
    # The button is gone, and the keyboard is on the title.
    assert await page.evaluate("document.activeElement.id") == "title"


async def test_paid_order_prints_as_a_receipt(shop: Shop, client: Client, page: Page) -> None:
    sale = client.new_sale(10, maxPerUser=4, price={"amountMinor": 104_900, "currency": "EUR"})
    await page.goto(shop.page_of(sale))
    await page.locator("select").select_option("2")
    await page.get_by_role("button", name="Buy").click()
    await page.locator("#detail", has_text="Pay 2,098.00 EUR before the time is over").wait_for()
    await page.get_by_role("button", name="Pay (simulated)").click()
    await reach(page, "paid")
    await page.emulate_media(media="print", color_scheme="dark")
    order = str(await page.evaluate("sale => JSON.parse(sessionStorage.getItem(`flashsale:${sale}`)).orderId", sale))
    printed = (await page.locator("main").inner_text()).split("\n")
    assert [line for line in printed if line] == ["Flash sale", sale, "1,049.00 EUR", "Paid", f"2 units bought. Your order is {order}."]
    colors = "element => [getComputedStyle(element).color, getComputedStyle(document.body).backgroundColor]"
    assert await page.locator("#detail").evaluate(colors) == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]


async def test_countdown_of_a_hold_is_that_of_the_engine(shop: Shop, client: Client, page: Page) -> None:
    sale = client.new_sale(1, paymentWindowSeconds=60)
    async with page.expect_response(f"{shop.gateway.url}/order") as ordered:
        await page.goto(shop.page_of(sale))
        await page.locator("#primary").click()
    deadline = datetime.fromisoformat((await (await ordered.value).json())["expiresAt"])
    await reach(page, "held")
    # In one step, for on a slow machine seconds pass between two.
    shown, now_ms = await page.evaluate("() => [document.getElementById('clock-time').innerText, Date.now()]")
    left = deadline.timestamp() - now_ms / 1000
    minutes, seconds = map(int, shown.split(":"))
    # A second counts until it is over, so the clock shows up to one more.
    assert -1 <= 60 * minutes + seconds - left <= 2


async def test_clock_of_a_page_that_polls_is_right_after_a_reload(shop: Shop, client: Client, page: Page) -> None:
    ends = datetime.now(UTC) + timedelta(seconds=600)
    sale = client.new_sale(5, endsAt=ends.isoformat())
    await page.add_init_script(WITHOUT_STREAMS)
    await page.goto(shop.page_of(sale))
    await page.get_by_text("Live, by").wait_for()
    # An unchanged sale's page and document may be kept by the browser, with the time that they were made at.
    await asyncio.sleep(4)
    await page.reload()
    await page.get_by_text("Live, by").wait_for()
    shown, now_ms = await page.evaluate("() => [document.getElementById('clock-time').innerText, Date.now()]")
    minutes, seconds = map(int, shown.split(":"))
    assert abs(60 * minutes + seconds - (ends.timestamp() - now_ms / 1000)) <= 2


async def test_polls_go_on_after_answers_of_a_proxy(shop: Shop, client: Client, page: Page, watch: Watch) -> None:
    watch.expect("status of 503")
    await page.add_init_script(WITHOUT_STREAMS)
    statuses = cycle((200, 503))
    await page.route("**/live", lambda route: route.fulfill(status=next(statuses), body="<html>"))
    await page.goto(shop.page_of(client.new_sale(5)))
    await reach(page, "unreachable")
    await page.unroute("**/live")
    await reach(page, "on_sale")


async def test_order_outlives_answers_of_a_proxy(shop: Shop, client: Client, page: Page, watch: Watch) -> None:
    watch.expect("status of 4")
    refused = {"status": 404, "body": "<html>", "headers": {"access-control-allow-origin": "*"}}
    sale = client.new_sale(5)
    await page.add_init_script(OF_2021)
    await page.goto(shop.page_of(sale))
    await reach(page, "on_sale")
    await page.route("**/order", lambda route: route.fulfill(**refused), times=1)
    await page.route("**/orders/*", lambda route: route.fulfill(**refused), times=1)
    async with page.expect_response(lambda answer: "/orders/" in answer.url and answer.status == 404):
        await page.locator("#primary").click()
        await reach(page, "held")
    async with page.expect_response(lambda answer: "/orders/" in answer.url and answer.ok):
        pass
    await reach(page, "held")
    assert client.stock(sale) == (5, 4, 1, 0)


async def test_token_that_ends_during_a_hold_leads_to_the_sign_in(shop: Shop, client: Client, page: Page, watch: Watch) -> None:
    watch.expect("status of 401")
    sale = client.new_sale(5)

    async def without_demo(route: Route) -> None:
        answer = await route.fetch()
        html = (await answer.text()).replace('data-demo="yes"', 'data-demo=""')
        await route.fulfill(response=answer, body=html.replace('data-sign-in=""', 'data-sign-in="/sign-in?to={sale}"'))

    order = {"orderId": f"{sale}.1", "quantity": 1, "state": "reserved", "expiresAt": at(60)}
    await page.route(shop.page_of(sale), without_demo)
    await page.route("**/order", lambda route: route.fulfill(json=order, headers=FOREIGN))
    ended = {"code": "unauthenticated", "title": "Who sends the request is not proven"}
    await page.route("**/orders/*", lambda route: route.fulfill(status=401, json=ended, headers=FOREIGN))
    await page.goto(f"{shop.page_of(sale)}#token=fsb1.ann")
    await page.locator("#primary").click()
    await page.get_by_role("button", name="Sign in again").wait_for()
    assert await page.evaluate("sessionStorage.getItem('flashsale:token')") is None
    await page.route("**/sign-in*", lambda route: route.fulfill(body="welcome"))
    await page.locator("#secondary").click()
    await page.wait_for_url(f"{shop.url}/sign-in?to={sale}")


async def test_buyer_whose_proof_was_refused_may_choose_again(shop: Shop, client: Client, page: Page, watch: Watch) -> None:
    watch.expect("status of 401")
    sale = client.new_sale(10, maxPerUser=4)
    refused = {"code": "unauthenticated", "title": "Who sends the request is not proven"}
    await page.route("**/order", lambda route: route.fulfill(status=401, json=refused, headers=FOREIGN), times=1)
    await page.goto(shop.page_of(sale))
    await page.locator("select").select_option("3")
    await page.get_by_role("button", name="Buy").click()
    await page.get_by_text(refused["title"]).first.wait_for()
    await page.locator("select").select_option("2")
    await page.get_by_role("button", name="Buy").click()
    await reach(page, "held")
    assert client.stock(sale) == (10, 8, 2, 0)


async def test_buyer_signs_in_at_the_example_shop_buys_and_pays(
    stack: Stack, shop: Shop, client: Client, page: Page, tmp_path: Path
) -> None:
    """Nothing is simulated but the payment provider: neither answers nor tokens."""
    sale = client.new_sale(5, price={"amountMinor": 4900, "currency": "EUR"})
    (port,) = free_ports(1)
    example, own = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{shop.further_port}"
    env = stack.env() | {"FLASHSALE_URL": shop.gateway.url, "FLASHSALE_STOREFRONT_URL": own}
    links = {
        "FLASHSALE_STOREFRONT_PORT": str(shop.further_port),
        "FLASHSALE_STOREFRONT_API_URL": shop.gateway.url,
        "FLASHSALE_STOREFRONT_SIGN_IN_URL": f"{example}/sign-in?to={{sale}}",
        "FLASHSALE_STOREFRONT_PAY_URL": f"{example}/o/{{orderId}}",
    }
    no_demo = {"FLASHSALE_STOREFRONT_DEMO": "false", "FLASHSALE_IDENTITY": "service,token"}
    with shop_on(env, tmp_path, SHOP_PORT=str(port), SHOP_PRODUCT=sale), storefront_on(env, tmp_path / "log", **links, **no_demo):
        await page.goto(f"{own}/s/{sale}")
        await page.get_by_role("link", name="Sign in to buy").click()
        await page.get_by_role("button", name="Buy").click()
        await reach(page, "held")
        assert page.url == f"{own}/s/{sale}"
        await page.get_by_role("link", name="Pay").click()
        await page.get_by_role("button", name="Pay 49.00 EUR").click()
        await page.get_by_text("Your payment has arrived.").wait_for()
        await page.get_by_role("link", name="Back to the sale").click()
        await reach(page, "paid")
        assert client.stock(sale) == (5, 4, 0, 1)
        # The shop's own page sells as well, to the same buyer.
        await page.goto(example)
        assert await axe(page) == []
        await page.get_by_role("button", name="Buy").click()
        await page.get_by_role("button", name="Pay 49.00 EUR").click()
        await page.get_by_text("Paid. Thank you!").wait_for()
        assert (client.stock(sale), await axe(page)) == ((5, 3, 0, 2), [])
        await page.goto("about:blank")


async def test_double_click_and_held_enter_cancel_nothing(shop: Shop, client: Client, page: Page) -> None:
    sale = client.new_sale(1, price={"amountMinor": 4900, "currency": "EUR"})
    # The page works without storage as well.
    await page.add_init_script("Storage.prototype.getItem = Storage.prototype.setItem = () => { throw new Error('forbidden'); };")
    await page.goto(shop.page_of(sale))
    await page.locator("#primary").click()
    await reach(page, "held")
    await page.locator("#secondary").dblclick()
    await page.get_by_role("button", name="Keep it").click()
    await page.locator("#secondary").focus()
    for _ in range(2):
        await page.keyboard.down("Enter")
    await page.keyboard.up("Enter")
    await page.get_by_role("button", name="Keep it").wait_for()
    assert client.stock(sale) == (1, 0, 1, 0)
    assert client.admin({"productId": sale, "stock": 1, "price": {"amountMinor": 5900, "currency": "EUR"}}).status == 200
    await page.get_by_text("59.00 EUR").wait_for()
    await page.get_by_role("button", name="Yes, cancel").click()
    await reach(page, "cancelled")


async def test_each_state_of_a_sale_is_shown(shop: Shop, client: Client, page: Page, watch: Watch) -> None:
    watch.expect("status of 404")
    sold_out = client.new_sale(1)
    assert client.order(sold_out, "ann").status == 200
    sales = {
        "not_started": client.new_sale(5, startsAt=at(3600)),
        "paused": client.new_sale(5, paused=True),
        "sold_out": sold_out,
        "ended": client.new_sale(5, endsAt=at(1)),
        "unknown": "no-such-sale",
    }
    for phase, sale in sales.items():
        await page.goto(shop.page_of(sale))
        await reach(page, phase)


async def test_page_that_takes_no_orders_says_where_one_buys(
    stack: Stack, client: Client, page: Page, tmp_path: Path, each_view: EachView
) -> None:
    sold_out = client.new_sale(1)
    assert client.order(sold_out, "ann").status == 200
    phases = {"not_started": client.new_sale(5, startsAt=at(3600)), "paused": client.new_sale(5, paused=True), "sold_out": sold_out}
    with storefront_on(stack.env(), tmp_path / "log", FLASHSALE_IDENTITY="service", FLASHSALE_STOREFRONT_DEMO="false") as storefront:
        for phase, sale in (phases | {"on_sale": client.new_sale(5)}).items():
            await page.goto(f"{storefront.url}/s/{sale}")
            await page.locator(f"#page[data-phase={phase}][data-tone]").wait_for()
            assert (await page.locator("#detail").inner_text()).startswith("Sold through the shop. ")
            assert await page.locator("button:visible, select:visible, a:visible").count() == 0
        async for view in each_view(page, "storefront-sold-by-the-shop"):
            assert (str(view), await axe(page), await scrolls_sideways(page)) == (str(view), [], False)
        # Before the storefront ends, or the page notes that it is gone.
        await page.goto("about:blank")


PHASES = frozenset(re.findall(r'^  (\w+): \["(?:good|calm|warn|bad)", ', (FOLDER / "decide.js").read_text(), re.MULTILINE))
"""Every phase that decide.js has a text for."""
SALES: dict[str, dict[str, object]] = {
    "on_sale": {"available": 12_345, "stock": 1_234_567, "endsAt": at(400_000)},
    "not_started": {"state": "not_started", "startsAt": at(86_400)},
    "sold_out": {"state": "sold_out", "available": 0, "reserved": 2, "sold": 3},
    "paused": {"state": "paused"},
    "ended": {"state": "ended", "available": 0, "sold": 5},
    "recovering": {"state": "recovering"},
}
ORDERS: dict[str, dict[str, object]] = {
    "held": {"state": "reserved", "expiresAt": at(86_400)},
    "expiring": {"state": "reserved", "expiresAt": at(-3600)},
    "paid": {"state": "paid"},
    "expired": {"state": "expired", "expiresAt": at(-3600)},
    "cancelled": {"state": "cancelled"},
    "returned": {"state": "returned"},
    "lost": {"code": "unknown_order", "title": "There is no such order"},
}
BUSY = {"status": 503, "json": {"code": "overloaded", "title": "Too many requests are waiting"}}
AT_ONCE = FOREIGN | {"retry-after": "0", "access-control-expose-headers": "retry-after"}


async def test_each_phase_passes_axe_in_each_view(shop: Shop, client: Client, page: Page, watch: Watch, each_view: EachView) -> None:
    """The answers are made here, so that each phase stays while it is looked at."""
    watch.expect("status of (404|503)|ERR_FAILED")
    # As long as a name can be, and without a blank.
    sale = f"{'long-name.' * 5}{uuid.uuid4().hex[:14]}"
    assert client.admin({"productId": sale, "stock": 5, "price": {"amountMinor": 9_999_999_99, "currency": "EUR"}}).status == 201
    changes: dict[str, object] = {}
    answer: dict[str, object] = {}
    seen: set[str] = set()

    async def live(route: Route) -> None:
        real = await route.fetch()
        await route.fulfill(response=real, json={**await real.json(), **changes})

    async def tell(route: Route) -> None:
        await route.fulfill(status=404 if "code" in answer else 200, json=answer, headers=FOREIGN)

    async def without_document(route: Route) -> None:
        """As the storefront answers while it knows nothing of the sale."""
        real = await route.fetch()
        await route.fulfill(response=real, body=re.sub(r' data-live="[^"]*"', "", await real.text()))

    async def never(_: Route) -> None:
        """The request stays without an answer."""

    async def is_fine(phase: str, name: str = "") -> None:
        await reach(page, phase)
        seen.add(phase)
        async for view in each_view(page, f"storefront-{name or phase}"):
            assert (phase, str(view), await axe(page), await scrolls_sideways(page)) == (phase, str(view), [], False)

    await page.add_init_script(WITHOUT_STREAMS)
    await page.goto(shop.page_of("no-such-sale"))
    await is_fine("unknown")
    await page.route("**/live", never)
    await page.route(f"**/s/{sale}", without_document)
    await page.goto(shop.page_of(sale))
    await is_fine("loading")
    await page.unroute(f"**/s/{sale}")
    await page.unroute("**/live")
    await page.route("**/live", live)
    for phase, changes in SALES.items():  # noqa: B007 - `live` reads it
        await page.goto(shop.page_of(sale))
        await is_fine(phase)
    changes = {}
    await page.goto(shop.page_of(sale))
    await page.route("**/order", never)
    await page.locator("#primary").click()
    await is_fine("ordering")
    await page.unroute("**/order")
    # The page sends it some twenty times, as often as it is advised to.
    await page.route("**/order", lambda route: route.fulfill(**BUSY, headers=AT_ONCE))
    await page.reload()
    await is_fine("unanswered")
    note = {"requestId": "r", "quantity": 1, "orderId": f"{sale}.{'A' * 20}"}
    await page.evaluate("([sale, note]) => sessionStorage.setItem(`flashsale:${sale}`, JSON.stringify(note))", [sale, note])
    await page.route("**/orders/*", never)
    await page.reload()
    await is_fine("asking")
    for phase, order in ORDERS.items():
        answer = {"orderId": note["orderId"], "quantity": 1, **order}
        await page.route("**/orders/*", tell)
        await page.reload()
        await is_fine(phase)
        if phase == "held":
            await page.locator("#secondary").click()
            await is_fine("held", "question")
            await page.get_by_role("button", name="Keep it").click()
            await page.route("**/demo/payments", never)
            await page.locator("#primary").click()
            await is_fine("paying")
    await page.evaluate("sessionStorage.clear()")
    await page.route("**/live", lambda route: route.abort())
    await page.reload()
    await is_fine("unreachable")
    assert seen == PHASES


async def test_waiting_page_sells_when_the_sale_starts(shop: Shop, client: Client, page: Page) -> None:
    began_at = monotonic()
    await page.goto(shop.page_of(client.new_sale(5, startsAt=at(3600))))
    await reach(page, "not_started")
    # Long enough for this machine to show the next page before its sale starts.
    sale = client.new_sale(5, startsAt=at(2 + 4 * (monotonic() - began_at)))
    await page.goto(shop.page_of(sale))
    await reach(page, "not_started")
    await reach(page, "on_sale")
    assert "started" in await page.locator("#status").inner_text()
    await page.locator("#primary").click()
    await reach(page, "held")


async def test_more_buyers_than_units_each_see_the_truth(shop: Shop, client: Client, browser: Browser, watch: Watch) -> None:
    watch.expect("status of 409")
    sale = client.new_sale(UNITS)

    async def buy() -> str:
        async with open_page(browser, watch) as page:
            page.set_default_timeout(5_000 * BUYERS)
            await page.goto(shop.page_of(sale))
            await page.locator("#page[data-tone]").wait_for()
            # In one step, for the button is gone when the last unit is.
            await page.evaluate("() => { const button = document.getElementById('primary'); button.hidden || button.click(); }")
            await page.locator(ANY_END).wait_for()
            return str(await page.locator("#page").get_attribute("data-phase"))

    seen = await asyncio.gather(*[buy() for _ in range(BUYERS)])
    assert (sorted(seen), client.stock(sale)) == (["held"] * UNITS + ["sold_out"] * (BUYERS - UNITS), (UNITS, 0, UNITS, 0))
    assert watch.faults == []


async def test_order_waits_for_a_gateway_that_hangs(shop: Shop, client: Client, page: Page) -> None:
    sale = client.new_sale(5)
    await page.goto(shop.page_of(sale))
    await reach(page, "on_sale")
    os.kill(shop.gateway.pid, signal.SIGSTOP)
    try:
        await page.locator("#primary").click()
        await reach(page, "ordering")
    finally:
        os.kill(shop.gateway.pid, signal.SIGCONT)
    await reach(page, "held")
    assert client.stock(sale) == (5, 4, 1, 0)


async def test_order_continues_when_a_killed_gateway_is_back(
    stack: Stack, client: Client, page: Page, watch: Watch, tmp_path: Path
) -> None:
    watch.expect("ERR_CONNECTION|ERR_EMPTY_RESPONSE|ERR_FAILED|CORS")
    port, back = free_ports(2)
    env = stack.env() | {"FLASHSALE_CORS_ORIGINS": f"http://127.0.0.1:{port}"}
    sale = client.new_sale(5)
    more = {"FLASHSALE_STOREFRONT_PORT": str(port), "FLASHSALE_STOREFRONT_API_URL": f"http://127.0.0.1:{back}"}
    with storefront_on(env, tmp_path / "storefront.log", **more, FLASHSALE_STOREFRONT_DEMO="true"):
        with gateway_on(env, tmp_path / "killed.log", port=back, ends=(-signal.SIGKILL,)) as gateway:
            await page.goto(f"http://127.0.0.1:{port}/s/{sale}")
            await reach(page, "on_sale")
            os.kill(gateway.pid, signal.SIGKILL)
        await page.locator("#primary").click()
        await reach(page, "ordering")
        with gateway_on(env, tmp_path / "back.log", port=back):
            # The page asks less and less often, at last every 20 seconds.
            await page.locator("#page[data-phase=held]").wait_for(timeout=60_000)
            assert client.stock(sale) == (5, 4, 1, 0)


async def test_nothing_on_the_page_moves_while_numbers_change(shop: Shop, client: Client, page: Page) -> None:
    sale, orders = client.new_sale(102, endsAt=at(600)), (2, 1, 97)
    await page.goto(shop.page_of(sale))
    await reach(page, "on_sale")
    moved = await layout_shifts(page)
    for number, units in enumerate(orders):
        assert client.order(sale, f"ann-{number}", units).status == 200
        await page.get_by_text(f"{102 - sum(orders[: number + 1])} of 102 left").wait_for()
    assert await moved() == []


async def test_page_reads_without_javascript(shop: Shop, client: Client, browser: Browser, watch: Watch) -> None:
    sale = client.new_sale(5)
    async with open_page(browser, watch, java_script_enabled=False) as page:
        await page.goto(shop.page_of(sale))
        text = await page.inner_text("main")
    assert ("On sale" in text, "5 of 5 left" in text, "allow JavaScript" in text) == (True, True, True)

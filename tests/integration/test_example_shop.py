"""The example shop on the real stack: a buyer without JavaScript, the API of the page's button, and the engine's events."""

import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from http.cookies import SimpleCookie
from pathlib import Path

import pytest

from examples.shop.engine import Engine
from examples.shop.providers import Stripe
from examples.shop.settings import read_settings
from examples.shop.store import Order, Store
from examples.shop.till import Till
from flashsale_client import Answer as ClientAnswer
from flashsale_client import Bought, Patience, Wish, buy
from flashsale_consumer import Delivery
from flashsale_core.messages import Message, encode
from flashsale_local_stack import Stack, wait_until
from flashsale_notifier.database import Database
from flashsale_notifier.handlers import ShopEvents
from flashsale_notifier.repository import Repository
from tests.integration.broker import until
from tests.integration.client import Answer, Client
from tests.integration.notifying import open_notifier
from tests.integration.order_events import expired, payment
from tests.integration.shops import shop_on
from tests.unit.clients.node import find_node

LEDGER_SECONDS = 90.0
NODE = find_node()
BUY_JS = Path(__file__).resolve().parents[2] / "clients" / "javascript" / "buy.js"
EVENTS_SECRET = "whsec_" + "c2hvcC1ldmVudHMtb2YtdGhlLWV4YW1wbGU="


class Browser:
    """Follows the shop's pages with one cookie, as a person does."""

    def __init__(self, shop: Client) -> None:
        self._shop = shop
        self._cookie = ""

    def get(self, path: str) -> Answer:
        return self._keep(self._shop.send("GET", path, None, self.headers))

    def post(self, path: str) -> Answer:
        return self._keep(self._shop.send("POST", path, b"", self.headers))

    @property
    def headers(self) -> Mapping[str, str]:
        return {"cookie": self._cookie} if self._cookie else {}

    def _keep(self, answer: Answer) -> Answer:
        for morsel in SimpleCookie(answer.headers.get("set-cookie", "")).values():
            self._cookie = f"{morsel.key}={morsel.value}"
        return answer


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(20, price={"amountMinor": 4900, "currency": "EUR"})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shop")


@pytest.fixture(scope="module")
def shop(stack: Stack, sale: str, folder: Path) -> Iterator[Client]:
    more = {"SHOP_EVENTS_SECRET": EVENTS_SECRET, "SHOP_RECONCILE_SECONDS": "0.2"}
    with shop_on(stack.env(), folder, SHOP_PRODUCT=sale, **more) as shop:
        yield shop


@pytest.fixture
def browser(shop: Client) -> Browser:
    return Browser(shop)


def bought(browser: Browser) -> str:
    """The path of a new order's page."""
    answer = browser.post("/buy")
    assert answer.status == 303, answer
    return answer.headers["location"]


def send_event(shop: Client, kind: str, order_id: str, state: str, rank: int, secret: str = EVENTS_SECRET) -> int:
    data = {"orderId": order_id, "state": state, "rank": rank}
    body = json.dumps({"type": kind, "timestamp": "2026-11-27T10:00:00Z", "data": data}).encode()
    return shop.send("POST", "/events", body, shop.signed(body, 0, secret)).status


def settled_orders(office: Client, sale: str) -> list[str]:
    """Orders of the sale whose refunds are sent."""
    answer = office.send(
        "GET", f"/admin/refunds?productId={sale}&state=sent", None, {"authorization": f"Bearer {office.env['FLASHSALE_ADMIN_TOKEN']}"}
    )
    return [refund["orderId"] for refund in answer.body["refunds"]]


def test_buyer_without_javascript_orders_pays_and_sees_it(client: Client, browser: Browser) -> None:
    assert b"Buy" in browser.get("/").raw
    page = bought(browser)
    assert b"Pay 49.00 EUR" in browser.get(page).raw
    assert browser.post(f"{page}/pay").headers["location"] == page
    shown = browser.get(page).raw
    assert (b"Paid. Thank you!" in shown, b"Your payment has arrived." in shown, b"<button>" in shown) == (True, True, False)
    assert client.pay(page.removeprefix("/o/"), uuid.uuid4().hex).body["result"] == "refund_due"


def test_button_of_the_page_buys_once_however_often_it_is_pressed(shop: Client, browser: Browser, sale: str) -> None:
    credentials = browser.get("/credentials").body
    known = {"token": credentials.get("token", ""), "user_id": credentials.get("userId", "")}
    url = f"http://127.0.0.1:{shop.env['FLASHSALE_URL'].rpartition(':')[2]}"
    wish = Wish(url, sale, **known)
    outcomes = [buy(wish, Patience(20)) for _ in range(2)]
    orders = [outcome for outcome in outcomes if isinstance(outcome, Bought)]
    assert [order.replayed for order in orders] == [False, True]
    assert b"Pay 49.00 EUR" in browser.get(f"/o/{orders[0].order['orderId']}").raw


@pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")
def test_client_of_the_page_buys_once_in_javascript(shop: Client, browser: Browser, sale: str) -> None:
    wish = {"url": shop.env["FLASHSALE_URL"], "productId": sale, "requestId": "click", **browser.get("/credentials").body}
    program = (
        f'import {{ buy }} from "{BUY_JS.as_uri()}"; for (const _ of [1, 2]) console.log(JSON.stringify(await buy({json.dumps(wish)})));'
    )
    command = [str(NODE), "--input-type=module", "--eval", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    first, second = map(json.loads, done.stdout.splitlines())
    assert (first["ok"], first["replayed"], second["replayed"]) == (True, False, True)
    assert first["order"]["orderId"] == second["order"]["orderId"]


@pytest.mark.skipif(NODE is None, reason="no Node >= 18: `scripts/servers.sh test` installs one")
def test_program_of_the_page_is_valid_javascript(browser: Browser, tmp_path: Path) -> None:
    (module,) = re.findall(r'<script type="module">(.*?)</script>', browser.get("/").raw.decode(), re.DOTALL)
    file = tmp_path / "page.mjs"
    file.write_text(module)
    checked = subprocess.run([str(NODE), "--check", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr


def test_page_loads_the_client_that_the_repository_has(browser: Browser) -> None:
    imported = re.findall(rb'from "([^"]+)"', browser.get("/").raw)
    assert imported == [b"/buy.js"]
    module = browser.get("/buy.js")
    assert module.raw == BUY_JS.read_bytes()
    assert module.headers["content-type"].startswith("text/javascript")


def test_payment_of_an_order_that_is_gone_is_released_and_its_refund_settled(client: Client, browser: Browser, sale: str) -> None:
    page = bought(browser)
    token = browser.get("/credentials").body.get("token")
    cancelled = client.send("DELETE", f"/orders/{page.removeprefix('/o/')}", None, {"authorization": f"Bearer {token}"} if token else {})
    assert cancelled.status == 200
    browser.get(page)
    browser.post(f"{page}/pay")
    shown = browser.get(page).raw
    assert (b"The order was cancelled." in shown, b"Your payment was not taken" in shown) == (True, True)
    office = Client({**client.env, "FLASHSALE_URL": client.env["FLASHSALE_LEDGER_API_URL"]})
    assert wait_until(lambda: page.removeprefix("/o/") in settled_orders(office, sale), LEDGER_SECONDS)


def test_order_of_somebody_else_is_not_shown(shop: Client, browser: Browser) -> None:
    page = bought(browser)
    assert browser.get(page).status == 200
    stranger = Browser(shop)
    assert (stranger.get(page).status, stranger.post(f"{page}/pay").status) == (404, 404)


def test_signed_events_are_applied_in_any_order_and_others_refused(shop: Client, browser: Browser) -> None:
    page = bought(browser)
    order_id = page.removeprefix("/o/")
    browser.get(page)
    assert send_event(shop, "order.paid", order_id, "paid", 2) == 204
    assert send_event(shop, "order.expired", order_id, "expired", 1) == 204
    other = "whsec_" + "b3RoZXItc2VjcmV0LW9mLXNvbWVib2R5LWVsc2U="
    assert send_event(shop, "order.returned", order_id, "returned", 3, other) == 401


async def test_notifier_brings_the_shop_what_happened(infra: Mapping[str, str], shop: Client, folder: Path) -> None:
    store = Store(str(folder / "shop.sqlite"))
    for order_id in ("o1", "o2"):
        store.add(Order(f"shoe.{order_id}", "ann", 1, 4900, "EUR"))
    async with open_notifier(infra["DATABASE_URL"]) as notifier, notifier.sending():
        await notifier.add("example", f"{shop.env['FLASHSALE_URL']}/events", secret=EVENTS_SECRET)
        messages: tuple[Message, ...] = (payment("o1", "p1", "paid", 1_500), expired("o1"), expired("o2"))
        deliveries = [Delivery(encode(message), f"{number}-0", redelivered=False) for number, message in enumerate(messages)]
        assert await notifier.handle(deliveries) == []

        async def all_sent() -> bool:
            return await notifier.states("example") == ["sent"] * 3

        await until(all_sent)
    assert [order and order.state for order in map(store.get, ("shoe.o1", "shoe.o2"))] == ["paid", "expired"]


async def test_feed_brings_what_no_webhook_has_brought(stack: Stack, shop: Client, folder: Path) -> None:
    store = Store(str(folder / "shop.sqlite"))
    store.add(Order("shoe.o3", "ann", 1, 4900, "EUR"))
    # Not `open_notifier`, which empties tables that other tests of this stack need.
    database = Database(stack.env()["DATABASE_URL"], 30, 0.1, 100, "flashsale")
    try:
        handle = ShopEvents(Repository(database, ()), lambda *_: None, with_reserved=False)
        assert await handle([Delivery(encode(expired("o3")), "1-0", redelivered=False)]) == []
    finally:
        await database.close()

    async def is_expired() -> bool:
        order = store.get("shoe.o3")
        return order is not None and order.state == "expired"

    await until(is_expired)


def test_stripe_captures_what_is_paid_and_cancels_what_came_too_late(stack: Stack, client: Client, sale: str, tmp_path: Path) -> None:
    called: list[str] = []

    def api(method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float) -> ClientAnswer:
        called.append(url.removeprefix("http://stripe/v1/payment_intents/"))
        status = "succeeded" if url.endswith("/capture") else "canceled"
        return ClientAnswer(200, {}, json.dumps({"status": status}).encode())

    stripe = {"SHOP_STRIPE_KEY": "sk_1", "SHOP_STRIPE_WEBHOOK_SECRET": "whsec_stripe", "SHOP_STRIPE_URL": "http://stripe"}
    settings = read_settings({**stack.env(), **stripe})
    store = Store(str(tmp_path / "shop.sqlite"))
    till = Till(store, Engine(settings), Stripe(settings, api))
    for buyer in ("in-time", "late"):
        order = Order(client.order(sale, f"stripe-{buyer}").body["orderId"], f"stripe-{buyer}", 1, 4900, "EUR")
        store.add(order)
        if buyer == "late":
            assert client.send("DELETE", f"/orders/{order.order_id}").status == 200
        till.authorised(order, f"pi_{buyer}")
    assert called == ["pi_in-time/capture", "pi_late/cancel"]
    assert store.undecided() == []

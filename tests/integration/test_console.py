"""The console on a whole stack: who may do what, every change through the engine, and what each page shows."""

import asyncio
import csv
import io
import uuid

import asyncpg
import pytest

from flashsale_console.access import Access, Operation
from flashsale_console.app import OPERATIONS
from flashsale_core.keys import shard_keys, shard_of
from flashsale_core.shop_events import DISABLED_BY_PEOPLE
from flashsale_local_stack import Stack, wait_until
from flashsale_redis import open_redis
from tests.integration.client import Client
from tests.integration.console import Page, Visitor, own_by_flashsale, pay_back

PLACES = {"sale_id": "walk", "order_id": "walk.AAAAAAAAAAAAAAAAAAAA", "refund_id": "1", "name": "console.css"}
ROUTES = [pytest.param(operation, id=operation.name) for operation in OPERATIONS]
OPEN = {"asset", "login", "log_in"}


@pytest.fixture(scope="module")
def shop(console_stack: Stack) -> Client:
    return Client(console_stack.env())


@pytest.fixture(scope="module")
def merchant(console_stack: Stack) -> Visitor:
    return Visitor(console_stack).log_in("merchant")


@pytest.fixture(scope="module")
def viewer(console_stack: Stack) -> Visitor:
    return Visitor(console_stack).log_in("viewer")


@pytest.fixture(scope="module")
def sale(shop: Client, merchant: Visitor) -> str:
    return new_sale(shop, merchant, 10)


def new_sale(shop: Client, merchant: Visitor, stock: int) -> str:
    sale_id = shop.new_sale(stock, price={"amountMinor": 1999, "currency": "EUR"})
    assert wait_until(lambda: merchant.get(f"/sales/{sale_id}").status == 200, 60)
    return sale_id


def change(visitor: Visitor, sale_id: str, action: str, units: str = "") -> Page:
    """Ask for a change, and confirm it."""
    asked = visitor.get(f"/sales/{sale_id}/change?action={action}&units={units}")
    return visitor.post(f"/sales/{sale_id}/change", asked.fields()) if asked.status == 200 else asked


@pytest.mark.parametrize("operation", ROUTES)
def test_nothing_succeeds_without_login(console_stack: Stack, operation: Operation) -> None:
    page = request(Visitor(console_stack), operation, Visitor(console_stack).origin)
    is_let_in = page.status < 300
    assert is_let_in == (operation.name in OPEN - {"log_in"})
    assert page.status != 303 or page.headers["location"].startswith("/login?next=")


@pytest.mark.parametrize("operation", ROUTES)
@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1"])
def test_nothing_succeeds_with_a_foreign_origin(merchant: Visitor, operation: Operation, origin: str) -> None:
    assert request(merchant, operation, origin).status == 403


@pytest.mark.parametrize(
    "operation", [operation for operation in OPERATIONS if operation.method == "POST"], ids=lambda operation: operation.name
)
def test_no_change_succeeds_without_an_origin(merchant: Visitor, operation: Operation) -> None:
    assert request(merchant, operation, "").status == 403


@pytest.mark.parametrize("operation", ROUTES)
def test_viewer_changes_nothing(viewer: Visitor, merchant: Visitor, operation: Operation) -> None:
    if operation.name in ("log_in", "log_out"):
        return
    is_for_merchants = operation.access is Access.MERCHANT
    assert (request(viewer, operation, viewer.origin).status == 403) == is_for_merchants
    assert request(merchant, operation, viewer.origin).status != 403
    assert is_for_merchants or operation.method == "GET"


def request(visitor: Visitor, operation: Operation, origin: str) -> Page:
    method, path = operation.method, operation.path.format(**PLACES)
    headers = {"origin": origin} if origin else {}
    return visitor.send(method, path, "" if method == "POST" else None, headers)


def test_every_answer_is_private_and_loads_nothing_from_elsewhere(merchant: Visitor, sale: str) -> None:
    for path in ("/", f"/sales/{sale}", "/nothing", "/login"):
        page = merchant.get(path)
        policy = page.headers["content-security-policy"]
        assert ("default-src 'none'" in policy, "unsafe" in policy, page.headers["cache-control"]) == (True, False, "no-store")
        assert "style=" not in page.text
        assert "http://" not in page.text.replace(f"http://{merchant.origin}", "")
        assert len(page.text) < 60_000


def test_page_that_does_not_exist_leads_back_without_a_word_about_a_login(console_stack: Stack, merchant: Visitor) -> None:
    shown = merchant.get("/nothing")
    assert (shown.status, "Go to what needs attention" in shown.text, "Log in" in shown.text) == (404, True, False)
    over = Visitor(console_stack).get("/live")
    assert (over.status, "Log in</a>" in over.text) == (401, True)


def test_cookie_is_out_of_reach_of_scripts_and_other_sites(console_stack: Stack) -> None:
    visitor = Visitor(console_stack)
    page = visitor.post("/login", {"name": "viewer", "password": visitor.password, "next": "//evil.example"})
    assert {part.strip().lower() for part in page.headers["set-cookie"].split(";")[1:]} == {"httponly", "path=/", "samesite=strict"}
    assert page.headers["location"] == "/"
    before = visitor.cookie
    assert visitor.post("/logout", {}).status == 303
    visitor.cookie = before
    assert visitor.get("/").status == 303


def test_failed_logins_are_limited_by_name(console_stack: Stack) -> None:
    visitor = Visitor(console_stack)
    answers = [visitor.post("/login", {"name": "mallory", "password": "guess-guess-guess"}) for _ in range(11)]
    assert [answer.status for answer in answers] == [401] * 10 + [429]
    assert 0 < int(answers[-1].headers["retry-after"]) <= 300
    assert Visitor(console_stack).log_in("viewer").get("/").status == 200


def test_change_is_asked_in_numbers_and_names_the_person(console_stack: Stack, shop: Client, merchant: Visitor) -> None:
    sale_id = new_sale(shop, merchant, 10)
    assert shop.order(sale_id, "ann", 3).status == 200
    asked = merchant.get(f"/sales/{sale_id}/change?action=pause")
    assert ("7 units stay unsold" in asked.text, "as before: 3 units now" in asked.text) == (True, True)
    done = merchant.post(f"/sales/{sale_id}/change", asked.fields())
    assert (done.status, done.headers["location"]) == (303, f"/sales/{sale_id}?done=pause")
    assert shop.get(f"/sales/{sale_id}").body["state"] == "paused"
    assert "Paused" in merchant.get(f"/sales/{sale_id}/live").text
    assert change(merchant, sale_id, "resume").status == 303
    assert change(merchant, sale_id, "add", "5").status == 303
    assert shop.get(f"/sales/{sale_id}").body["stock"] == 15
    assert wait_until(lambda: merchant.get("/changes").text.count(f">{sale_id}</a>") >= 4, 60)
    assert "console/merchant" in merchant.get(f"/sales/{sale_id}").text


def test_form_sent_twice_and_a_form_of_an_older_page(shop: Client, merchant: Visitor) -> None:
    sale_id = new_sale(shop, merchant, 10)
    first, second = [merchant.get(f"/sales/{sale_id}/change?action=add&units=5") for _ in range(2)]
    assert [merchant.post(f"/sales/{sale_id}/change", first.fields()).status for _ in range(2)] == [303, 303]
    assert shop.get(f"/sales/{sale_id}").body["stock"] == 15
    refused = merchant.post(f"/sales/{sale_id}/change", second.fields())
    assert (refused.status, "read it again" in refused.text, shop.get(f"/sales/{sale_id}").body["stock"]) == (412, True, 15)
    # The second one leaves less than is held, so it could not be planned again.
    assert shop.order(sale_id, "ann", 8).status == 200
    taken = merchant.get(f"/sales/{sale_id}/change?action=add&units=-5")
    assert [merchant.post(f"/sales/{sale_id}/change", taken.fields()).status for _ in range(2)] == [303, 303]
    assert shop.get(f"/sales/{sale_id}").body["stock"] == 10


@pytest.mark.parametrize(
    ("action", "units"), [("add", "x"), ("add", "0"), ("add", "-11"), ("stock", "-1"), ("stock", ""), ("add", "9" * 12)]
)
def test_wrong_units_are_refused_before_anything_is_asked(merchant: Visitor, sale: str, action: str, units: str) -> None:
    page = merchant.get(f"/sales/{sale}/change?action={action}&units={units}")
    assert (page.status, "Nothing was changed" in page.text) == (400, True)


def test_sale_of_a_flashsale_is_changed_there(console_stack: Stack, merchant: Visitor, shop: Client) -> None:
    sale_id = new_sale(shop, merchant, 4)
    own_by_flashsale(console_stack, sale_id)
    shown = merchant.get(f"/sales/{sale_id}").text
    assert ("The FlashSale <strong>shop/drop</strong> owns this sale" in shown, '/change"' in shown) == (True, False)
    assert merchant.get(f"/sales/{sale_id}/change?action=pause").status == 409


def test_sale_ends(shop: Client, merchant: Visitor) -> None:
    sale_id = new_sale(shop, merchant, 4)
    assert change(merchant, sale_id, "close").headers["location"].endswith("done=close")
    assert shop.order(sale_id, "ann").code == "closed"


def test_form_of_a_removed_sale_changes_no_later_sale_of_its_name(shop: Client, merchant: Visitor) -> None:
    sale_id = new_sale(shop, merchant, 4)
    path = f"/sales/{sale_id}/change"
    asked = {action: merchant.get(f"{path}?action={action}&units=7").fields() for action in ("remove", "close", "stock", "pause")}
    assert merchant.post(path, asked["remove"]).headers["location"].endswith("done=remove")
    assert shop.admin({"productId": sale_id, "stock": 9}).status == 201
    # Once the ledger has the new sale, the console can be asked to change it.
    assert wait_until(lambda: merchant.get(f"{path}?action=pause").status == 200, 60)
    refused = {action: merchant.post(path, form) for action, form in asked.items()}
    assert {action: (page.status, "another sale now" in page.text) for action, page in refused.items()} == dict.fromkeys(asked, (409, True))
    sale = shop.get(f"/sales/{sale_id}").body
    assert (sale["state"], sale["stock"], sale["generation"]) == ("open", 9, 2)


def test_orders_are_found_by_id_and_by_buyer(shop: Client, merchant: Visitor, sale: str) -> None:
    buyer = f"b-{uuid.uuid4().hex[:8]}"
    order_id = shop.order(sale, buyer).body["orderId"]
    assert wait_until(lambda: order_id in merchant.get(f"/orders?q={buyer}").text, 60)
    assert merchant.get(f"/orders?q={order_id}").headers["location"] == f"/orders/{order_id}"
    assert (buyer in (text := merchant.get(f"/orders/{order_id}").text), "reserved" in text) == (True, True)


def test_buyer_whose_id_looks_like_an_order_id_is_found(shop: Client, merchant: Visitor, sale: str) -> None:
    buyer = f"b-{uuid.uuid4().hex[:8]}.{'A' * 20}"
    order_id = shop.order(sale, buyer).body["orderId"]
    assert wait_until(lambda: order_id in merchant.get(f"/orders?q={buyer}").text, 60)
    assert f'<a href="/orders/{buyer}">' in merchant.get(f"/orders?q={buyer}").text


def test_first_page_of_a_list_keeps_the_search(shop: Client, merchant: Visitor, sale: str) -> None:
    buyer = f"b-{uuid.uuid4().hex[:8]}"
    order_id = shop.order(sale, buyer).body["orderId"]
    assert wait_until(lambda: order_id in merchant.get(f"/orders?q={buyer}").text, 60)
    # The key of a page that begins with the latest row.
    latest = "253370764800000000"
    for path, first in (
        (f"/orders?q={buyer}&after={latest}~~", f"/orders?q={buyer}"),
        (f"/sales?state=open&q={sale}&after={latest}~~0", f"/sales?state=open&amp;q={sale}"),
    ):
        assert f'<a href="{first}">First page</a>' in merchant.get(path).text
        assert "First page" not in merchant.get(first.replace("&amp;", "&")).text


@pytest.mark.parametrize("path", ["/sales?q=%00", "/orders?q=a%00", "/webhooks?endpoint=%00", "/orders/{}/leave-paid?reason=%00"])
def test_character_that_the_ledger_cannot_keep_is_no_fault_of_a_server(merchant: Visitor, path: str) -> None:
    page = merchant.get(path.format(PLACES["order_id"]))
    assert (page.status, "U+0000" in page.text) == (400, True)


def test_order_of_sales_with_one_name_is_that_of_the_newest_that_has_it(console_stack: Stack, merchant: Visitor) -> None:
    sale_id, both, older = f"again-{uuid.uuid4().hex[:8]}", "A" * 20, "B" * 20

    def of(order_id: str) -> Page:
        return merchant.get(f"/orders/{sale_id}.{order_id}")

    async def look() -> None:
        ledger = await asyncpg.connect(console_stack.env()["DATABASE_URL"])
        try:
            await ledger.executemany(
                "insert into orders (sale_id, epoch, order_id, user_id, quantity, state, deadline, updated_at)"
                " values ($1, $2, $3, $4, 1, 'expired', now(), now())",
                [(sale_id, 1, both, "ann"), (sale_id, 1, older, "bob"), (sale_id, 2, both, "cy"), (sale_id, 3, "C" * 20, "dan")],
            )
            assert ("cy" in of(both).text, "bob" in of(older).text, of("D" * 20).status) == (True, True, 404)
        finally:
            await ledger.execute("delete from orders where sale_id = $1", sale_id)
            await ledger.close()

    asyncio.run(look())


def test_paid_order_is_returned_after_one_question(shop: Client, merchant: Visitor, viewer: Visitor) -> None:
    sale_id = shop.new_sale(5)
    order_id = shop.order(sale_id, "ann", 2).body["orderId"]
    refused = merchant.post(f"/orders/{order_id}/return", {"restock": "yes"})
    assert (refused.status, "The order is reserved" in refused.text) == (409, True)
    assert shop.pay(order_id, f"pay-{uuid.uuid4().hex}").body["result"] == "paid"
    assert ("Return, and sell again" in merchant.get(f"/orders/{order_id}").text, shop.stock(sale_id)) == (True, (5, 3, 0, 2))
    assert "sell again" not in viewer.get(f"/orders/{order_id}").text
    asked = merchant.get(f"/orders/{order_id}/return?restock=yes")
    assert ("2 units are for sale again" in asked.text, shop.stock(sale_id)) == (True, (5, 3, 0, 2))
    done = merchant.post(f"/orders/{order_id}/return", asked.fields())
    assert (done.status, done.headers["location"]) == (303, f"/orders/{order_id}?done=returned")
    page = merchant.get(done.headers["location"]).text
    assert ("its refund is due" in page, "sell again" in page) == (True, False)
    named = "<td>returned</td><td>console/merchant</td>"
    assert wait_until(lambda: named in merchant.get(f"/orders/{order_id}").text, 60)
    assert wait_until(lambda: shop.stock(sale_id) == (5, 5, 0, 0), 60)
    assert wait_until(lambda: order_id in merchant.get("/refunds").text, 60)


def test_paid_order_of_a_removed_sale_is_returned_with_a_reason(shop: Client, merchant: Visitor) -> None:
    sale_id = shop.new_sale(5)
    order_id = shop.order(sale_id, "ann", 2).body["orderId"]
    assert shop.pay(order_id, f"pay-{uuid.uuid4().hex}").body["result"] == "paid"
    assert shop.end_sale(sale_id).body["state"] == "removed"
    assert wait_until(lambda: "<td>paid</td>" in merchant.get(f"/orders/{order_id}").text, 60)
    assert wait_until(lambda: "Removed" in merchant.get(f"/sales/{sale_id}").text, 60)
    shown = merchant.get(f"/orders/{order_id}").text
    assert ("Why it is returned" in shown, "sell again" in shown) == (True, False)
    assert merchant.get(f"/orders/{order_id}/return?restock=no").status == 400
    asked = merchant.get(f"/orders/{order_id}/return?restock=no&reason=too+small")
    assert ("2 units stay sold" in asked.text, "too small" in asked.text) == (True, True)
    done = merchant.post(f"/orders/{order_id}/return", asked.fields())
    assert (done.status, "its refund is due" in merchant.get(done.headers["location"]).text) == (303, True)
    assert order_id in merchant.get("/refunds").text


def test_refund_is_settled_through_the_ledger_api(shop: Client, merchant: Visitor, sale: str) -> None:
    order_id = shop.order(sale, "bob").body["orderId"]
    assert shop.pay(order_id, f"pay-{uuid.uuid4().hex}").body["result"] == "refund_due"
    assert wait_until(lambda: order_id in merchant.get("/refunds").text, 60)
    assert "refund" in merchant.get("/live").text
    refund = merchant.get("/refunds").text.split("/refunds/")[1].split('"')[0]
    asked = merchant.get(f"/refunds/{refund}/change?state=sent&reference=re_1")
    assert "The console moves no money" in asked.text
    assert merchant.post(f"/refunds/{refund}/change", asked.fields()).status == 303
    assert "console/merchant" in merchant.get(f"/refunds/{refund}").text
    # Somebody else who saw it as due is refused, in the ledger-api's words.
    refused = merchant.post(f"/refunds/{refund}/change", {**asked.fields(), "state": "failed", "reason": "no", "reference": ""})
    assert (refused.status, "The refund is sent" in refused.text) == (409, True)


def test_paid_order_that_the_provider_paid_back_is_shown_until_it_is_left(shop: Client, merchant: Visitor, viewer: Visitor) -> None:
    order_id, payment = shop.order(shop.new_sale(1), "eve").body["orderId"], f"pay-{uuid.uuid4().hex}"
    assert shop.pay(order_id, payment).body["result"] == "paid"
    pay_back(shop, order_id, payment, 400)
    assert wait_until(lambda: order_id in merchant.get("/refunds?state=reported").text, 60)
    assert wait_until(lambda: "1 paid order reported as paid back" in merchant.get("/live").text, 10)
    assert ["Leave it as paid" in visitor.get(f"/orders/{order_id}").text for visitor in (merchant, viewer)] == [True, False]
    assert merchant.get(f"/orders/{order_id}/leave-paid").status == 400
    asked = merchant.get(f"/orders/{order_id}/leave-paid?reason=a+courtesy")
    assert "4.00 EUR as paid back, because: a courtesy" in asked.text
    assert order_id in merchant.get("/refunds?state=reported").text
    # Whoever confirms that has not seen the rest, which would never be listed again.
    pay_back(shop, order_id, payment, 599)
    assert wait_until(lambda: "9.99 EUR</td><td>" in merchant.get("/refunds?state=reported").text, 60)
    refused = merchant.post(f"/orders/{order_id}/leave-paid", asked.fields())
    assert (refused.status, "another sum since" in refused.text) == (409, True)
    assert order_id in merchant.get("/refunds?state=reported").text
    asked = merchant.get(f"/orders/{order_id}/leave-paid?reason=a+courtesy")
    done = merchant.post(f"/orders/{order_id}/leave-paid", asked.fields())
    assert (done.status, "The order stays paid" in merchant.get(done.headers["location"]).text) == (303, True)
    assert order_id not in merchant.get("/refunds?state=reported").text
    assert "reported as paid back" not in merchant.get(f"/orders/{order_id}").text.lower()
    assert merchant.get(f"/orders/{order_id}/leave-paid?reason=again").status == 409


def test_merchant_downloads_all_orders_of_a_sale_and_the_refunds_of_a_state(shop: Client, merchant: Visitor) -> None:
    sale_id = new_sale(shop, merchant, 4)
    # A buyer's id may begin as a formula of a spreadsheet.
    orders = {str(shop.order(sale_id, buyer).body["orderId"]): buyer for buyer in ("ann", "=1+1")}
    paid, payment = next(iter(orders)), f"pay-{uuid.uuid4().hex}"
    for name in (payment, f"second-{payment}"):
        assert shop.pay(paid, name, amount_minor=1999).status == 200
    path = f"/sales/{sale_id}/orders.csv"
    assert wait_until(lambda: (text := merchant.get(path).text).count("\n") == 3 and ",paid," in text, 60)
    assert wait_until(lambda: paid in merchant.get("/refunds.csv?state=due").text, 60)
    page = merchant.get(path)
    assert (page.headers["content-type"], page.headers["cache-control"]) == ("text/csv; charset=utf-8", "no-store")
    assert page.headers["content-disposition"] == f'attachment; filename="orders-{sale_id}.csv"'
    rows = list(csv.DictReader(io.StringIO(page.text)))
    assert {row["order"]: row["buyer"].removeprefix("'") for row in rows} == orders
    bought = {(row["state"], row["payment"], row["amount_paid"], row["currency"]) for row in rows}
    assert bought == {("paid", payment, "19.99", "EUR"), ("reserved", "", "", "")}
    assert "<dt>Paid</dt><dd>19.99 EUR</dd>" in merchant.get(f"/orders/{paid}").text
    (refund,) = [row for row in csv.DictReader(io.StringIO(merchant.get("/refunds.csv?state=due").text)) if row["order"] == paid]
    assert (refund["amount"], refund["currency"], refund["reason"]) == ("19.99", "EUR", "duplicate")
    head = merchant.send("HEAD", path, None, {})
    assert (head.status, head.text, head.headers["content-disposition"]) == (200, "", page.headers["content-disposition"])


def test_pages_show_other_peoples_texts_as_texts(shop: Client, merchant: Visitor, sale: str) -> None:
    page = merchant.get("/orders?q=%3Cscript%3Ealert(1)%3C/script%3E")
    assert ("<script>alert" in page.text, "&lt;script&gt;alert" in page.text) == (False, True)
    assert merchant.get("/sales?state=gone").status == merchant.get("/sales?after=x").status == merchant.get("/sales?x=1").status == 400


def test_webhook_that_a_person_disabled_needs_nobody(console_stack: Stack, merchant: Visitor) -> None:
    async def write(statement: str, *values: str) -> None:
        ledger = await asyncpg.connect(console_stack.env()["DATABASE_URL"])
        try:
            await ledger.execute(statement, *values)
        finally:
            await ledger.close()

    endpoint = """insert into webhook_endpoints (endpoint, url, types, source, state, reason)
                  values ($1, 'https://a.example', '{}', 'command', 'disabled', $2)"""
    try:
        asyncio.run(write(endpoint, "by-410", "it answered 410 Gone"))
        assert wait_until(lambda: "1 webhook disabled" in merchant.get("/live").text, 10)
        for number, reason in enumerate(sorted(DISABLED_BY_PEOPLE)):
            asyncio.run(write(endpoint, f"by-people-{number}", reason))
        asyncio.run(write("delete from webhook_endpoints where endpoint = $1", "by-410"))
        assert wait_until(lambda: "disabled" not in merchant.get("/live").text, 10)
    finally:
        asyncio.run(write("delete from webhook_endpoints where endpoint like 'by-%'"))


def test_attention_names_a_store_that_is_away_and_never_says_all_quiet(console_stack: Stack, merchant: Visitor, sale: str) -> None:
    console_stack.stop("redis")
    try:
        assert wait_until(lambda: "Redis cannot be read" in merchant.get("/live").text, 60)
        assert "All quiet" not in merchant.get("/live").text
        assert "Numbers of this moment are missing" in merchant.get("/sales").text
        for page in ("/sales", f"/sales/{sale}"):
            assert ("Redis is away" in merchant.get(page).text, "On sale" in merchant.get(page).text) == (True, False)
    finally:
        console_stack.start("redis")
    assert wait_until(lambda: "Redis cannot be read" not in merchant.get("/live").text, 60)
    assert wait_until(lambda: "On sale" in merchant.get(f"/sales/{sale}/live").text, 60)


def test_sale_behind_a_closed_fence_is_recovering(console_stack: Stack, merchant: Visitor, sale: str) -> None:
    console_stack.stop("keeper")
    try:
        set_fence(console_stack, sale, "draining")
        for page in ("/sales", f"/sales/{sale}", f"/sales/{sale}/live"):
            assert (">Recovering<" in (text := merchant.get(page).text), "Redis is being recovered. Those" in text) == (True, True)
        assert merchant.get(f"/sales/{sale}/change?action=pause").status == 503
    finally:
        set_fence(console_stack, sale, "open")
        console_stack.start("keeper")
    assert "On sale" in merchant.get(f"/sales/{sale}/live").text


def set_fence(stack: Stack, sale_id: str, state: str) -> None:
    async def write() -> None:
        redis = open_redis(stack.env()["REDIS_URL"], 5, 1)
        await redis.hset(shard_keys(shard_of(sale_id)).fence, "state", state)
        await redis.aclose()

    asyncio.run(write())


def test_metrics_and_health(console_stack: Stack) -> None:
    address = next(component.address for component in console_stack.status() if component.name == "console")
    probes = Client({**console_stack.env(), "FLASHSALE_URL": f"http://{address}"})
    assert probes.get("/readyz").status == 200
    assert b"flashsale_console_requests_total" in probes.get("/metrics").raw

"""The runner against a small test server, on the event loop of the commands."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from aiohttp import web

from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.plan import Click, Crowd, plan
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.single_request import Reply, SingleRequestClient, read_reply
from flashsale_cli.load.tally import Accepted, Tally

CLICKS = plan(Crowd(product_id="tele", buyers=40, prefix="run"))
Handler = Callable[[web.Request], Awaitable[web.Response]]


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": True}


class Shop:
    """Sells 10 units and records the most simultaneous requests."""

    def __init__(self) -> None:
        self.sold = self.now = self.most = 0

    async def order(self, request: web.Request) -> web.Response:
        self.now += 1
        self.most = max(self.most, self.now)
        await request.read()
        await asyncio.sleep(0.005)
        self.now -= 1
        if self.sold == 10:
            return web.json_response({"code": "out_of_stock"}, status=409)
        self.sold += 1
        return web.json_response({"orderId": f"tele.{self.sold}"})


async def serve_and_run(handler: Handler, target: Target, orders: list[Accepted], clicks: Sequence[Click] = CLICKS) -> Tally:
    app = web.Application()
    app.router.add_post("/order", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        changed = Target(f"http://127.0.0.1:{port}", target.connections, target.at_once, target.timeout_seconds, target.stop_after_seconds)
        return await run(clicks, changed, Tally(len(clicks)), orders.append)
    finally:
        await runner.cleanup()


async def test_every_click_is_sent_once_and_every_order_reported_once() -> None:
    shop, orders = Shop(), list[Accepted]()
    tally = await serve_and_run(shop.order, Target("", connections=5), orders)
    assert (tally.count(Group.ACCEPTED), tally.count(Group.SOLD_OUT), tally.done()) == (10, 30, 40)
    assert sorted(order.order_id for order in orders) == sorted(f"tele.{number}" for number in range(1, 11))
    assert shop.most <= 5
    assert len(tally.seconds) == 40


async def test_at_once_sends_all_clicks_together() -> None:
    """The server answers only once all clicks have arrived, so clicks that wait for answers would time out, on any machine."""
    all_arrived = asyncio.Barrier(len(CLICKS))

    async def order(request: web.Request) -> web.Response:
        await request.read()
        await all_arrived.wait()
        return web.json_response({"orderId": "tele.1"})

    tally = await serve_and_run(order, Target("", connections=1, at_once=True, timeout_seconds=20), [])
    assert tally.count(Group.ACCEPTED) == len(CLICKS)


async def test_slow_answers_are_timeouts_and_late_clicks_are_not_sent() -> None:
    async def never(_: web.Request) -> web.Response:
        await asyncio.sleep(2)
        return web.Response()

    tally = await serve_and_run(never, Target("", connections=20, timeout_seconds=0.6, stop_after_seconds=0.5), [])
    assert {outcome.code: count for outcome, count in tally.outcomes.items()} == {"timeout": 20, "not_sent": 20}


async def test_missing_server_is_a_connection_error() -> None:
    tally = await run(CLICKS[:3], Target("http://127.0.0.1:1"), Tally(3))
    assert {(outcome.group, outcome.code): count for outcome, count in tally.outcomes.items()} == {(Group.ERROR, "connection"): 3}


@pytest.mark.parametrize("at_once", [False, True])
async def test_proof_is_sent_as_authorization(at_once: bool) -> None:
    seen = list[str | None]()

    async def order(request: web.Request) -> web.Response:
        seen.append(request.headers.get("Authorization"))
        return web.json_response({"code": "unauthenticated"}, status=401)

    clicks = [*plan(Crowd(product_id="tele", buyers=1, prefix="run", proof=lambda user: f"Bearer {user}")), CLICKS[0]]
    tally = await serve_and_run(order, Target("", connections=1, at_once=at_once), [], clicks)
    assert set(seen) == {"Bearer run-0", None}
    assert tally.count(Group.REFUSED) == tally.unproven == 2


def test_host_header_of_an_ipv6_address_has_brackets() -> None:
    request = SingleRequestClient("http://[::1]:8000/order", 1)._request(CLICKS[0])
    assert request.startswith(b"POST /order HTTP/1.1\r\nHost: [::1]:8000\r\n")


def test_complete_answer_is_read() -> None:
    received = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nidempotent-replayed: true\r\n\r\n{}"
    assert read_reply(received) == Reply(200, True, b"{}")


@pytest.mark.parametrize(
    "received",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n{}",
        b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"nonsense\r\n\r\n",
    ],
)
def test_incomplete_answer_is_an_error(received: bytes) -> None:
    with pytest.raises(ConnectionError):
        read_reply(received)


async def test_at_once_without_a_server_is_a_connection_error() -> None:
    tally = await run(CLICKS[:3], Target("http://127.0.0.1:1", at_once=True), Tally(3))
    assert {outcome.code: count for outcome, count in tally.outcomes.items()} == {"connection": 3}

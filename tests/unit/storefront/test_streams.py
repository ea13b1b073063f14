"""A change that goes to more streams than are written to in one turn of the event loop."""

import asyncio
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack
from typing import Any

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_storefront.live_sales import WatchedSale
from flashsale_storefront.streams import BATCH_SIZE, Streams

CROWD = 3 * BATCH_SIZE + 1
KEEPALIVE_SECONDS = 0.01


class Client:
    """Reads everything at once."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.received.append(message["body"])

    def abort(self) -> None:
        raise AssertionError("a client that reads was dropped")


class Shop:
    """A sale with a crowd; `stock` is the content of its next event."""

    def __init__(self, held: ExitStack) -> None:
        self.stock = 9
        self.sale = WatchedSale("shoe")
        self.streams = Streams(2 * CROWD, 2 * CROWD, KEEPALIVE_SECONDS)
        self.streams.body = lambda sale: b"%d" % self.stock
        self.clients = [Client() for _ in range(CROWD)]
        self.places = [held.enter_context(self.streams.place(self.sale, "10.0.0.1", client.send, client.abort)) for client in self.clients]

    def publish(self, stock: int) -> None:
        self.stock = stock
        self.streams.publish(self.sale)

    def received(self) -> set[tuple[bytes, ...]]:
        return {tuple(client.received) for client in self.clients}


@pytest.fixture
def held() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_one_turn_writes_to_a_batch_and_a_few_to_all(held: ExitStack) -> None:
    shop = Shop(held)
    shop.publish(8)
    assert sum(map(bool, (client.received for client in shop.clients))) == BATCH_SIZE
    await turns()
    assert shop.received() == {(b"data: 8\n\n",)}


async def test_newer_event_replaces_the_older_one_and_reaches_late_streams_first(held: ExitStack) -> None:
    shop = Shop(held)
    shop.publish(8)
    reached = [client for client in shop.clients if client.received]
    shop.publish(7)
    assert [client.received for client in reached] == [[b"data: 8\n\n"]] * BATCH_SIZE
    await turns()
    assert shop.received() == {(b"data: 8\n\n", b"data: 7\n\n"), (b"data: 7\n\n",)}


async def test_every_stream_hears_some_event_although_each_turn_has_a_newer_one(held: ExitStack) -> None:
    shop = Shop(held)
    for stock in range(CROWD // BATCH_SIZE + 1):
        shop.publish(stock)
    assert () not in shop.received()


async def test_nothing_follows_the_end_of_a_sale(held: ExitStack) -> None:
    shop = Shop(held)
    shop.publish(8)
    shop.streams.end(shop.sale)
    await turns()
    assert shop.received() == {(b"data: 8\n\n", b""), (b"",)}


async def test_nothing_follows_the_end_of_the_process(held: ExitStack) -> None:
    shop = Shop(held)
    shop.publish(8)
    shop.streams.end_all()
    await turns()
    assert shop.received() == {(b"data: 8\n\n", b""), (b"",)}


async def test_time_goes_to_every_stream(held: ExitStack) -> None:
    shop = Shop(held)
    telling = asyncio.create_task(shop.streams.keep_alive(lambda: 0))
    await asyncio.sleep(3 * KEEPALIVE_SECONDS)
    await turns()
    await cancel_and_wait(telling)
    assert {events[0] for events in shop.received()} == {b'event: time\ndata: {"serverTime":"1970-01-01T00:00:00.000Z"}\n\n'}


async def test_stream_that_left_meanwhile_gets_nothing(held: ExitStack) -> None:
    shop = Shop(held)
    shop.publish(8)
    late = next(client for client in shop.clients if not client.received)
    shop.sale.streams.discard(shop.places[shop.clients.index(late)])
    await turns()
    assert late.received == []

"""Crowds of readers cost Redis a limited number of calls, and orders among them are answered."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from select import select
from typing import Any
from urllib.parse import urlsplit

import pytest

from flashsale_gateway.http.read_limits import WAITING_PER_READ
from flashsale_gateway.http.scrapes import PAUSE_SECONDS
from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.stores import on_all_masters, redis_client
from tests.integration.wire import gateway, order, wait_for, whole, wire_to

SALES = 300
CROWD = 60
EACH = 5
ORDERS = 20


@pytest.fixture(scope="module")
def sales(client: Client) -> list[str]:
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: client.new_sale(1000), range(SALES)))


def calls(stack: Stack, command: str) -> int:
    """How often all masters have run `command`."""
    with redis_client(stack.env()["REDIS_URL"]) as redis:
        answer = redis.info("commandstats", **on_all_masters(redis))
    all_stats = answer.values() if on_all_masters(redis) else [answer]
    return sum(stats.get(f"cmdstat_{command}", {}).get("calls", 0) for stats in all_stats)


async def crowd(client: Client, path: str, orders: list[bytes]) -> tuple[Counter[int], list[int]]:
    """CROWD connections read `path` EACH times. Returns the statuses of their answers, and of the orders sent at the same time."""
    address = urlsplit(client.env["FLASHSALE_URL"])

    async def ask(requests: list[bytes]) -> list[int]:
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        statuses = []
        for request in requests:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
            await reader.readexactly(int(fields[b"content-length"]))
            statuses.append(int(head.split()[1]))
        writer.close()
        return statuses

    read = b"GET " + path.encode() + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
    *read_statuses, ordered = await asyncio.gather(*[ask([read] * EACH) for _ in range(CROWD)], ask(orders))
    return Counter(status for statuses in read_statuses for status in statuses), ordered


async def test_crowd_listing_sales_costs_one_read_per_sale_and_no_order(stack: Stack, sales: list[str]) -> None:
    with no_keeper(stack), gateway(stack, FLASHSALE_SALES_REFRESH_MS="60000") as (_, client):
        listed = len(client.get("/sales?limit=1000").body["sales"])
        before = {command: calls(stack, command) for command in ("hgetall", "smembers")}
        statuses, ordered = await crowd(client, "/sales?limit=1000", [whole(order(sales[0], userId=f"u{n}")) for n in range(ORDERS)])
        spent = {command: calls(stack, command) - count for command, count in before.items()}
    assert (statuses, ordered, listed >= SALES) == ({200: CROWD * EACH}, [200] * ORDERS, True)
    assert (spent["hgetall"] <= listed, spent["smembers"] <= 16) == (True, True), spent


@contextmanager
def no_keeper(stack: Stack) -> Iterator[None]:
    """Its audit reads the same hashes and sets, at times of its own."""
    stack.stop("keeper")
    try:
        yield
    finally:
        stack.start("keeper")


def test_list_of_sales_follows_their_stock(client: Client, sales: list[str]) -> None:
    sale = client.new_sale(7)
    wait_for(lambda: sale in {shown["productId"] for shown in pages(client)})
    assert client.order(sale, "ann", 2).status == 200
    wait_for(lambda: next(shown for shown in pages(client) if shown["productId"] == sale)["available"] == 5)


def pages(client: Client) -> Iterator[dict[str, Any]]:
    after = ""
    while page := client.get(f"/sales?limit=1000&after={after}").body["sales"]:
        yield from page
        after = page[-1]["productId"]


@pytest.mark.parametrize("path", ["/readyz", "/metrics"])
async def test_crowd_of_probes_shares_answers(stack: Stack, client: Client, sales: list[str], path: str) -> None:
    before, started = calls(stack, "config|get"), time.monotonic()
    statuses, ordered = await crowd(client, path, [whole(order(sales[1], userId=f"{path[1:]}{n}")) for n in range(ORDERS)])
    checks = (time.monotonic() - started) / PAUSE_SECONDS
    spent = (calls(stack, "config|get") - before) / len([status for status in stack.status() if status.name.startswith("redis")])
    assert (statuses, ordered) == ({200: CROWD * EACH}, [200] * ORDERS)
    # Not INFO, which every script runs. Plus a few calls by this test and by other clients of the stack.
    assert spent <= checks + 10


def test_reads_past_the_limit_get_503_at_once_and_others_are_answered(stack: Stack, client: Client, sales: list[str]) -> None:
    asked, answered = 1 + WAITING_PER_READ + 11, 1 + WAITING_PER_READ
    read = b"GET /sales/" + sales[0].encode() + b" HTTP/1.1\r\nHost: shop\r\n\r\n"
    with gateway(stack, FLASHSALE_READS_MAX="1", FLASHSALE_REDIS_TIMEOUT_SECONDS="60") as (_, small), ExitStack() as connections:
        wires = [connections.enter_context(wire_to(small)) for _ in range(asked)]
        with stopped_redis(stack):
            for wire in wires:
                wire.send(read)
            refused = set[Any]()
            while len(refused) < asked - answered:
                readable, _, _ = select([wire.connection for wire in wires if wire not in refused], [], [], 30)
                assert readable
                refused |= {wire for wire in wires if wire.connection in readable}
            refusals = [wire.answer() for wire in refused]
            assert small.get("/healthz").status == 200
        assert {(answer.status, json.loads(answer.body)["code"], answer.headers["retry-after"]) for answer in refusals} == {
            (503, "overloaded", "1")
        }
        assert [wire.answer().status for wire in wires if wire not in refused] == [200] * answered


@contextmanager
def stopped_redis(stack: Stack) -> Iterator[None]:
    pids = [status.pid for status in stack.status() if status.name.startswith("redis") and status.pid]
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_long_query_string_is_refused(client: Client) -> None:
    answer = client.get("/sales?" + "a&" * 5000)
    assert (answer.status, answer.code) == (400, "bad_request")

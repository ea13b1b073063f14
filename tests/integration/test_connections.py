"""Connections of clients: how many there may be, when they are closed, and what one of them can do to the others."""

import json
import os
import signal
import socket
import time
import uuid
from select import select

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.wire import Answer, gateway, order, wait_for, whole, wire_to


@pytest.fixture(scope="module")
def sale(client: Client) -> str:
    return client.new_sale(1000)


def test_garbage_is_refused_and_other_connections_go_on(client: Client, sale: str) -> None:
    with wire_to(client) as good, wire_to(client) as bad:
        bad.send(b"\x16\x03\x01 hello\r\n\r\n")
        assert bad.answer().status == 400
        assert bad.closed()
        good.send(whole(order(sale)))
        assert good.answer().status == 200


def test_client_that_leaves_before_its_answer_disturbs_nobody(client: Client, sale: str) -> None:
    request = uuid.uuid4().hex
    for _ in range(20):
        with wire_to(client) as gone:
            gone.send(whole(order(sale, requestId=request)))
            gone.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    with wire_to(client) as wire:
        wire.send(whole(order(sale, requestId=request)))
        assert wire.answer().status == 200


def test_idle_connection_is_closed_and_a_busy_one_is_not(stack: Stack, sale: str) -> None:
    """The keep-alive counts from the last answer, and is a setting."""
    with gateway(stack, FLASHSALE_KEEP_ALIVE_SECONDS="1.5") as (_, client), wire_to(client) as busy, wire_to(client) as idle:
        repeated = whole(order(sale))
        idle.send(repeated)
        assert idle.answer().status == 200
        give_up_at = time.monotonic() + 30
        while not select([idle.connection], [], [], 0)[0]:
            busy.send(repeated)
            assert busy.answer().status == 200
            assert time.monotonic() < give_up_at
        assert idle.closed()
        busy.send(repeated)
        assert busy.answer().status == 200


def refuses_connections(client: Client) -> bool:
    try:
        with wire_to(client):
            return False
    except ConnectionRefusedError:
        return True


def test_order_under_way_is_answered_before_the_gateway_stops(stack: Stack, client: Client, sale: str) -> None:
    """Redis is paused, the gateway receives SIGTERM, Redis goes on: the answer arrives with `connection: close`, and the gateway ends."""
    redis = [status.pid for status in stack.status() if status.name.startswith("redis") and status.pid]
    assert redis
    with gateway(stack) as (process, second), wire_to(second) as wire:
        wire.send(whole(order(sale)))
        assert wire.answer().status == 200
        for pid in redis:
            os.kill(pid, signal.SIGSTOP)
        try:
            wire.send(whole(order(sale)))
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            wait_for(lambda: refuses_connections(second))
        finally:
            for pid in redis:
                os.kill(pid, signal.SIGCONT)
        answer = wire.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert wire.closed()
        # uvicorn has closed everything and then dies of the signal it was sent.
        assert process.wait(30) == -signal.SIGTERM


def test_connection_past_the_limit_gets_503_until_another_one_ends(stack: Stack, sale: str) -> None:
    with gateway(stack, FLASHSALE_CONNECTIONS_MAX="2") as (_, small):

        def asked() -> Answer:
            with wire_to(small) as wire:
                wire.send(whole(order(sale)))
                return wire.answer()

        with wire_to(small) as first:
            with wire_to(small) as second:
                for wire in (first, second):
                    wire.send(whole(order(sale)))
                    assert wire.answer().status == 200
                refusal = asked()
                assert (refusal.status, json.loads(refusal.body)["code"], refusal.headers["connection"]) == (503, "overloaded", "close")
                first.send(whole(order(sale)))
                assert first.answer().status == 200
            wait_for(lambda: asked().status == 200)

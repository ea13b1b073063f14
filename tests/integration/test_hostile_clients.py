"""Hostile clients lose their own connection, and harm no other client."""

import json
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from flashsale_local_stack import Stack
from tests.integration.client import Client
from tests.integration.stores import on_all_masters, redis_client
from tests.integration.wire import Wire, chunked, gateway, head, order, wait_for, whole, wire_to

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: shop\r\n\r\n"
GARBAGE = b"\0\r\n\r\n"
RESET = b"\1\0\0\0\0\0\0\0"
PAUSE_MS = 400
FLOOD_BYTES = 6_000_000
GROWTH_BYTES_MAX = 48_000_000
WRITE_TIMEOUT_SECONDS = "1"

Process = "subprocess.Popen[bytes]"


@pytest.fixture(scope="module")
def running(stack: Stack) -> Iterator[tuple["subprocess.Popen[bytes]", Client]]:
    """A gateway for this file only, so that its memory can be measured."""
    with gateway(stack, FLASHSALE_WRITE_TIMEOUT_SECONDS=WRITE_TIMEOUT_SECONDS) as running:
        yield running


@pytest.fixture
def client(running: tuple["subprocess.Popen[bytes]", Client]) -> Iterator[Client]:
    """A client of this gateway. After each test the gateway must still answer orders, and no request may wait."""
    _, client = running
    yield client
    with wire_to(client) as honest:
        honest.send(*[whole(order(client.new_sale(1))) for _ in range(2)])
        assert [honest.answer().status for _ in range(2)] == [200, 200]
    wait_for(lambda: metric(client, "flashsale_waiting_requests") == 0)


@pytest.fixture
def sale(client: Client) -> str:
    return client.new_sale(1000)


@contextmanager
def redis_paused(client: Client) -> Iterator[None]:
    """Orders sent inside the block stay in progress until the pause ends."""
    with redis_client(client.env["REDIS_URL"]) as redis:
        redis.execute_command("CLIENT", "PAUSE", PAUSE_MS, "ALL", **on_all_masters(redis))
        yield


def metric(client: Client, sample: str) -> float:
    lines = client.get("/metrics").raw.decode().splitlines()
    return next((float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{sample} ")), 0.0)


def ended(client: Client, reason: str) -> float:
    return metric(client, f'flashsale_connections_ended_total{{reason="{reason}"}}')


def resident_bytes(process: "subprocess.Popen[bytes]") -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def exists(client: Client, body: bytes) -> bool:
    """Whether the order of this body existed before: then the answer is a replay."""
    with wire_to(client) as wire:
        wire.send(whole(body))
        return "idempotent-replayed" in wire.answer().headers


def test_garbage_behind_a_pipeline_harms_no_answer_and_no_batch(client: Client, sale: str) -> None:
    with ExitStack() as connections:
        hostile = [connections.enter_context(wire_to(client)) for _ in range(4)]
        honest = [connections.enter_context(wire_to(client)) for _ in range(4)]
        with redis_paused(client):
            for bad, good in zip(hostile, honest, strict=True):
                bad.send(whole(order(sale)) + HEALTH + GARBAGE)
                good.send(whole(order(sale)))
        assert [wire.answer().status for wire in honest] == [200] * 4
        for wire in hostile:
            answers = [wire.answer() for _ in range(3)]
            assert [answer.status for answer in answers] == [200, 200, 400]
            assert json.loads(answers[0].body)["productId"] == sale
            assert (answers[2].headers["content-type"], answers[2].headers["connection"]) == ("application/problem+json", "close")
            assert wire.closed()


def test_clients_that_reset_behind_a_pipeline_leave_the_batch_alone(client: Client, sale: str) -> None:
    for _ in range(3):
        with wire_to(client) as honest:
            with redis_paused(client):
                for _ in range(4):
                    with wire_to(client) as hostile:
                        hostile.send(whole(order(sale)) + HEALTH)
                        hostile.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                honest.send(whole(order(sale)))
            assert honest.answer().status == 200


@pytest.mark.parametrize("broken", [b"5\r\nabcde\r\nnonsense\r\n", b"5\r\nabcdeXX"], ids=["size", "end"])
def test_broken_body_gets_400_behind_earlier_answers(client: Client, sale: str, broken: bytes) -> None:
    chunks = head(None, b"Transfer-Encoding: chunked")
    with wire_to(client) as alone, wire_to(client) as behind:
        alone.send(chunks, broken)
        with redis_paused(client):
            behind.send(whole(order(sale)) + chunks, broken)
        assert ([alone.answer().status], [behind.answer().status for _ in range(2)]) == ([400], [200, 400])
        assert (alone.closed(), behind.closed()) == (True, True)


def test_request_behind_one_that_closes_is_not_accepted(client: Client, sale: str) -> None:
    accepted, refused = order(sale), order(sale, quantity=0)
    behind = [order(sale), order(sale)]
    for first, body, status in ((accepted, behind[0], 200), (refused, behind[1], 400)):
        with wire_to(client) as wire:
            wire.send(whole(first, b"Connection: close") + whole(body))
            assert (wire.answer().status, wire.closed()) == (status, True)
    assert [exists(client, body) for body in behind] == [False, False]


@pytest.mark.parametrize("trailer", [b"Idempotency-Key: k", b"Content-Type: application/json"])
def test_trailers_in_the_same_segment_do_not_count_as_headers(client: Client, sale: str, trailer: bytes) -> None:
    media_type = b"text/plain" if trailer.startswith(b"Content-Type") else b"application/json"
    body = order(sale, requestId=None)
    with wire_to(client) as wire:
        message = head(None, b"Transfer-Encoding: chunked", media_type=media_type) + chunked(body)
        wire.send(message.removesuffix(b"\r\n") + trailer + b"\r\n\r\n")
        answer = wire.answer()
    assert (answer.status, json.loads(answer.body)["field"]) in {(400, "requestId"), (415, "Content-Type")}


def test_flood_of_pipelined_requests_is_answered_up_to_the_limit(
    running: tuple["subprocess.Popen[bytes]", Client], client: Client, sale: str
) -> None:
    process, _ = running
    memory_before, ended_before = resident_bytes(process), ended(client, "pipeline_too_long")
    with wire_to(client) as flood, wire_to(client) as honest:
        pushed = pour(flood, HEALTH * (FLOOD_BYTES // len(HEALTH)))
        honest.send(whole(order(sale)))
        assert honest.answer().status == 200
        statuses = read_until_closed(flood).count(b"HTTP/1.1 200 ")
    assert 1 <= statuses * len(HEALTH) <= pushed
    assert ended(client, "pipeline_too_long") == ended_before + 1
    assert resident_bytes(process) - memory_before < GROWTH_BYTES_MAX


def test_pipeline_within_the_limit_is_answered_completely(client: Client) -> None:
    with wire_to(client) as wire:
        wire.send(HEALTH * 100)
        assert [wire.answer().status for _ in range(100)] == [200] * 100
        wire.send(HEALTH * 100)
        assert [wire.answer().status for _ in range(100)] == [200] * 100


def test_client_that_reads_no_answers_is_ended(client: Client) -> None:
    ended_before = ended(client, "unread_answers")
    with small_window(client) as unread:
        for _ in range(300):
            try:
                unread.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\n\r\n" * 10)
            except OSError:
                break
        wait_for(lambda: ended(client, "unread_answers") > ended_before, 20)


def test_slow_reader_gets_its_whole_answer(client: Client) -> None:
    with small_window(client) as slow:
        slow.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n")
        received = b""
        while piece := slow.recv(2048):
            received += piece
            time.sleep(0.02)
    length, _, rest = received.partition(b"content-length: ")[2].partition(b"\r\n")
    assert len(rest.partition(b"\r\n\r\n")[2]) == int(length)


@pytest.mark.parametrize("path", [b"/healthz", b"/order"])
def test_endless_body_ends_with_its_connection(client: Client, path: bytes) -> None:
    ended_before = ended(client, "body_too_large")
    with wire_to(client) as wire:
        wire.send(b"POST " + path + b" HTTP/1.1\r\nHost: shop\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
        pour(wire, b"400\r\n%b\r\n" % (b" " * 1024) * 5_000)
        assert read_until_closed(wire).startswith(b"HTTP/1.1 4")
    assert ended(client, "body_too_large") == ended_before + 1


def test_endless_trailers_end_with_their_connection(client: Client) -> None:
    ended_before = ended(client, "body_too_large")
    with wire_to(client) as wire:
        wire.send(head(None, b"Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\nX-Endless: ")
        pour(wire, b"x" * FLOOD_BYTES)
        read_until_closed(wire)
    assert ended(client, "body_too_large") == ended_before + 1


def pour(wire: Wire, data: bytes) -> int:
    """Send until the other side closes; return the number of bytes sent."""
    wire.connection.settimeout(5)
    sent = 0
    try:
        while sent < len(data):
            sent += wire.connection.send(data[sent : sent + 65_536])
    except OSError:
        pass
    return sent


def read_until_closed(wire: Wire) -> bytes:
    wire.connection.settimeout(30)
    received = b""
    try:
        while piece := wire.connection.recv(65_536):
            received += piece
    except ConnectionError:
        pass
    return received


@contextmanager
def small_window(client: Client) -> Iterator[socket.socket]:
    """A connection with a small receive buffer."""
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", int(client.env["FLASHSALE_URL"].rpartition(":")[2])))
        yield connection

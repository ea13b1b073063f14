"""The Python client, by the scenarios that every client follows."""

import json
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest

from flashsale_client import Answer, Bought, Patience, Refused, Wish, buy, new_request_id, send

CLIENTS = Path(__file__).parents[3] / "clients"
SCENARIOS: list[dict[str, Any]] = json.loads((CLIENTS / "scenarios.json").read_text())["scenarios"]
WISH = Wish("http://engine", "shoe", request_id="click-1", token="fsb1.ann.1.x")


class Engine:
    """Gives these answers, and lets time pass in between."""

    def __init__(self, answers: list[Any]) -> None:
        self.requests: list[tuple[str, str, str | None, Any, float]] = []
        self.waits: list[float] = []
        self._answers = iter(answers)
        self._clock = 100.0

    def patience(self, random: float = 0.0) -> Patience:
        return Patience(send=self._send, now=lambda: self._clock, sleep=self._sleep, random=lambda: random)

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: bytes | None, seconds: float) -> Answer:
        self.requests.append((method, url, headers.get("authorization"), json.loads(body or b""), seconds))
        answer = next(self._answers)
        if answer is None:
            raise OSError("connection reset")
        status, fields, document = answer
        return Answer(status, fields, document.encode() if isinstance(document, str) else json.dumps(document).encode())

    def _sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self._clock += seconds


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_scenario(scenario: dict[str, Any]) -> None:
    engine = Engine(scenario["answers"])
    outcome = buy(WISH, engine.patience())
    assert (engine.waits, outcome.attempts) == (scenario["waits"], len(scenario["answers"]))
    if isinstance(outcome, Bought):
        assert (outcome.order["orderId"], outcome.replayed) == (scenario["result"], scenario.get("replayed", False))
    else:
        assert (outcome.problem["code"], outcome.repeatable) == (scenario["result"], scenario["repeatable"])
    same = ("POST", "http://engine/order", "Bearer fsb1.ann.1.x", {"productId": "shoe", "quantity": 1, "requestId": "click-1"})
    assert [request[:4] for request in engine.requests] == [same] * outcome.attempts


def test_waits_are_spread_upwards_from_retry_after_and_downwards_from_the_backoff() -> None:
    engine = Engine([[503, {"retry-after": "2"}, {}], None, [409, {}, {"code": "ended"}]])
    buy(WISH, engine.patience(random=0.5))
    assert engine.waits == [2.5, 0.375]


def test_last_attempt_ends_with_the_deadline() -> None:
    engine = Engine([[503, {"retry-after": "25"}, {}], [409, {}, {"code": "ended"}]])
    buy(WISH, engine.patience())
    assert [request[4] for request in engine.requests] == [10.0, 5.0]


def test_buyer_is_named_in_the_body_only_if_asked() -> None:
    engine = Engine([[409, {}, {"code": "ended"}]])
    buy(Wish("http://engine", "shoe", user_id="ann", request_id="click-1"), engine.patience())
    assert engine.requests[0][2:4] == (None, {"productId": "shoe", "quantity": 1, "requestId": "click-1", "userId": "ann"})


def test_each_wish_has_its_own_request_id() -> None:
    assert len({Wish("http://engine", "shoe").request_id for _ in range(100)} | {new_request_id()}) == 101


def test_token_is_not_shown() -> None:
    assert "fsb1" not in repr(WISH)


@contextmanager
def server_that_sends(*parts: bytes, every_seconds: float = 0.0) -> Iterator[str]:
    """The URL of a server that sends these parts, with a pause after each, to whoever connects first."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection, suppress(OSError):
                connection.recv(65_536)
                for part in parts:
                    connection.sendall(part)
                    sleep(every_seconds)

        server.settimeout(10)
        answering = Thread(target=answer)
        answering.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        answering.join(30)


@pytest.mark.parametrize("status", [200, 503])
def test_answer_that_is_cut_off_is_no_answer(status: int) -> None:
    """A refusal as well: its IncompleteRead left `buy`, which repeats only what ends with an OSError."""
    with (
        server_that_sends(f"HTTP/1.1 {status} X\r\nContent-Length: 100\r\n\r\n{{".encode()) as url,
        pytest.raises(OSError, match="no HTTP answer"),
    ):
        send("GET", f"{url}/", {}, None, 10.0)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_is_an_answer_and_takes_the_token_nowhere(status: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.settimeout(0.2)
        location = f"http://localhost:{elsewhere.getsockname()[1]}/order"
        with server_that_sends(f"HTTP/1.1 {status} X\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()) as url:
            outcome = buy(replace(WISH, url=url))
        assert isinstance(outcome, Refused)
        assert (outcome.problem["status"], outcome.repeatable, outcome.attempts) == (status, False, 1)
        with pytest.raises(TimeoutError):
            elsewhere.accept()


@pytest.mark.parametrize("parts", [[b" "] * 20, [b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n", *[b" "] * 20]], ids=["head", "body"])
def test_answer_that_drips_ends_with_the_attempt(parts: list[bytes]) -> None:
    """The timeout of a socket is that of each read, so a server that sends a byte now and then held its client for as long as it liked."""
    with server_that_sends(*parts, every_seconds=0.4) as url:
        began = monotonic()
        with pytest.raises(TimeoutError):
            send("GET", f"{url}/", {}, None, 0.5)
        assert monotonic() - began < 5

"""Buy in a sale, patiently: one order, however often its request has to be repeated."""

import json
import random
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flashsale_client.http import Answer, Json, Send, send

BACKOFF_FIRST_SECONDS = 0.25
BACKOFF_MOST_SECONDS = 8.0
ATTEMPT_LEAST_SECONDS = 0.001
SPREAD = 0.5
"""Waits differ by up to this share, so that a crowd does not return at once."""
NO_ANSWER: Json = {"type": "about:blank", "title": "No answer arrived; the order may exist", "status": 0, "code": "no_answer"}


def new_request_id() -> str:
    """A request id for one click. Keep it until the click has its answer."""
    return secrets.token_hex(16)


@dataclass(frozen=True, slots=True)
class Wish:
    url: str
    """Where the engine answers, without a slash at the end."""
    product_id: str
    quantity: int = 1
    request_id: str = field(default_factory=new_request_id)
    """The click's id: a repeated wish is the same order."""
    token: str = field(default="", repr=False)
    """The buyer token, or another bearer credential that the installation accepts, such as a service key."""
    user_id: str = ""
    """Who buys, where the installation trusts the body: the modes `service` and `body`."""


@dataclass(frozen=True, slots=True)
class Patience:
    deadline_seconds: float = 30.0
    """When to give up."""
    attempt_seconds: float = 10.0
    """How long one attempt may take."""
    send: Send = send
    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    random: Callable[[], float] = random.random


@dataclass(frozen=True, slots=True)
class Bought:
    order: Json
    replayed: bool
    """Whether an earlier request with this id has made the order."""
    request_id: str
    attempts: int


@dataclass(frozen=True, slots=True)
class Refused:
    problem: Json
    """The engine's last answer. Its code is `no_answer` if there was none, and `unknown` if a proxy gave it."""
    repeatable: bool
    """Whether the same wish may still get an order. If no answer arrived, the order may exist already."""
    request_id: str
    attempts: int


def buy(wish: Wish, patience: Patience = Patience()) -> Bought | Refused:
    """Order units of a sale. It repeats the request, with one request id, while no answer arrives or the answer allows it.

    A repetition comes no earlier than Retry-After says; if that is past the deadline, the answer is returned at once.
    """
    ends, attempts = patience.now() + patience.deadline_seconds, 0
    while True:
        attempts += 1
        answer = _attempt(wish, patience, ends - patience.now())
        order = _order(answer)
        if answer is not None and order is not None:
            replayed = answer.headers.get("idempotent-replayed") == "true"
            return Bought(order, replayed, wish.request_id, attempts)
        repeatable = _is_repeatable(answer)
        wait = _wait_seconds(answer, attempts, patience.random())
        if not repeatable or patience.now() + wait >= ends:
            return Refused(_problem(answer), repeatable, wish.request_id, attempts)
        patience.sleep(wait)


def _attempt(wish: Wish, patience: Patience, seconds_left: float) -> Answer | None:
    headers = {"content-type": "application/json"} | ({"authorization": f"Bearer {wish.token}"} if wish.token else {})
    body = {"productId": wish.product_id, "quantity": wish.quantity, "requestId": wish.request_id}
    body |= {"userId": wish.user_id} if wish.user_id else {}
    limit = max(ATTEMPT_LEAST_SECONDS, min(patience.attempt_seconds, seconds_left))
    try:
        return patience.send("POST", f"{wish.url}/order", headers, json.dumps(body).encode(), limit)
    except OSError:
        return None


def _order(answer: Answer | None) -> Json | None:
    """None for a refusal, and for a 200 of something else, such as the sign-in page of a proxy."""
    document = answer.json() if answer is not None and answer.status == 200 else None
    return document if document is not None and isinstance(document.get("orderId"), str) else None


def _is_repeatable(answer: Answer | None) -> bool:
    """A proxy in front answers 502 or 504 without a problem document and without Retry-After; a 200 without an order may hide one."""
    return answer is None or _retry_after_seconds(answer) is not None or answer.status >= 500 or answer.status in (200, 408)


def _problem(answer: Answer | None) -> Json:
    if answer is None:
        return NO_ANSWER
    document = answer.json()
    if document is not None and isinstance(document.get("code"), str):
        return document
    title = f"The answer has the status {answer.status} and no problem document"
    return {"type": "about:blank", "title": title, "status": answer.status, "code": "unknown"}


def _retry_after_seconds(answer: Answer) -> int | None:
    """None without the header, or if it is a date, which the engine never sends."""
    text = answer.headers.get("retry-after", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None


def _wait_seconds(answer: Answer | None, attempts: int, random: float) -> float:
    retry_after = None if answer is None else _retry_after_seconds(answer)
    if retry_after is not None:
        return max(BACKOFF_FIRST_SECONDS, retry_after) * (1 + SPREAD * random)
    return min(BACKOFF_MOST_SECONDS, BACKOFF_FIRST_SECONDS * 2.0 ** (attempts - 1)) * (1 - SPREAD * random)

"""The requests that a crowd of buyers sends, decided in advance from a seed. Pure."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from flashsale_cli.load.proofs import Proof, nothing

BUYERS_MAX = 1_000_000
JSON_TYPE = "application/json"
ORDERS_OF_A_GREEDY_BUYER = 3
TOO_LARGE_BYTES = 70_000


class Kind(StrEnum):
    ORDER = "order"
    RETRY = "retry"
    GREEDY = "greedy"
    RUBBISH = "rubbish"
    IMPOSTOR = "impostor"


@dataclass(frozen=True, slots=True)
class Click:
    """One request. A retry has the user and request id of the order it repeats."""

    kind: Kind
    user_id: str
    request_id: str
    body: bytes
    content_type: str = JSON_TYPE
    authorization: str = ""
    """The Authorization header; empty if there is none."""

    def headers(self) -> dict[str, str]:
        proof = {"Authorization": self.authorization} if self.authorization else {}
        return {"Content-Type": self.content_type, **proof}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    product_id: str
    buyers: int
    prefix: str
    """The beginning of every user and request id; different for every run."""
    quantity: int = 1
    replays: float = 0.0
    """Share of the buyers who send the same request twice."""
    over_limit: float = 0.0
    """Share of the buyers who send ORDERS_OF_A_GREEDY_BUYER different orders."""
    rubbish: float = 0.0
    """Share of the buyers who send only rubbish."""
    impostors: int = 0
    """Buyers who send one valid order, with the next of `impostures`."""
    proof: Proof = nothing
    impostures: Sequence[Proof] = ()
    seed: int = 0


def plan(crowd: Crowd) -> list[Click]:
    """The crowd's requests in the order in which they are sent. The same crowd always sends the same requests."""
    chance = random.Random(crowd.seed)  # noqa: S311 - a repeatable shuffle, no secret
    numbers = list(range(crowd.buyers))
    chance.shuffle(numbers)
    impostors, buyers = numbers[: crowd.impostors], numbers[crowd.impostors :]
    retrying, greedy, rubbishing, plain = _split(buyers, crowd)
    clicks = [_order(crowd, Kind.ORDER, number) for number in (*retrying, *greedy, *plain)]
    clicks += [_order(crowd, Kind.RETRY, number) for number in retrying]
    clicks += [_order(crowd, Kind.GREEDY, number, extra) for number in greedy for extra in range(1, ORDERS_OF_A_GREEDY_BUYER)]
    clicks += [_rubbish(crowd, number) for number in rubbishing]
    clicks += [_impostor(crowd, number, crowd.impostures[place % len(crowd.impostures)]) for place, number in enumerate(impostors)]
    chance.shuffle(clicks)
    return clicks


def _split(numbers: Sequence[int], crowd: Crowd) -> tuple[Sequence[int], Sequence[int], Sequence[int], Sequence[int]]:
    first = round(crowd.replays * crowd.buyers)
    second = first + round(crowd.over_limit * crowd.buyers)
    third = second + round(crowd.rubbish * crowd.buyers)
    return numbers[:first], numbers[first:second], numbers[second:third], numbers[third:]


def _order(crowd: Crowd, kind: Kind, number: int, extra: int = 0) -> Click:
    user_id = f"{crowd.prefix}-{number}"
    request_id = f"{user_id}-{extra}"
    return Click(kind, user_id, request_id, _json(_fields(crowd, user_id, request_id)), authorization=crowd.proof(user_id))


def _fields(crowd: Crowd, user_id: str, request_id: str) -> dict[str, Any]:
    return {"userId": user_id, "productId": crowd.product_id, "quantity": crowd.quantity, "requestId": request_id}


def _json(fields: Any) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


def _rubbish(crowd: Crowd, number: int) -> Click:
    user_id = f"{crowd.prefix}-{number}"
    spoil, content_type = RUBBISH[number % len(RUBBISH)]
    # With a genuine proof, because it is the request that must be refused.
    return Click(Kind.RUBBISH, user_id, user_id, spoil(_fields(crowd, user_id, user_id)), content_type, crowd.proof(user_id))


def _impostor(crowd: Crowd, number: int, imposture: Proof) -> Click:
    user_id = f"{crowd.prefix}-{number}"
    return Click(Kind.IMPOSTOR, user_id, user_id, _json(_fields(crowd, user_id, user_id)), authorization=imposture(user_id))


def _with(**changed: Any) -> Callable[[dict[str, Any]], bytes]:
    return lambda fields: _json(fields | changed)


RUBBISH: Sequence[tuple[Callable[[dict[str, Any]], bytes], str]] = (
    (_with(quantity=-5), JSON_TYPE),
    (_with(quantity=0), JSON_TYPE),
    (_with(quantity="two"), JSON_TYPE),
    (_with(quantity=10**30), JSON_TYPE),
    (_with(productId="no-such-sale"), JSON_TYPE),
    (_with(userId="a b|c"), JSON_TYPE),
    (_with(coupon="FREE"), JSON_TYPE),
    (lambda _: b'{"userId":', JSON_TYPE),
    (lambda _: b"[" * 5000, JSON_TYPE),
    (lambda _: b'{"userId":"\xff\xfe"}', JSON_TYPE),
    (_with(padding="x" * TOO_LARGE_BYTES), JSON_TYPE),
    (_with(), "text/plain"),
)

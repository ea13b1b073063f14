"""Random conversations: a seed and a number always give the same one, except for the names and the time of its world."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from random import Random

from tests.integration.conversations.buyer import UPGRADE, Buyer, World
from tests.integration.conversations.conversation import Conversation, Ending, Request, Segment, Tail

HONEST_SHARE = 0.5
REQUESTS_MAX = 6
PIECES_MAX = 40
PAUSES_SECONDS = (0.0, 0.0, 0.0, 0.001, 0.004, 0.015)
LINGERS_SECONDS = (0.0, 0.0, 0.005, 0.05, 0.3)
FLOOD_REQUESTS_MAX = 1_500
UNREAD_REQUESTS_MAX = 300
HEAD_BYTES = 40_000
"""A head of this size is too large for every gateway in these tests."""

GARBAGE = (
    b"\0garbage",
    b"\x16\x03\x01\x02\x00\x01\xfc hello\r\n\r\n",
    b"\xff\xfe\xfd",
    b"GET\r\n\r\n",
    b"FOO /order HTTP/1.1\r\n\r\n",
    b"get / HTTP/1.1\r\n\r\n",
    b'{"userId": "ann"}',
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"POST /order HTTP/9.9\r\nHost: shop\r\n\r\n",
    b"GET / HTTP/1.1\nHost: shop\n\n",
    b"GET /a b HTTP/1.1\r\n\r\n",
    b"GET /\0 HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nno field\r\n\r\n",
    b"GET / HTTP/1.1\r\n: x\r\n\r\n",
    b"GET / HTTP/1.1\r\n folded: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nA: \0\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST /order HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    b"POST /order HTTP/1.1\r\nContent-Length: -1\r\n\r\n{}",
    b"POST /order HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /order HTTP/1.1\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
)
"""No valid head begins with any of these."""
BROKEN_CHUNKS = (b"xyz\r\n", b"2\r\n{}x\r\n", b"fffffffffffffffff\r\n{}\r\n", b"0\r\nno field\r\n\r\n", b"-1\r\n{}\r\n")


def conversation(world: World, seed: int, number: int) -> Conversation:
    random = Random(f"{seed}/{number}")
    buyer = Buyer(world, random, number)
    if random.random() < HONEST_SHARE:
        return _honest(buyer)
    kinds, weights = zip(*_HOSTILE.items(), strict=True)
    make: Callable[[Buyer], Conversation] = random.choices(kinds, weights)[0]
    return make(buyer)


# Honest clients: their requests are split and pipelined at random, and nothing else about them is odd.


def _honest(buyer: Buyer) -> Conversation:
    random = buyer.random
    if random.random() < 0.05:
        return _expecting(buyer)
    requests = _requests(buyer, 1)
    closing = random.random() < 0.5
    if closing:
        requests = (*requests, buyer.last())
    ending = Ending.SERVER if closing else Ending.ANSWERED
    return Conversation(buyer.number, "honest", requests, _cut(buyer, requests), ending, honest=True)


def _expecting(buyer: Buyer) -> Conversation:
    """The client sends the body after the server's 100."""
    before, order = _requests(buyer, 0, 2), buyer.order(expects=True)
    head, body = order.data[: order.head_bytes], order.data[order.head_bytes :]
    segments = (*_cut(buyer, before), Segment(head), Segment(body, awaits_continue=True))
    return Conversation(buyer.number, "expecting", (*before, order), segments, Ending.ANSWERED, honest=True)


# Hostile clients.


def _garbage(buyer: Buyer) -> Conversation:
    garbage = buyer.random.choice(GARBAGE) + buyer.random.randbytes(buyer.random.choice([0, 0, 20, 2_000]))
    return _refused(buyer, "garbage", garbage)


def _huge_head(buyer: Buyer) -> Conversation:
    huge = b"x" * HEAD_BYTES
    head = buyer.random.choice(
        [b"GET /" + huge, b"GET / HTTP/1.1\r\nX-Fat: " + huge, b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * (HEAD_BYTES // 6)]
    )
    return _refused(buyer, "huge head", head + buyer.random.choice([b"", b"\r\n\r\n"]))


def _refused(buyer: Buyer, kind: str, data: bytes) -> Conversation:
    """`data` behind some requests must end the connection."""
    requests = _requests(buyer, 0)
    segments = _cut(buyer, requests, data)
    leaves = buyer.random.random() < 0.2
    ending = _leaving(buyer) if leaves else Ending.SERVER
    return _hostile(buyer, kind, requests, segments, ending, Tail.REFUSAL)


def _broken_chunks(buyer: Buyer) -> Conversation:
    """An order whose chunked body is malformed."""
    requests = _requests(buyer, 0)
    head = b"POST /order HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    segments = _cut(buyer, requests, head + buyer.random.choice(BROKEN_CHUNKS))
    return _hostile(buyer, "broken chunks", requests, segments, Ending.SERVER, Tail.ANYTHING)


def _mutated(buyer: Buyer) -> Conversation:
    """One byte of a request is replaced."""
    before, mutated, behind = _requests(buyer, 0, 3), buyer.request().data, _data(_requests(buyer, 0, 3))
    place = buyer.random.randrange(len(mutated))
    data = mutated[:place] + buyer.random.randbytes(1) + mutated[place + 1 :] + behind
    return _hostile(buyer, "mutated", before, _cut(buyer, before, data), _leaving(buyer), Tail.ANYTHING)


def _half(buyer: Buyer) -> Conversation:
    requests, cut = _requests(buyer, 0, 3), buyer.request().data
    half = cut[: buyer.random.randrange(1, len(cut))]
    return _hostile(buyer, "half", requests, _cut(buyer, requests, half), _leaving(buyer), Tail.ANYTHING)


def _leaves(buyer: Buyer) -> Conversation:
    """Well-formed requests from a client that does not wait for all answers."""
    requests = _requests(buyer, 1)
    return _hostile(buyer, "leaves", requests, _cut(buyer, requests), _leaving(buyer), reads=buyer.random.random() < 0.5)


def _silent(buyer: Buyer) -> Conversation:
    return _hostile(buyer, "silent", (), (), _leaving(buyer))


def _unread(buyer: Buyer) -> Conversation:
    """Many requests from a client that reads no answers."""
    requests = tuple(buyer.order() for _ in range(buyer.random.randint(20, UNREAD_REQUESTS_MAX)))
    return _hostile(buyer, "unread", requests, (Segment(_data(requests)),), _leaving(buyer), reads=False)


def _flood(buyer: Buyer) -> Conversation:
    requests = (buyer.healthz(),) * buyer.random.randint(200, FLOOD_REQUESTS_MAX)
    return _hostile(buyer, "flood", requests, (Segment(_data(requests)),), _leaving(buyer), reads=buyer.random.random() < 0.5)


def _after_close(buyer: Buyer) -> Conversation:
    """Further bytes behind a request that closes the connection."""
    requests = (*_requests(buyer, 0, 2), buyer.last())
    behind = buyer.random.choice([_data(_requests(buyer, 1, 3)), buyer.random.choice(GARBAGE)])
    return _hostile(buyer, "after close", requests, _cut(buyer, requests, behind), Ending.SERVER)


def _tunnel(buyer: Buyer) -> Conversation:
    """A client that asks for another protocol on its connection."""
    wants = (
        b"CONNECT shop:443 HTTP/1.1\r\nHost: shop\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"POST /order HTTP/1.1\r\n%b\r\n" % b"".join(b"%b: %b\r\n" % field for field in UPGRADE),
    )
    requests = _requests(buyer, 0, 3)
    data = buyer.random.choice(wants) + buyer.random.randbytes(buyer.random.choice([0, 30]))
    return _hostile(buyer, "tunnel", requests, _cut(buyer, requests, data), _leaving(buyer), Tail.ANYTHING)


_HOSTILE: Mapping[Callable[[Buyer], Conversation], float] = {
    _garbage: 8,
    _huge_head: 1,
    _broken_chunks: 3,
    _mutated: 4,
    _half: 4,
    _leaves: 6,
    _silent: 1,
    _unread: 0.6,
    _flood: 0.2,
    _after_close: 2,
    _tunnel: 1,
}


def _hostile(
    buyer: Buyer,
    kind: str,
    requests: tuple[Request, ...],
    segments: tuple[Segment, ...],
    ending: Ending,
    tail: Tail = Tail.NOTHING,
    *,
    reads: bool = True,
) -> Conversation:
    lingers = buyer.random.choice(LINGERS_SECONDS)
    return Conversation(buyer.number, kind, requests, segments, ending, False, tail, reads or ending is Ending.SERVER, lingers)


def _leaving(buyer: Buyer) -> Ending:
    return buyer.random.choice([Ending.CLOSE, Ending.RESET, Ending.RESET, Ending.HALF_CLOSE])


# Bytes and segments.


def _requests(buyer: Buyer, least: int, most: int = REQUESTS_MAX) -> tuple[Request, ...]:
    return tuple(buyer.request() for _ in range(buyer.random.randint(least, most)))


def _data(requests: tuple[Request, ...]) -> bytes:
    return b"".join(request.data for request in requests)


def _cut(buyer: Buyer, requests: tuple[Request, ...], behind: bytes = b"") -> tuple[Segment, ...]:
    data = _data(requests) + behind
    pieces = _pieces(data, list(_cuts(buyer.random, requests, data)))
    pauses = [buyer.random.choice(PAUSES_SECONDS) for _ in pieces]
    return tuple(Segment(piece, pause) for piece, pause in zip(pieces, pauses, strict=True))


def _cuts(random: Random, requests: tuple[Request, ...], data: bytes) -> Iterator[int]:
    match random.choice(["whole", "whole", "apart", "few", "many", "first bytes"]):
        case "apart":
            at = 0
            for request in requests:
                yield (at := at + len(request.data))
        case "few":
            yield from (random.randrange(len(data) + 1) for _ in range(random.randint(1, 5)))
        case "many":
            yield from (random.randrange(len(data) + 1) for _ in range(PIECES_MAX))
        case "first bytes":
            yield from range(1, PIECES_MAX)
        case _:
            return


def _pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(cut for cut in set(cuts) if 0 < cut < len(data)), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if end > start]

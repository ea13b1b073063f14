"""The judge of random conversations finds wrong answers; each case was once a real answer of a gateway."""

from dataclasses import replace

import httptools
import pytest

from tests.integration.conversations.buyer import World
from tests.integration.conversations.conversation import Conversation, Ending, Expected, Request, Tail
from tests.integration.conversations.generate import GARBAGE, conversation
from tests.integration.conversations.judge import ClientView, End, fault_of
from tests.integration.conversations.wire import Answer, AnswerReader, MalformedError

ORDER = Request(b"", 0, (Expected(200, (("orderId", "sale.a"),)),))
OTHER = Request(b"", 0, (Expected(200, (("orderId", "sale.b"),)),))
ACCEPTED = Answer(200, {"date": "now"}, b'{"orderId": "sale.a"}')
ACCEPTED_OTHER = Answer(200, {"date": "now"}, b'{"orderId": "sale.b"}')
REFUSAL = Answer(400, {"date": "now", "connection": "close"}, b"what?")
LAST = replace(ACCEPTED, headers={"date": "now", "connection": "close"})
FAILED = Answer(500, {"date": "now"}, b'{"code": "internal"}')
UNCONFIRMED = Answer(503, {"date": "now", "retry-after": "5"}, b'{"code": "unconfirmed"}')
HONEST = Conversation(0, "honest", (ORDER, OTHER), (), Ending.ANSWERED, honest=True)
HOSTILE = replace(HONEST, honest=False, tail=Tail.REFUSAL, ending=Ending.SERVER)
WORLD = World("t-0123456789ab", "t-ba9876543210", b"key", b"key", 1_800_000_000.0)


@pytest.mark.parametrize(
    ("talk", "answers", "end"),
    [
        (HONEST, [ACCEPTED, ACCEPTED_OTHER], End.CLIENT),
        (HONEST, [UNCONFIRMED, ACCEPTED], End.CLIENT),
        (HOSTILE, [ACCEPTED, ACCEPTED_OTHER, REFUSAL], End.SERVER),
        (HOSTILE, [ACCEPTED], End.RESET),
        (HOSTILE, [LAST], End.SERVER),
        (HOSTILE, [], End.SERVER),
    ],
)
def test_right_answers_are_no_finding(talk: Conversation, answers: list[Answer], end: End) -> None:
    assert fault_of(talk, ClientView(tuple(answers), end)) == ""


@pytest.mark.parametrize(
    ("talk", "answers", "end"),
    [
        (HONEST, [ACCEPTED], End.DEADLINE),
        (HONEST, [ACCEPTED], End.SERVER),
        (HONEST, [ACCEPTED_OTHER, ACCEPTED], End.CLIENT),
        (HONEST, [ACCEPTED, ACCEPTED_OTHER, ACCEPTED], End.CLIENT),
        (HONEST, [ACCEPTED, FAILED], End.CLIENT),
        (HONEST, [UNCONFIRMED, FAILED], End.CLIENT),
        (HONEST, [LAST, ACCEPTED_OTHER], End.CLIENT),
        (HOSTILE, [REFUSAL], End.SERVER),
        (HOSTILE, [ACCEPTED, REFUSAL], End.SERVER),
        (HOSTILE, [ACCEPTED, ACCEPTED_OTHER, REFUSAL, REFUSAL], End.SERVER),
        (HOSTILE, [LAST, ACCEPTED_OTHER], End.SERVER),
        (HOSTILE, [FAILED], End.SERVER),
        (HOSTILE, [ACCEPTED], End.DEADLINE),
    ],
)
def test_wrong_answers_are_findings(talk: Conversation, answers: list[Answer], end: End) -> None:
    assert fault_of(talk, ClientView(tuple(answers), end)) != ""


def test_answers_are_read_in_any_pieces() -> None:
    wire = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n"
    reader = AnswerReader()
    for place in range(len(wire)):
        reader.feed(wire[place : place + 1])
    assert ([answer.status for answer in reader.answers], reader.rest) == ([100, 200, 404], b"")


@pytest.mark.parametrize("wire", [b"ok", b"HTTP/1.1 200\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"HTTP/1.1 200 OK\r\na: b\r\na: c\r\n\r\n"])
def test_bytes_that_are_no_answer_are_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedError):
        AnswerReader().feed(wire)


def test_seed_gives_the_same_conversations_in_every_world() -> None:
    other = replace(WORLD, sale="t-ffffffffffff", now_seconds=1_800_000_001.0)
    for number in range(50):
        first, second = conversation(WORLD, 13, number), conversation(WORLD, 13, number)
        elsewhere = conversation(other, 13, number)
        assert first == second
        assert _lengths(elsewhere) == _lengths(first)


@pytest.mark.parametrize("garbage", GARBAGE)
def test_parser_rejects_garbage(garbage: bytes) -> None:
    with pytest.raises(httptools.HttpParserError):
        httptools.HttpRequestParser(object()).feed_data(garbage)


def _lengths(talk: Conversation) -> list[int]:
    return [len(segment.data) for segment in talk.segments]

"""The verdict on a conversation: what is wrong with its answers, as a sentence."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tests.integration.conversations.conversation import Conversation, Ending, Expected, Request, Tail
from tests.integration.conversations.wire import Answer

REFUSALS = {"overloaded", "outcome_unknown", "unconfirmed"}
"""503s by which a server asks for the same request again. The answers to later requests of the same connection may then differ."""


class End(StrEnum):
    """How the connection ended for the client."""

    CLIENT = "the client closed"
    SERVER = "the server closed"
    RESET = "the server reset"
    DEADLINE = "nothing more arrived"


@dataclass(frozen=True, slots=True)
class ClientView:
    """A conversation as its client saw it."""

    answers: tuple[Answer, ...]
    end: End
    malformed: str = ""
    """What is wrong with bytes that are no answer, or with an answer that the server did not finish."""

    @property
    def finals(self) -> list[Answer]:
        return [answer for answer in self.answers if answer.status >= 200]

    @property
    def refused(self) -> bool:
        """Whether the server answered that it could not decide one of the requests."""
        return any(answer.code in REFUSALS for answer in self.answers)


def fault_of(conversation: Conversation, view: ClientView) -> str:
    """What is wrong, or an empty text."""
    return view.malformed or _wrong_answer(conversation, view) or _wrong_end(conversation, view)


def fits(answer: Answer, expected: Expected) -> bool:
    document = answer.document if isinstance(answer.document, dict) else {}
    return (
        answer.status == expected.status
        and all(document.get(name) == value for name, value in expected.fields)
        and (expected.text is None or answer.raw == expected.text)
        and ("idempotent-replayed" in answer.headers) == expected.replayed
        and "date" in answer.headers
    )


def difference(ours: ClientView, theirs: ClientView, names: Sequence[tuple[str, str]]) -> str:
    """How the answers of an honest client differ, or an empty text; `names` are pairs of names that mean the same."""
    for place, (our_answer, their_answer) in enumerate(zip(ours.finals, theirs.finals, strict=False)):
        shown = [_comparable(our_answer, [name for name, _ in names]), _comparable(their_answer, [name for _, name in names])]
        if shown[0] != shown[1]:
            return f"answer {place} is {shown[0]}, and {shown[1]} from plain uvicorn"
    if len(ours.finals) != len(theirs.finals):
        return f"{len(ours.finals)} answers ({ours.end}), and {len(theirs.finals)} ({theirs.end}) from plain uvicorn"
    return ""


def _wrong_answer(conversation: Conversation, view: ClientView) -> str:
    place, loose = 0, False
    for answer in view.answers:
        if answer.status == 100:
            if not _may_continue(conversation, place):
                return f"100 in the place of answer {place}"
            continue
        # The last answer to a hostile client may close the connection, even if its request did not ask for that.
        may_close = not conversation.honest and answer is view.answers[-1]
        fault = _fault_at(conversation, place, answer, loose, may_close)
        if fault:
            return f"answer {place} of {len(conversation.requests)}: {fault}: {answer}"
        loose = loose or answer.code in REFUSALS
        place += 1
    if conversation.honest and place < len(conversation.requests):
        return f"{place} answers to {len(conversation.requests)} requests, then {view.end}"
    return ""


def _may_continue(conversation: Conversation, place: int) -> bool:
    if place < len(conversation.requests):
        return conversation.requests[place].expects
    return conversation.tail is Tail.ANYTHING


def _fault_at(conversation: Conversation, place: int, answer: Answer, loose: bool, may_close: bool) -> str:
    if place < len(conversation.requests):
        return _fault(conversation.requests[place], answer, loose, may_close)
    if conversation.tail is Tail.ANYTHING:
        return "a fault of the server" if answer.status >= 500 and answer.code not in REFUSALS else ""
    if conversation.tail is Tail.REFUSAL and place == len(conversation.requests):
        return "" if 400 <= answer.status < 500 and answer.closes else "no refusal that closes"
    return "an answer without a request"


def _fault(request: Request, answer: Answer, loose: bool, may_close: bool) -> str:
    if answer.code in REFUSALS:
        return ""
    if loose:
        return "a fault of the server" if answer.status >= 500 else ""
    if not any(fits(answer, expected) for expected in request.expected):
        return f"not {' or '.join(map(str, request.expected))}"
    return "" if answer.closes == request.closes or (may_close and answer.closes) else f"connection: close is {answer.closes}"


def _wrong_end(conversation: Conversation, view: ClientView) -> str:
    must_end = conversation.ending is Ending.SERVER
    return "the server does not close" if must_end and view.end is End.DEADLINE else ""


_ORDER = re.compile(r"SALE\.[A-Za-z0-9_-]{20}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.0-9]*Z")
_COUNT = re.compile(r'"(available|reserved|sold)":\d+')
_IGNORED_HEADERS = {"date", "content-length", "etag"}
"""They depend on the clock, on the length of numbers and on the sale's counters."""


def _comparable(answer: Answer, names: Sequence[str]) -> tuple[int, dict[str, str], str]:
    text = answer.raw.decode("latin-1")
    for name in names:
        text = text.replace(name, "SALE")
    text = _COUNT.sub(r'"\1":N', _TIME.sub("TIME", _ORDER.sub("ORDER", text)))
    return answer.status, {name: value for name, value in sorted(answer.headers.items()) if name not in _IGNORED_HEADERS}, text

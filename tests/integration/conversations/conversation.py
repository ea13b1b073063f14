"""A conversation: the requests of one connection, the segments in which they are sent, and their right answers."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Expected:
    """A right answer."""

    status: int
    fields: tuple[tuple[str, object], ...] = ()
    """Fields that the JSON body must contain; others are allowed."""
    text: bytes | None = None
    """The whole body; None when it is JSON."""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """The order that a request makes."""

    sale: str
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request."""

    data: bytes
    head_bytes: int
    expected: tuple[Expected, ...]
    """Each of these answers is right."""
    order: Order | None = None
    """This order must exist after an answer of 200."""
    closes: bool = False
    """The answer closes the connection."""
    expects: bool = False
    """A 100 may precede its answer."""
    comparable: bool = True
    """Plain uvicorn gives the same answer."""


@dataclass(frozen=True, slots=True)
class Segment:
    data: bytes
    pause_seconds: float = 0.0
    """The pause before it is sent."""
    awaits_continue: bool = False
    """It is sent after a 100, or after a short wait for one."""


class Tail(StrEnum):
    """Which answers are right for the bytes that follow the requests."""

    NOTHING = "nothing"
    REFUSAL = "refusal"
    """One 4xx that closes the connection, or no answer."""
    ANYTHING = "anything"
    """Any well-formed answers but faults of the server."""


class Ending(StrEnum):
    ANSWERED = "answered"
    """The client closes after it has received all answers."""
    SERVER = "server"
    """The client reads until the server closes, as it must."""
    CLOSE = "close"
    """The client closes after `lingers_seconds`, even if answers are still to come."""
    RESET = "reset"
    """The same with SO_LINGER 0: the server receives an RST."""
    HALF_CLOSE = "half close"
    """The client closes only its sending side, and reads for another `lingers_seconds`."""


@dataclass(frozen=True, slots=True)
class Conversation:
    number: int
    kind: str
    requests: tuple[Request, ...]
    segments: tuple[Segment, ...]
    ending: Ending
    honest: bool
    """Each request gets exactly one right answer. In a hostile conversation only the first few requests may get theirs."""
    tail: Tail = Tail.NOTHING
    reads: bool = True
    lingers_seconds: float = 0.0

    @property
    def comparable(self) -> bool:
        return self.honest and all(request.comparable for request in self.requests)

    @property
    def data(self) -> bytes:
        return b"".join(segment.data for segment in self.segments)

"""What a conversation is: the requests of one connection, the pieces they are sent in, and what may be answered."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Expected:
    """One answer that is right."""

    status: int
    fields: tuple[tuple[str, object], ...] = ()
    """What the JSON body has to say, besides what it may."""
    text: bytes | None = None
    """The whole body."""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order that a request asks for."""

    sale: str
    order_id: str
    quantity: int


@dataclass(frozen=True, slots=True)
class Request:
    """A well-formed request."""

    data: bytes
    head_bytes: int
    expected: tuple[Expected, ...]
    """Any of them is right."""
    order: Order | None = None
    """Exists if the answer is 200."""
    closes: bool = False
    """The connection ends with its answer."""
    expects: bool = False
    """A 100 may come before its answer."""
    comparable: bool = True
    """Uvicorn's own way gives the same answer."""


@dataclass(frozen=True, slots=True)
class Segment:
    data: bytes
    pause_seconds: float = 0.0
    """Before it is sent."""
    awaits_continue: bool = False
    """It is sent once a 100 came, or would have."""


class Tail(StrEnum):
    """What may be answered to what stands behind the requests."""

    NOTHING = "nothing"
    REFUSAL = "refusal"
    """One 4xx with which the connection closes, or nothing."""
    ANYTHING = "anything"
    """Whatever is well-formed and no fault of the server's."""


class Ending(StrEnum):
    ANSWERED = "answered"
    """The client closes once it has all its answers."""
    SERVER = "server"
    """The client reads until the server closes, which it has to do."""
    CLOSE = "close"
    """The client closes after `lingers_seconds`, whatever is still to come."""
    RESET = "reset"
    """The same with SO_LINGER 0: its peer sees an RST."""
    HALF_CLOSE = "half close"
    """The client closes its direction only, and reads on for `lingers_seconds`."""


@dataclass(frozen=True, slots=True)
class Conversation:
    number: int
    kind: str
    requests: tuple[Request, ...]
    segments: tuple[Segment, ...]
    ending: Ending
    honest: bool
    """It gets exactly one right answer to each request; others get them to a prefix of their requests."""
    tail: Tail = Tail.NOTHING
    reads: bool = True
    lingers_seconds: float = 0.0

    @property
    def comparable(self) -> bool:
        return self.honest and all(request.comparable for request in self.requests)

    @property
    def data(self) -> bytes:
        return b"".join(segment.data for segment in self.segments)

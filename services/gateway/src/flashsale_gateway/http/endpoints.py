"""Endpoints of orders and payments, whose requests are decided in Redis in batches: check one, enqueue it, answer it.

They see no socket. `fast_path` calls them from the HTTP parser's callbacks; every other request reaches them through ASGI.
"""

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, Generic, Protocol, TypeVar

from opentelemetry.trace import Span
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from flashsale_core.scripts import Order, Payment
from flashsale_core.tracing import Tracing
from flashsale_gateway import spans
from flashsale_gateway.batching import Batcher
from flashsale_gateway.errors import Overloaded
from flashsale_gateway.http import bodies
from flashsale_gateway.http.answers import Answer
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.http.translation import problem_of
from flashsale_gateway.lanes import Waiter
from flashsale_gateway.settings import Settings
from flashsale_gateway.store import Result

Headers = Iterable[tuple[bytes, bytes]]
log = logging.getLogger(__name__)


class Pending(Protocol):
    """A request that waits for its decision."""

    @property
    def span(self) -> Span | None: ...

    def log_fields(self) -> dict[str, str]: ...


T = TypeVar("T", bound=Pending)
Item = TypeVar("Item", Order, Payment)


class Endpoint(ABC, Generic[T, Item]):
    """POST of a JSON document at one path."""

    def __init__(self, batcher: Batcher[Item, Result], settings: Settings, trace: Tracing, noun: str) -> None:
        """`noun` names what this endpoint accepts, in the log and in the refusal of other methods."""
        self._batcher: Batcher[Item, Result] = batcher
        self._settings = settings
        self._tracing = trace
        self._noun = noun

    @abstractmethod
    def accept(self, headers: Headers, body: bytes, waiter: Waiter[Result], peer: str = "") -> T:
        """Check a request and enqueue it; `waiter` gets the decision, never before this returns. `peer` is the address of the connection.

        Raises Problem, Unauthenticated, and Overloaded when too many requests are waiting; what is only found later goes to `waiter`.
        """

    @abstractmethod
    def answer(self, pending: T, result: Result) -> Answer:
        """The answer to a decided request, counted."""

    def _enqueue(self, sale_id: str, item: Item, waiter: Waiter[Result], span: Span | None) -> None:
        """Raises Overloaded when too many requests are waiting; then its span has ended."""
        try:
            self._batcher.enqueue(sale_id, item, waiter)
        except Overloaded as error:
            if span is not None:
                problem = self._problem(error)
                spans.end(span, problem.code, problem.status)
            raise

    def refuse(self, problem: Problem) -> Answer:
        """The answer to a request that was not accepted or could not be decided."""
        return problem.answer

    def fail(self, error: BaseException, pending: T | None = None) -> Answer:
        """The answer to a request that was not accepted, or whose decision failed. An error that is no problem is logged."""
        problem = self._problem(error, pending)
        if pending is not None:
            spans.end(pending.span, problem.code, problem.status)
        return self.refuse(problem)

    def _problem(self, error: BaseException, pending: T | None = None) -> Problem:
        problem = problem_of(error)
        if problem is not None:
            return problem
        log.error(f"{self._noun}.failed", exc_info=error, extra=pending.log_fields() if pending is not None else None)
        return Problem("internal")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint as an ASGI application."""
        try:
            answer = await self._asgi(scope, receive)
        except ClientDisconnect:
            # The client has left, and nothing was decided.
            return
        except Exception as error:
            answer = self.fail(error)
        for message in answer.messages():
            await send(message)

    async def _asgi(self, scope: Scope, receive: Receive) -> Answer:
        if scope["method"] != "POST":
            raise Problem("method_not_allowed", f"POST {self._noun}s here", allow="POST")
        bodies.require_json(bodies.header(scope, b"content-type"))
        body = await bodies.read(receive, self._settings)
        decided: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        pending = self.accept(scope["headers"], body, decided, peer_of(scope))
        try:
            result = await decided
        except Exception as error:
            return self.fail(error, pending)
        return self.answer(pending, result)


def peer_of(scope: Scope) -> str:
    """The address of the connection's other end; empty if it has none."""
    return str(scope["client"][0]) if scope.get("client") else ""


Endpoints = Mapping[str, Endpoint[Any, Any]]
"""By path."""

"""One client connection: uvicorn's, with a page as the answer to a request beyond the limit."""

from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_console.answers import SecureHeaders, refused

# As in uvicorn's own refusal: an idle connection counts as well, and this one makes room.
_HEADERS = {"retry-after": "2", "connection": "close"}


class Connection(HttpToolsProtocol):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # uvicorn would answer with plain text, and without Retry-After.
        self._requests_max, self.limit_concurrency = self.limit_concurrency, None
        self._app = self.app

    def on_headers_complete(self) -> None:
        is_full = self._requests_max is not None and max(len(self.connections), len(self.tasks)) >= self._requests_max
        self.app = _OVERLOADED if is_full else self._app
        super().on_headers_complete()


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    answer = refused(Request(scope, receive), 503, "Too many people use the console now", "Try again in a moment.", _HEADERS)
    await answer(scope, receive, send)


_OVERLOADED = SecureHeaders(_overloaded)

"""One client connection: uvicorn's, with a problem as the answer to a request beyond the limit."""

from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flashsale_ledger_api.answers import of_problem
from flashsale_ledger_api.problems import Problem

_OVERLOADED = of_problem(Problem("overloaded"))
# As uvicorn's own refusal does: an idle connection counts as well, and this one makes room.
_OVERLOADED.headers["connection"] = "close"


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

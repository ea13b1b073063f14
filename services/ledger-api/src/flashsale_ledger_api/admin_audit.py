"""Logs each change through /admin, also what is refused: who asked for it, and its result."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from flashsale_core.admin_changes import log_change
from flashsale_core.errors import Retryable
from flashsale_ledger_api.answers import problem_of
from flashsale_ledger_api.problems import Problem

NAME_CHARACTERS_MAX = 100
"""A longer name in the path is cut; no order has one."""


class Change:
    """A change in progress. Whoever makes it sets its result, and what else to log."""

    def __init__(self, action: str) -> None:
        self.action = action
        self.result = "failed"
        self.fields: dict[str, object] = {}


@contextmanager
def audited(request: Request, action: str, parameter: str) -> Iterator[Change]:
    """Log the change of what the path parameter names when the block ends. If it raises, the result is the problem's code."""
    change = Change(action)
    change.fields[parameter] = request.path_params[parameter][:NAME_CHARACTERS_MAX]
    try:
        yield change
    except Exception as error:
        change.result = problem_of(error).code if isinstance(error, Problem | Retryable) else "internal"
        raise
    finally:
        log_change(request.state.who, change.action, change.result, **change.fields)

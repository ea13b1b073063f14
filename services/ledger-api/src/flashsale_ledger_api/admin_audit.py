"""Logs each change through /admin, also what is refused: who asked for it, and its result."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from flashsale_core.admin_changes import Change, log_change, reported
from flashsale_core.errors import Retryable
from flashsale_ledger_api.answers import problem_of
from flashsale_ledger_api.problems import Problem

NAME_CHARACTERS_MAX = 100
"""A longer name in the path is cut; no order has one."""


@contextmanager
def audited(request: Request, action: str, parameter: str) -> Iterator[Change]:
    """Log the change of what the path parameter names when the block ends. If it raises, the result is the problem's code."""
    named = Change(**{parameter: request.path_params[parameter][:NAME_CHARACTERS_MAX]})
    with reported(named, lambda change: log_change(request.state.who, action, change.result, **change.fields), _code_of) as change:
        yield change


def _code_of(error: Exception) -> str:
    return problem_of(error).code if isinstance(error, Problem | Retryable) else "internal"

"""Logs each change through /admin, also a refused one: who asked for it, and its result."""

from collections.abc import Iterator
from contextlib import contextmanager

from flashsale_core.admin_changes import log_change
from flashsale_gateway.http.translation import problem_of


class Change:
    """A change in progress. Whoever makes it sets its result."""

    def __init__(self) -> None:
        self.result = "failed"


@contextmanager
def audited(by: str, action: str, sale_id: str, **more: str) -> Iterator[Change]:
    """Log the change when the block ends. If it raises, the result is the problem's code."""
    change = Change()
    try:
        yield change
    except Exception as error:
        problem = problem_of(error)
        change.result = problem.code if problem is not None else "internal"
        raise
    finally:
        log_change(by, action, change.result, sale=sale_id, **more)

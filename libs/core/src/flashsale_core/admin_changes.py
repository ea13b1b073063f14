"""The log event of a change through /admin: who changed what, with which result."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EVENT = "admin.change"
_log = logging.getLogger(__name__)


class Change:
    """A change in progress. Whoever makes it sets its result, and what else to log."""

    def __init__(self, **fields: object) -> None:
        self.result = "failed"
        self.fields = fields


@contextmanager
def reported(change: Change, log: Callable[[Change], None], code_of: Callable[[Exception], str]) -> Iterator[Change]:
    """Call `log` with the change when the block ends. If it raises, the result is `code_of` the error."""
    try:
        yield change
    except Exception as error:
        change.result = code_of(error)
        raise
    finally:
        log(change)


def log_change(by: str, action: str, result: str, **fields: object) -> None:
    """Log who asked for a change, and its result.

    `by` is the name of the key, `action` names the change (`sale.set`), and `result` is its outcome or a problem's code. Further fields say
    what was changed, such as `sale`.
    """
    _log.info(EVENT, extra={"by": by, "action": action, "result": result, **fields})

"""Logs each change through /admin and what service keys do for buyers, also what is refused: who asked for it, and its result."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flashsale_core.admin_changes import log_change
from flashsale_gateway.http.translation import problem_of
from flashsale_gateway.identity.identities import Caller

SERVICE_EVENT = "service.action"
_log = logging.getLogger(__name__)


class Change:
    """A change in progress. Whoever makes it sets its result."""

    def __init__(self) -> None:
        self.result = "failed"


@contextmanager
def audited(by: str, action: str, sale_id: str, **more: str) -> Iterator[Change]:
    """Log the change when the block ends. If it raises, the result is the problem's code."""
    with _reported(lambda result: log_change(by, action, result, sale=sale_id, **more)) as change:
        yield change


@contextmanager
def audited_service(caller: Caller, action: str, **fields: str) -> Iterator[Change]:
    """Log what a service key does, as `audited`; for other callers, who act for themselves, log nothing.

    Orders are left out: there are too many, and the ledger has them.
    """
    if not caller.service:
        yield Change()
        return
    with _reported(
        lambda result: _log.info(SERVICE_EVENT, extra={"by": caller.service, "action": action, "result": result, **fields})
    ) as change:
        yield change


@contextmanager
def _reported(log: Callable[[str], None]) -> Iterator[Change]:
    change = Change()
    try:
        yield change
    except Exception as error:
        problem = problem_of(error)
        change.result = problem.code if problem is not None else "internal"
        raise
    finally:
        log(change.result)

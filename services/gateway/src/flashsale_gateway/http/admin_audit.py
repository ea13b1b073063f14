"""Logs each change through /admin and what service keys do for buyers, also what is refused: who asked for it, and its result."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from flashsale_core.admin_changes import Change, log_change, reported
from flashsale_gateway.http.translation import problem_of
from flashsale_gateway.identity.identities import Caller

SERVICE_EVENT = "service.action"
_log = logging.getLogger(__name__)


@contextmanager
def audited(by: str, action: str, sale_id: str, **more: str) -> Iterator[Change]:
    """Log the change when the block ends. If it raises, the result is the problem's code."""
    with reported(Change(sale=sale_id, **more), lambda change: log_change(by, action, change.result, **change.fields), _code_of) as change:
        yield change


@contextmanager
def audited_service(caller: Caller, action: str, **fields: str) -> Iterator[Change]:
    """Log what a service key does, as `audited`; for other callers, who act for themselves, log nothing.

    Orders are left out: there are too many, and the ledger has them.
    """
    if not caller.service:
        yield Change()
        return

    def log(change: Change) -> None:
        _log.info(SERVICE_EVENT, extra={"by": caller.service, "action": action, "result": change.result, **change.fields})

    with reported(Change(**fields), log, _code_of) as change:
        yield change


def _code_of(error: Exception) -> str:
    problem = problem_of(error)
    return problem.code if problem is not None else "internal"

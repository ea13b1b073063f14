"""The log event of a change through /admin: who changed what, with which result."""

import logging

EVENT = "admin.change"
_log = logging.getLogger(__name__)


def log_change(by: str, action: str, result: str, **fields: object) -> None:
    """Log who asked for a change, and its result.

    `by` is the name of the key, `action` names the change (`sale.set`), and `result` is its outcome or a problem's code. Further fields say
    what was changed, such as `sale`.
    """
    _log.info(EVENT, extra={"by": by, "action": action, "result": result, **fields})

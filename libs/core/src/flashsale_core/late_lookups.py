"""DNS lookups that fail after their caller has given up.

uvloop leaves a name's lookup running when the connection that needed it is cancelled, as a timeout does, and then reports the lookup's
failure as an exception that nobody retrieved. The caller has reported its own timeout, so the second report would only mislead.
"""

import asyncio
import logging
from socket import gaierror
from typing import Any

log = logging.getLogger(__name__)


def ignore_late_lookups(loop: asyncio.AbstractEventLoop) -> None:
    """Log such failures at DEBUG. Everything else that the loop reports is reported as before."""
    loop.set_exception_handler(_report)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # A task that ends with this error is a fault of ours, and is reported.
    if isinstance(context.get("exception"), gaierror) and not isinstance(context.get("future"), asyncio.Task):
        log.debug("lookup.late", extra={"reason": str(context["exception"])})
    else:
        loop.default_exception_handler(context)

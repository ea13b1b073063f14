"""`python -m flashsale_operator.cleanup`: delete the FlashSales of a namespace and wait until they are gone.

The chart runs it before it is uninstalled, while the operator still runs: without an operator nothing removes the finalizers, and the
namespace could not be deleted.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Sequence

from flashsale_core.errors import SettingsError
from flashsale_core.logs import configure_logging
from flashsale_core.settings import Environment
from flashsale_operator.apiserver import FlashSales, open_flash_sales

POLL_SECONDS = 1.0
log = logging.getLogger(__name__)


def main() -> int:
    configure_logging("INFO")
    try:
        left = asyncio.run(run(Environment()))
    except SettingsError as error:
        log.error("cleanup.refused", extra={"reason": str(error)})
        return 2
    if left:
        # The remaining sales and their holds are not touched; the message contains what a person can do.
        advice = "set deletionPolicy to Retain or wait until their holds have ended, then try again"
        log.error("cleanup.unfinished", extra={"left": list(left)[:20], "advice": advice})
        return 1
    log.info("cleanup.finished")
    return 0


async def run(env: Environment) -> Sequence[str]:
    timeout_seconds = env.number("FLASHSALE_CLEANUP_TIMEOUT_SECONDS", 120, least=1, most=3600)
    async with open_flash_sales(env, env.text("FLASHSALE_OPERATOR_NAMESPACE")) as flash_sales:
        return await clean(flash_sales, timeout_seconds)


async def clean(flash_sales: FlashSales, timeout_seconds: float) -> Sequence[str]:
    """Delete all FlashSales and wait; returns the names of those that are left after `timeout_seconds`."""
    ends = time.monotonic() + timeout_seconds
    left = await flash_sales.names()
    for name in left:
        log.info("cleanup.deleted", extra={"flashsale": name, "status": await flash_sales.delete(name)})
    while left and time.monotonic() < ends:
        await asyncio.sleep(POLL_SECONDS)
        left = await flash_sales.names()
    return left


if __name__ == "__main__":
    sys.exit(main())

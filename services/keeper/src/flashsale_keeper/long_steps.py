"""Steps that take long, each a task with a connection to the ledger of its own. Servers are drained and rebuilt independently."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError

from flashsale_core.errors import FlashsaleError
from flashsale_core.faults import Server, describe_error
from flashsale_core.tasks import cancel_and_wait
from flashsale_keeper import metrics
from flashsale_keeper.settings import Settings
from flashsale_recovery.facts import ServerView
from flashsale_recovery.fencing import Changed
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.outcome import Recovered
from flashsale_recovery.rebuild import RebuildReport
from flashsale_recovery.session import ERRORS, connect

RETRY_SECONDS = 0.5
LISTED_MAX = 100
"""How many orders and sales of each kind the log names."""
Say = Callable[[str], None]
Run = Callable[[Ledger, Say], Awaitable[Recovered | None]]
log = logging.getLogger(__name__)


class LongSteps:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._running: dict[int, asyncio.Task[None]] = {}
        """The step of each shard that has one."""

    def is_running(self, view: ServerView) -> bool:
        return any(shard in self._running for shard in view.shards)

    def start(self, view: ServerView, run: Run, say: Say) -> None:
        """`say` gets what the step waits for. A failure is logged, and whoever looks next decides again."""
        task = asyncio.create_task(self._run(view, run, say))
        self._running |= dict.fromkeys(view.shards, task)

    async def end(self) -> None:
        await cancel_and_wait(*self._running.values())

    async def _run(self, view: ServerView, run: Run, say: Say) -> None:
        settings = self._settings
        try:
            connection = await connect(settings.database_url, settings.statement_timeout_seconds, settings.statement_cache)
            try:
                recovered = await run(Ledger(connection), say)
            finally:
                connection.terminate()
            if recovered is not None:
                metrics.REBUILDS.inc()
                metrics.LOST_ENTRIES.inc(recovered.lost_entries)
                log.warning("shards.rebuilt", extra=_fields(recovered))
        except Exception as error:
            # Broad on purpose: whatever stopped it, every step can be repeated.
            reason = describe_error(Server.POSTGRES, error) if isinstance(error, ERRORS) else str(error) or type(error).__name__
            say(f"the recovery was interrupted: {reason}")
            metrics.REBUILD_FAILURES.inc()
            expected = isinstance(error, (FlashsaleError, RedisError, *ERRORS))
            log.warning("recovery.interrupted", extra={"reason": reason}, exc_info=not expected)
            # A gateway that proves a loss closes the fence while the keeper begins to: nothing failed, and the next look decides.
            if not isinstance(error, Changed):
                await asyncio.sleep(RETRY_SECONDS)
        finally:
            for shard in view.shards:
                self._running.pop(shard, None)


def _fields(recovered: Recovered) -> dict[str, Any]:
    report = recovered.report
    return {
        "shards": len(recovered.incarnations),
        "incarnation": max(recovered.incarnations.values()),
        "lost_entries": recovered.lost_entries,
        "broken_holds": len(report.broken),
        "seconds": round(recovered.seconds, 3),
        **{name: ids[:LISTED_MAX] for name, ids in _lists(report).items() if ids},
    }


def _lists(report: RebuildReport) -> dict[str, list[str]]:
    """What a person may have to look at, by its name in the log."""
    return {
        "broken_orders": [f"{sale_id}.{hold.order_id}" for sale_id, hold in report.broken],
        "conflicts": [f"{conflict.order}: payment {conflict.payment_id}: {conflict.words}" for conflict in report.conflicts],
        "unreadable_orders": [order for repair in report.repairs for order in repair.unreadable_orders],
        "recounted_sales": [repair.sale_id for repair in report.repairs if repair.recounted],
        "closed_sales": [f"{sale_id}: {reason}" for sale_id, reason in report.closed.items()],
    }

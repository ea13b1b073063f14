"""Deletes old events and attempts, ends failures of idle endpoints, numbers restored events again, and measures what is due."""

import asyncio
import logging

from flashsale_core.errors import Retryable
from flashsale_notifier import metrics
from flashsale_notifier.repository import Repository

PRUNE_SECONDS = 60.0
PRUNE_ROWS_MAX = 20_000
"""Most rows of a table that are deleted at once; more than events arrive in PRUNE_SECONDS."""
PRUNE_ROUNDS_MAX = 50
"""Most rounds for excess attempts: 32 endpoints that answer at once may cause 16,000 attempts/s."""
IDLE_PART = 0.2
"""The part of the time after which a failing endpoint is disabled: idle for so long, it no longer fails."""
MEASURE_SECONDS = 15.0
log = logging.getLogger(__name__)


async def prune(repository: Repository, retention_seconds: float, attempts_max: int, disable_after_seconds: float) -> None:
    """Delete until cancelled. What Postgres does not delete now, it deletes a minute later."""
    while True:
        try:
            await repository.end_past_failures(disable_after_seconds * IDLE_PART)
            # Not only at the start: the database may be restored while the notifier runs.
            await repository.adopt_restored_events(PRUNE_ROWS_MAX)
            await repository.prune(retention_seconds, PRUNE_ROWS_MAX)
            for _ in range(PRUNE_ROUNDS_MAX):
                if await repository.prune_excess_attempts(attempts_max, PRUNE_ROWS_MAX) < PRUNE_ROWS_MAX:
                    break
        except Retryable as error:
            log.debug("prune.waiting", extra={"reason": str(error)})
        await asyncio.sleep(PRUNE_SECONDS)


async def measure(repository: Repository) -> None:
    """Measure until cancelled. While Postgres does not answer, the metrics keep their last values."""
    known: set[str] = set()
    while True:
        try:
            backlogs = await repository.backlog()
        except Retryable as error:
            log.debug("backlog.unknown", extra={"reason": str(error)})
        else:
            for backlog in backlogs:
                metrics.DUE.labels(backlog.endpoint).set(backlog.due)
                # An endpoint that is disabled has an alert of its own; its deliveries wait for a person.
                metrics.OLDEST_SECONDS.labels(backlog.endpoint).set(backlog.oldest_seconds if backlog.is_enabled else 0)
                metrics.ENABLED.labels(backlog.endpoint).set(backlog.is_enabled)
            names = {backlog.endpoint for backlog in backlogs}
            for gone in known - names:
                for gauge in (metrics.DUE, metrics.OLDEST_SECONDS, metrics.ENABLED):
                    gauge.remove(gone)
            known = names
        await asyncio.sleep(MEASURE_SECONDS)

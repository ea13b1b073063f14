"""Settles refunds by late reports, and measures the refunds that are due or have failed: people settle them, and may have stopped to."""

import asyncio
import logging

from flashsale_core.errors import Retryable
from flashsale_order_worker import metrics
from flashsale_order_worker.repository import Repository

log = logging.getLogger(__name__)


async def watch_refunds(repository: Repository, interval_seconds: float) -> None:
    """Settle and measure until cancelled. While Postgres does not answer, the metrics keep their last values."""
    while True:
        try:
            await repository.apply_reports()
            refunds = await repository.open_refunds()
        except Retryable as error:
            log.debug("refunds.unknown", extra={"reason": str(error)})
        else:
            metrics.REFUNDS_DUE.set(refunds.due)
            metrics.REFUNDS_FAILED.set(refunds.failed)
            metrics.REFUNDS_OLDEST_SECONDS.set(refunds.oldest_seconds)
            metrics.REFUNDS_REPORTED.set(refunds.reported)
            metrics.REFUNDS_REPORTED_OLDEST_SECONDS.set(refunds.reported_oldest_seconds)
        await asyncio.sleep(interval_seconds)

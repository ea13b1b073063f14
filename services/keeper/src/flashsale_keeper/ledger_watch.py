"""Reads the ledger's facts while this keeper is the one that acts, and notes why it cannot."""

import asyncio
import logging

from redis.asyncio import Redis

from flashsale_core.errors import Retryable
from flashsale_keeper import metrics
from flashsale_keeper.settings import Settings
from flashsale_recovery.facts import LedgerFacts
from flashsale_recovery.ledger import Ledger
from flashsale_recovery.ledger_facts import read_facts
from flashsale_recovery.session import ERRORS, Session

FACTS_SECONDS = 5.0
"""How often the ledger is read while all shards are open."""
STANDBY_SECONDS = 1.0
"""How often a keeper that waits asks whether it may act."""
log = logging.getLogger(__name__)


class LedgerWatch:
    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._shards = settings.shards
        self._session = Session(settings.database_url, settings.statement_timeout_seconds, settings.statement_cache)
        self._read_at = float("-inf")
        self.facts: LedgerFacts | None = None
        """As they were read last; None while Postgres is away."""
        self.fault: str | None = None
        self.standby = False
        """Whether another keeper acts."""

    @property
    def is_due(self) -> bool:
        return asyncio.get_running_loop().time() - self._read_at > (STANDBY_SECONDS if self.standby else FACTS_SECONDS)

    async def read(self) -> Ledger | None:
        """The ledger, with its facts read; None while Postgres is away or another keeper acts. Raises what a command to Redis raises."""
        self.facts, self._read_at = None, asyncio.get_running_loop().time()
        try:
            ledger = await self._session.acquire()
            if ledger is not None:
                self.facts = await read_facts(ledger, self._redis, self._shards)
                metrics.LATELY_LOST.set(self.facts.lately_lost)
        except Retryable as error:
            self._note_away(error)
            return None
        except ERRORS as error:
            self._note_away(self._session.lost(error))
            return None
        self.fault = None
        metrics.ACTIVE.set(ledger is not None)
        if ledger is None:
            # The keeper that acts reads it. What this one read before it lost the lock would stay for ever, and so would its alert.
            metrics.LATELY_LOST.set(0)
        if (ledger is None) != self.standby:
            self.standby = ledger is None
            log.info("keeper.waiting" if self.standby else "keeper.active")
        return ledger

    def close(self) -> None:
        self._session.close()

    def _note_away(self, error: Retryable) -> None:
        # The lock is lost with the session.
        metrics.ACTIVE.set(0)
        if str(error) != self.fault:
            log.warning("ledger.away", extra={"reason": str(error)})
        self.fault = str(error)

"""A service's connections to the ledger in Postgres."""

from flashsale_ledger.pool import ROW_ERRORS, SERVER_ERRORS, LedgerPool, PoolConnection, refuse_read_only
from flashsale_ledger.waiting import wait_for_ledger

__all__ = ["ROW_ERRORS", "SERVER_ERRORS", "LedgerPool", "PoolConnection", "refuse_read_only", "wait_for_ledger"]

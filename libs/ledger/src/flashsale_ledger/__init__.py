"""A service's connections to the ledger in Postgres."""

from flashsale_ledger.pool import ROW_ERRORS, SERVER_ERRORS, LedgerPool, PoolConnection, refuse_read_only

__all__ = ["ROW_ERRORS", "SERVER_ERRORS", "LedgerPool", "PoolConnection", "refuse_read_only"]

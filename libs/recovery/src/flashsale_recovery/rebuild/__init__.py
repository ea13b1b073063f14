"""Rebuilds the shards of a Redis from the ledger and from what Redis still has."""

from flashsale_recovery.rebuild.context import RebuildContext
from flashsale_recovery.rebuild.rebuild import plan_rebuild, rebuild
from flashsale_recovery.rebuild.report import RebuildReport, SaleReport
from flashsale_recovery.rebuild.restorer import close_sales
from flashsale_recovery.rebuild.verify import VerifyError, verify

__all__ = ["RebuildContext", "RebuildReport", "SaleReport", "VerifyError", "close_sales", "plan_rebuild", "rebuild", "verify"]

"""The audit: compares Redis, the ledger and the payments of each sale with each other, while they move. It only reads."""

from flashsale_audit.auditor import Auditor
from flashsale_audit.connect import Stores

__all__ = ["Auditor", "Stores"]

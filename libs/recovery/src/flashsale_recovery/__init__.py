"""Decides whether a Redis may sell, and rebuilds from the ledger what it lost. The keeper and `flashsale recover` call it."""

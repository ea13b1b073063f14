"""The audit: compares Redis, the ledger and the payments of each sale with each other. It only reads."""

"""The audit: compares Redis, the ledger and the payments of each sale with each other, while they move. It only reads."""

"""The order-worker: consumes order events and writes them to the ledger."""

"""The order-worker: consumes what happened to orders and writes it to the ledger."""

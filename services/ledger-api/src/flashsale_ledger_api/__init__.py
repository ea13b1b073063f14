"""The ledger's private HTTP API: administrators and the shop's backends read the ledger here, and settle its refunds."""

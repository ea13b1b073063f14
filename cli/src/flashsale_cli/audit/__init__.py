"""The audit: what Redis, the ledger and the payments say of a sale, held against each other. Reads only."""

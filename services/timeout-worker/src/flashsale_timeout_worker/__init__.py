"""The timeout-worker: gives unpaid units back, by dead-lettered waits and by a sweep of overdue deadlines."""

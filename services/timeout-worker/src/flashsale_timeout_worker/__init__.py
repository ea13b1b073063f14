"""The timeout-worker: releases units that were not paid in time, by dead-lettered waits and by a sweep of overdue deadlines."""

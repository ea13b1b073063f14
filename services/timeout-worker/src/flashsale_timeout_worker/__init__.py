"""The timeout-worker: releases units that were not paid in time, through messages from the broker and a sweep of overdue holds."""

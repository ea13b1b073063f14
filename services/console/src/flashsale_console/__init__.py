"""Private pages for merchants and operators: what needs attention, sales, orders, refunds and webhooks."""

"""The operator: keeps the sales in Redis in step with FlashSale resources. Orders do not need it."""

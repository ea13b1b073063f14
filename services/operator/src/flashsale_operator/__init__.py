"""The operator: keeps FlashSale resources and the sales in Redis in step. The sale path never needs it."""

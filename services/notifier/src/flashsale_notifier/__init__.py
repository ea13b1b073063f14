"""The notifier: sends shops the events of their orders and sales, as signed webhooks."""

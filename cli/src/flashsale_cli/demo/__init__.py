"""The demo: a sale from the first click to the audit, told while it happens."""

"""The demo: a sale from its first order to its audit, shown while it runs."""

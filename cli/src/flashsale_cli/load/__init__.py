"""Contended buyers: a plan of requests, a runner that sends them, and a report of what came back."""

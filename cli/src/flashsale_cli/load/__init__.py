"""Load of contending buyers: a plan of requests, a runner that sends them, and a report of the answers."""

"""How much longer things take on a machine that does more than it has processors for."""

import os

OVERLOAD_MAX = 5.0


def overload() -> float:
    """From 1 on a machine that keeps up to OVERLOAD_MAX: processes that want to run, for each processor, in the last minute."""
    return min(max(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0), OVERLOAD_MAX)

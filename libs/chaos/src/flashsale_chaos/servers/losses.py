"""Notes when Redis comes back without writes that it had."""

import time

from flashsale_chaos.bench import Bench
from flashsale_chaos.loss import Loss, Places, took_positions
from flashsale_chaos.servers.remains import Remains


def note_loss(bench: Bench, before: Remains | None, after: Places) -> None:
    """Call it before what came back can answer anybody. It is no loss if nothing is missing, or if what was there could not be read."""
    if before is not None and after and took_positions(before.places, after):
        bench.losses.append(Loss(time.monotonic(), before.places, after, before.outbox))

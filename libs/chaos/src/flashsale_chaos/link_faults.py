"""Injects the faults of links."""

import asyncio

from flashsale_chaos.bench import Bench
from flashsale_chaos.faults import Fault
from flashsale_chaos.inject import INJECTORS
from flashsale_chaos.network import BY_KIND


async def disturb(bench: Bench, fault: Fault) -> None:
    """The link of the target is in the mode of the fault for `lasts_seconds`."""
    with bench.links[fault.target].disturbed(BY_KIND[fault.kind](fault.amount)):
        await asyncio.sleep(fault.lasts_seconds)


INJECTORS.update(dict.fromkeys(BY_KIND, disturb))

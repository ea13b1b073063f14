"""Entries that a gateway leaves in its outbox, for the two crash points that are passed only with some.

`outbox.moved`: a gateway that ends in order hands over what the broker has not confirmed. `script.answered.reclaim`: another one takes over
what a dead gateway left.
"""

import asyncio
import signal

from flashsale_chaos.bench import Bench, send
from flashsale_chaos.further import GATEWAY_2
from flashsale_chaos.network import Mode
from flashsale_chaos.overload import overload

GATEWAY = "gateway"
BROKER_LINKS = {GATEWAY: "rabbitmq", GATEWAY_2: f"{GATEWAY_2}.rabbitmq"}
UNSENT = Mode(hold_up=True, lossy=True)
"""What a gateway publishes is lost, although it has a connection and takes the broker for ready."""
CONNECTED_SECONDS = 1.5
"""How long a gateway that has just started may take until it publishes: before, its entries go to the shared outbox."""
UNSENT_SECONDS = 1.5
"""Long enough for the crowd to order something."""
TAKEN_SECONDS = 6.0
"""How long the end of a gateway may take, or the takeover of what a dead one left."""
HANDED_OVER = "outbox.moved"
TAKEN_OVER = "script.answered.reclaim"


async def hand_over(bench: Bench, gateway: str) -> None:
    """End a gateway by SIGTERM while the broker does not get what it publishes."""
    await asyncio.sleep(CONNECTED_SECONDS)
    with bench.links[BROKER_LINKS[gateway]].disturbed(UNSENT):
        await asyncio.sleep(UNSENT_SECONDS)
        for pid in bench.pids(gateway):
            send(pid, signal.SIGTERM)
        await bench.dies(gateway, TAKEN_SECONDS * overload())


async def leave_to(bench: Bench, gateway: str) -> None:
    """Kill the other gateway when the broker has not got what it published, and keep it dead until this one has died of taking it over."""
    other = GATEWAY if gateway == GATEWAY_2 else GATEWAY_2
    if bench.locks[other].locked():
        # To wait for it could be for ever: the fault that holds it may wait for this gateway.
        return
    async with bench.locks[other]:
        try:
            with bench.links[BROKER_LINKS[other]].disturbed(UNSENT):
                await asyncio.sleep(UNSENT_SECONDS)
                await bench.kill(other)
            await bench.dies(gateway, TAKEN_SECONDS * overload())
        finally:
            await bench.launch(other)


PROVOKED_BY = {HANDED_OVER: hand_over, TAKEN_OVER: leave_to}

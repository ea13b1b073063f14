"""What the judge must know of a round besides its history. Pure."""

from collections.abc import Sequence

import msgspec

from flashsale_chaos.faults import Fault

GATEWAYS = ("gateway", "gateway-2")
"""The targets of faults, in the order of the bench's gateways."""
LINKS = ("redis", "gateway-2.redis")
"""Their links to Redis."""
SILENCING = frozenset({"crash", "kill", "restart", "pause", "node.lost"})
"""Faults after which a gateway may not say what it was answered."""
LATE_SECONDS = 2.0
"""How much later than planned a fault may begin and end."""


class Context(msgspec.Struct, frozen=True):
    """Times are of the monotonic clock, in seconds."""

    round: int
    began: float
    """When the faults' `at_seconds` began to count."""
    healed: float
    """When all faults had ended and everything had been started again."""
    faults: Sequence[Fault]

    def silenced(self, gateway: int, since: float, until: float) -> bool:
        """Whether a fault may have kept a gateway from saying what it was answered between two times."""
        return any(self._silences(fault, gateway) and self._overlaps(fault, since, until) for fault in self.faults)

    def clock_jumped(self) -> bool:
        return any(fault.kind.startswith("clock.") for fault in self.faults)

    def _silences(self, fault: Fault, gateway: int) -> bool:
        if fault.kind.startswith("net."):
            return fault.target == LINKS[gateway]
        if fault.kind == "redis.split_brain":
            # The second gateway goes on with the old master, and does not say to the new one what it was answered.
            return gateway == 1
        return fault.kind in SILENCING and fault.target.partition("/")[0] == GATEWAYS[gateway]

    def _overlaps(self, fault: Fault, since: float, until: float) -> bool:
        begins = self.began + fault.at_seconds
        return begins <= until and begins + fault.lasts_seconds + LATE_SECONDS >= since

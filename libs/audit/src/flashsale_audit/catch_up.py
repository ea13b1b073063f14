"""How long the ledger may be behind before a difference to it counts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

LAG_SECONDS = 3.0
AGAIN_SECONDS = 0.25


class CatchUp(Protocol):
    def rounds(self) -> AsyncIterator[None]:
        """Each round is a moment at which the stores may be compared again. A difference that is left after the last round counts."""


@dataclass(frozen=True, slots=True)
class RepeatedLooks:
    """For entries without positions: nothing shows what the ledger has received, so a difference must last."""

    lag_seconds: float = LAG_SECONDS

    async def rounds(self) -> AsyncIterator[None]:
        give_up_at = monotonic() + self.lag_seconds
        yield
        while monotonic() < give_up_at:
            await asyncio.sleep(AGAIN_SECONDS)
            yield

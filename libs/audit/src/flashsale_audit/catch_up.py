"""How long the ledger may be behind before a difference to it counts."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple, Protocol

from flashsale_audit.differences import Difference, Kind
from flashsale_core.positions import Range, contiguous_to, count_missing

LAG_SECONDS = 3.0
WAIT_SECONDS = 5.0
AGAIN_SECONDS = 0.1


class History(NamedTuple):
    shard: int
    incarnation: int


class Fences(Protocol):
    async def positions(self) -> Mapping[History, int]:
        """The position of the newest entry of each shard that has a fence."""


class Received(Protocol):
    async def first_positions(self) -> Mapping[History, int]:
        """Where each incarnation began, as far as the ledger knows."""

    async def received(self, above: Mapping[History, int]) -> Mapping[History, list[Range]]:
        """The entries of each history beyond a position that the ledger has."""


@dataclass(slots=True)
class CatchUp:
    """A difference to the ledger counts if it is there when the ledger has received everything that Redis had before.

    Without a fence, nothing shows what that is; then the difference must be there for LAG_SECONDS.
    """

    fences: Fences
    ledger: Received
    wait_seconds: float = WAIT_SECONDS
    lag_seconds: float = LAG_SECONDS
    by_position: bool = True
    """Whether positions decided so far."""
    behind: dict[int, Difference] = field(default_factory=dict)
    """The shards whose entries did not reach the ledger in time, so that nothing of them could be compared with it."""
    _known: dict[History, int] = field(default_factory=dict)
    """Up to where each history is complete in the ledger."""

    async def rounds(self) -> AsyncIterator[None]:
        """Each round is a moment at which the stores may be compared again. A difference that is left after the last round counts."""
        newest = await self.fences.positions()
        if newest:
            if await self._received(newest):
                yield
            return
        self.by_position = False
        give_up_at = monotonic() + self.lag_seconds
        yield
        while monotonic() < give_up_at:
            await asyncio.sleep(AGAIN_SECONDS)
            yield

    async def _received(self, newest: Mapping[History, int]) -> bool:
        """Wait until the ledger has all entries up to these positions."""
        give_up_at = monotonic() + self.wait_seconds
        while missing := await self._missing(newest):
            if monotonic() >= give_up_at:
                self.behind |= missing
                return False
            await asyncio.sleep(AGAIN_SECONDS)
        for history in newest:
            self.behind.pop(history.shard, None)
        return True

    async def _missing(self, newest: Mapping[History, int]) -> dict[int, Difference]:
        if newest.keys() - self._known.keys():
            first = await self.ledger.first_positions()
            self._known |= {history: first.get(history, 1) - 1 for history in newest.keys() - self._known.keys()}
        open_ = {history: self._known[history] for history, position in newest.items() if self._known[history] < position}
        ranges = await self.ledger.received(open_) if open_ else {}
        missing = {}
        for history, known in open_.items():
            of_history = ranges.get(history, [])
            self._known[history] = contiguous_to(of_history, known + 1)
            if lacking := count_missing(of_history, known + 1, newest[history]):
                words = f"{lacking} entries have not reached the ledger; until then nothing is compared with it"
                missing[history.shard] = Difference(Kind.LEDGER_BEHIND, f"shard {history.shard}", words)
        return missing

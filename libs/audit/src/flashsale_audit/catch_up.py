"""How long the ledger may be behind before a difference to it counts."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import NamedTuple, Protocol

from flashsale_audit.differences import Difference, Kind
from flashsale_audit.progress import Progress, still_missing
from flashsale_audit.skipped import ShardNotOpenError, Skipped
from flashsale_core.positions import Range

LAG_SECONDS = 3.0
MORE_SECONDS = 2.0
"""How much longer than a lag the ledger is waited for, so that one wait is long enough to know a hole."""
WAIT_SECONDS = LAG_SECONDS + MORE_SECONDS
AGAIN_SECONDS = 0.1
RANGES_NAMED = 3


class History(NamedTuple):
    shard: int
    incarnation: int


class Fences(Protocol):
    async def positions(self) -> Mapping[History, int]:
        """The position of the newest entry of each shard. Raises ShardNotOpenError unless all are open."""


class Received(Protocol):
    async def first_positions(self) -> Mapping[History, int]:
        """Where each incarnation began, as far as the ledger knows."""

    async def received(self, above: Mapping[History, int]) -> Mapping[History, list[Range]]:
        """The entries of each history beyond a position that the ledger has."""


@dataclass(slots=True)
class CatchUp:
    """A difference to the ledger counts if it is there when the ledger has received everything that Redis had before.

    A missing entry may be on its way although the ledger has had later ones for `lag_seconds`; then a difference must be there for as
    long, but no longer than LAG_SECONDS: the entries that are not missing for so long are waited for in any case.
    """

    fences: Fences
    ledger: Received
    wait_seconds: float = WAIT_SECONDS
    lag_seconds: float = LAG_SECONDS
    by_position: bool = True
    """False if something had to last because entries are missing."""
    behind: dict[int, Difference] = field(default_factory=dict)
    """The shards whose entries did not reach the ledger in time, so that nothing of them could be compared with it."""
    skipped: Skipped = field(default_factory=Skipped)
    _known: dict[History, Progress] = field(default_factory=dict)

    async def rounds(self) -> AsyncIterator[None]:
        """Each round is a moment at which the stores may be compared again. A difference that is left after the last round counts."""
        if not await self.received():
            return
        yield
        if not self.has_holes:
            return
        self.by_position = False
        give_up_at = monotonic() + min(self.lag_seconds, LAG_SECONDS)
        while monotonic() < give_up_at:
            await asyncio.sleep(AGAIN_SECONDS)
            yield

    async def received(self) -> bool:
        """Wait until the ledger has received all that Redis has written by now, apart from holes. False if that takes too long."""
        try:
            newest = await self.fences.positions()
        except ShardNotOpenError as error:
            # One entry may contain orders of several shards, so all of them decide.
            self.skipped.add("ledger", f"nothing that differs is compared with it, because {error}")
            return False
        return await self._received(newest)

    @property
    def has_holes(self) -> bool:
        """Whether the ledger lacks an entry, although it has had later ones for a while."""
        return any(known.holes for known in self._known.values())

    async def holes(self) -> list[Difference]:
        """The entries that the ledger lacks now and has lacked for `lag_seconds` while it had later ones. Raises ShardNotOpenError."""
        newest = await self.fences.positions()
        give_up_at = monotonic() + self.wait_seconds
        while self._overtaken(await self._missing(newest)) and monotonic() < give_up_at:  # noqa: ASYNC110 - the ledger cannot wake us
            await asyncio.sleep(AGAIN_SECONDS)
        suspects = {history: self._known[history].holes for history in newest if self._known[history].holes}
        # A message that was replayed or dropped since then has closed its hole.
        received = await self.ledger.received({history: known[0].first - 1 for history, known in suspects.items()}) if suspects else {}
        left = {history: still_missing(known, received.get(history, [])) for history, known in suspects.items()}
        return [_hole(history, ranges) for history, ranges in left.items() if ranges]

    async def _received(self, newest: Mapping[History, int]) -> bool:
        """Wait until the ledger has all entries up to these positions, apart from holes."""
        # A ledger that was behind for long need not show that again at every page.
        give_up_at = monotonic() + (min(self.wait_seconds, WAIT_SECONDS) if self.behind else self.wait_seconds)
        while missing := await self._missing(newest):
            if monotonic() >= give_up_at:
                self.behind |= {history.shard: _behind(history, ranges) for history, ranges in missing.items()}
                return False
            await asyncio.sleep(AGAIN_SECONDS)
        for history in newest:
            self.behind.pop(history.shard, None)
        return True

    async def _missing(self, newest: Mapping[History, int]) -> dict[History, list[Range]]:
        """The entries up to these positions that may still arrive."""
        if new := newest.keys() - self._known.keys():
            first = await self.ledger.first_positions()
            self._known |= {history: Progress(first.get(history, 1) - 1, self.lag_seconds) for history in new}
        open_ = {history: self._known[history] for history, position in newest.items() if self._known[history].complete_to < position}
        received = await self.ledger.received({history: known.complete_to for history, known in open_.items()}) if open_ else {}
        now = monotonic()
        missing = {history: known.note(received.get(history, []), newest[history], now) for history, known in open_.items()}
        return {history: ranges for history, ranges in missing.items() if ranges}

    def _overtaken(self, missing: Mapping[History, Sequence[Range]]) -> bool:
        return any(self._known[history].is_overtaken(lacking) for history, ranges in missing.items() for lacking in ranges)


def _behind(history: History, missing: Sequence[Range]) -> Difference:
    words = f"{_words(missing)} have not reached the ledger; until then nothing is compared with it"
    return Difference(Kind.LEDGER_BEHIND, f"shard {history.shard}", words)


def _hole(history: History, missing: Sequence[Range]) -> Difference:
    words = f"the ledger has later entries, but not {_words(missing)} of incarnation {history.incarnation}"
    return Difference(Kind.LEDGER_HOLE, f"shard {history.shard}", words)


def _words(missing: Sequence[Range]) -> str:
    """The number of entries, and the first ranges of them."""
    named = ", ".join(str(each.first) if each.size == 1 else f"{each.first} to {each.last}" for each in missing[:RANGES_NAMED])
    return f"{sum(each.size for each in missing)} entries ({named}{', ...' if len(missing) > RANGES_NAMED else ''})"

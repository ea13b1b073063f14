"""What this gateway knows of Redis' history: the highest seq it was answered in each shard, and whether the shards are open and its own.

A Redis that comes back older than it was would sell its units again. Each script refuses that by itself (lua/lib/fence.lua); here is what
the gateway contributes and reports.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType

from flashsale_core.fence import OPEN, Fence, KnownPositions, foreign_reason
from flashsale_gateway.errors import Recovering

FENCED: Mapping[str, str] = MappingProxyType(
    {
        "unread": "its fence has not been read yet",
        "missing": "Redis has no fence, because it is empty or was never initialised; the keeper must open it",
        "hidden": "the Redis user lacks the right to run INFO, which every script needs",
        "history": "Redis was restarted or another server was promoted, and the keeper has not accepted it yet",
        "regressed": "Redis lost writes that it had acknowledged, and is being rebuilt",
        "fenced": "Redis is being recovered",
        "draining": "Redis is being recovered: the ledger is catching up with the queue",
        "restoring": "Redis is being rebuilt from the ledger",
        "verifying": "the rebuilt Redis is being compared with the ledger",
    }
)
"""Why a fence is not open, by the reason that the scripts give."""


def in_words(reason: str) -> str:
    """Why a fence is not open. A reason that is not in the table is a step of the recovery."""
    return FENCED.get(reason, f"the recovery is {reason}")


class History:
    def __init__(self, shards: int, installation: str) -> None:
        self.known = KnownPositions(shards)
        self.on_fenced: Callable[[], None] = lambda: None
        """Called when a script was refused."""
        self._installation = installation
        self._shards = shards
        self._statuses = ["unread"] * shards
        self._closings = 0
        self._calls: Counter[int] = Counter()
        """Script calls without an answer yet, by how often this gateway had seen a shard close when they were sent."""
        self._foreign: str | None = "the fence of Redis has not been read yet"

    @property
    def fault(self) -> str | None:
        """Why not every shard is open; None if all are."""
        closed = {shard: status for shard, status in enumerate(self._statuses) if status != OPEN}
        if self._foreign is not None or not closed:
            return self._foreign
        shard, status = next(iter(closed.items()))
        others = f", and {len(closed) - 1} other shards are not open either" if len(closed) > 1 else ""
        return f"shard {shard}: {in_words(status)}{others}"

    def are_open(self, shards: Sequence[int]) -> bool:
        return self._foreign is None and all(self._statuses[shard] == OPEN for shard in shards)

    def count_closed(self, shards: Iterable[int]) -> int:
        return sum(self._statuses[shard] != OPEN for shard in shards)

    def require_ours(self) -> None:
        """Raises Recovering while Redis belongs to another installation, or before its fence was read."""
        if self._foreign is not None:
            raise Recovering(self._foreign)

    def observe(self, shard: int, status: str) -> None:
        """Note the answer of lua/attest.lua for a shard."""
        was_open, is_open = self._statuses[shard] == OPEN, status == OPEN
        self._closings += was_open and not is_open
        self._statuses[shard] = status

    @contextmanager
    def calling(self) -> Iterator[None]:
        """For the time of a script call: its answer may still be about the history of before."""
        closings = self._closings
        self._calls[closings] += 1
        try:
            yield
        finally:
            self._calls[closings] -= 1
            if not self._calls[closings]:
                del self._calls[closings]

    @property
    def old_calls(self) -> int:
        """Script calls without an answer that were sent before this gateway last saw a shard close."""
        return sum(count for closings, count in self._calls.items() if closings < self._closings)

    def check(self, fence: Fence) -> None:
        """Note whose a fence is. One without a name or a count matches every installation."""
        self._foreign = foreign_reason(fence, self._installation, self._shards)

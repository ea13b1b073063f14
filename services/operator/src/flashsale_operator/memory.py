"""What the operator remembers of each resource while it runs. Lost with it, and no harm done."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from flashsale_operator import metrics
from flashsale_operator.conditions import Phase


@dataclass(slots=True)
class Remembered:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """One reconciliation of a resource at a time."""
    epoch: int = 0
    """Of the sale as last seen: the status we are shown may be a moment older."""
    generation: int = 0
    """The newest we were shown: kopf may show an older view to a timer."""
    stock_written: float = 0.0
    """When its numbers were last written, by the event loop's clock in seconds."""
    phase: Phase | None = None


class Memory:
    def __init__(self) -> None:
        self._known: dict[str, Remembered] = {}
        self.reconciled_at: float | None = None
        """When anything was last reconciled, by the event loop's clock in seconds."""

    def of(self, uid: str) -> Remembered:
        return self._known.setdefault(uid, Remembered())

    def forget(self, uid: str) -> None:
        self._known.pop(uid, None)
        self._count()

    def reconciled(self, uid: str, phase: str) -> None:
        self.of(uid).phase = Phase(phase)
        self.reconciled_at = asyncio.get_running_loop().time()
        metrics.LAST_RECONCILE.set_to_current_time()
        self._count()

    def silent_seconds(self) -> float:
        """For how long nothing was reconciled though there is something to reconcile; 0 when there is nothing."""
        if not self._known or self.reconciled_at is None:
            return 0.0
        return asyncio.get_running_loop().time() - self.reconciled_at

    def _count(self) -> None:
        counts = Counter(one.phase for one in self._known.values())
        for phase in Phase:
            metrics.OBJECTS.labels(phase.value).set(counts[phase])

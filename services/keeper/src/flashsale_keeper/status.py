"""What the keeper shows: the state of each shard, in words for readiness and as metrics."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence

from flashsale_core.fence import OPEN
from flashsale_keeper import metrics
from flashsale_recovery.facts import ServerView

log = logging.getLogger(__name__)


class Status:
    def __init__(self, shards: Iterable[int]) -> None:
        self._reasons = dict.fromkeys(shards, "Redis has not been looked at yet")
        """Why a shard is not open."""
        self._closed_since: float | None = time.monotonic()
        self._logged: dict[int, str] = {}

    @property
    def fault(self) -> str | None:
        """Why not every shard is open; None if all are."""
        if not self._reasons:
            return None
        shard, reason = next(iter(sorted(self._reasons.items())))
        others = f", and {len(self._reasons) - 1} other shards are not open either" if len(self._reasons) > 1 else ""
        return f"shard {shard}: {reason}{others}"

    def set_open(self, shards: Sequence[int]) -> None:
        if self._log(shards, ""):
            log.info("shards.open", extra={"shards": len(shards)})
        for shard in shards:
            self._reasons.pop(shard, None)
            metrics.SHARD_OPEN.labels(str(shard)).set(1)
        self._measure()

    def set_closed(self, shards: Sequence[int], reason: str) -> None:
        if self._log(shards, reason):
            log.warning("shards.closed", extra={"shards": len(shards), "reason": reason})
        for shard in shards:
            self._reasons[shard] = reason
            metrics.SHARD_OPEN.labels(str(shard)).set(0)
        self._measure()

    def set_away(self, reasons: Mapping[int, str]) -> None:
        """Note shards whose server does not answer: that is no fault of the keeper, and the gateways log it."""
        for shard, reason in reasons.items():
            self._reasons[shard] = reason
            metrics.SHARD_OPEN.labels(str(shard)).set(0)
        self._measure()

    def observe(self, view: ServerView) -> None:
        for shard, fence in view.fences.items():
            metrics.INCARNATION.labels(str(shard)).set(fence.incarnation)
            if fence.state != OPEN or fence.replid != view.replid:
                self._reasons.setdefault(shard, "its fence is not open")
        self._measure()

    def _measure(self) -> None:
        if not self._reasons:
            self._closed_since = None
        elif self._closed_since is None:
            self._closed_since = time.monotonic()
        metrics.RECOVERING_SECONDS.set(time.monotonic() - self._closed_since if self._closed_since is not None else 0)

    def _log(self, shards: Sequence[int], reason: str) -> bool:
        """Whether this is to be logged: once for each reason."""
        is_new = self._logged.get(shards[0], "") != reason
        self._logged |= dict.fromkeys(shards, reason)
        return is_new
